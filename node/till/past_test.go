package till

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
)

// fails is a store whose next Changes fail.
type fails struct {
	*store.Store
	err error
	wg  sync.WaitGroup
}

func (f *fails) Queue(c store.Change, then func(error)) error {
	if f.err != nil {
		f.wg.Go(func() { then(f.err) }) // as the committer does, not under the till's lock
		return nil
	}
	return f.Store.Queue(c, then)
}

func noRows(t *testing.T, db *store.Store, bucket string) {
	t.Helper()
	if rows, err := db.Page(bucket, nil, 9, false); err != nil || len(rows) != 0 {
		t.Errorf("%s has %d rows, %v", bucket, len(rows), err)
	}
}

// TestLeave: a book that has left is not loaded, is found by its id as it was, its newest voucher included, and what is
// written to it then is found there; a Change that failed loses nothing, and is made good by the next one.
func TestLeave(t *testing.T) {
	t.Parallel()
	db, err := store.Open(filepath.Join(t.TempDir(), "d", "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	disk := &fails{Store: db}
	type own struct {
		Text string `json:"text"`
	}
	open := func() *Till[own] { return &Till[own]{db: disk, buckets: Buying} }
	till := open()
	account := escrow.NewAccount(escrow.ChannelState{ID: market.ChannelID{7}}, escrow.Finalised)
	account.Phase, account.Past.Paid = escrow.PhaseGone, 5
	account.Newest.Channel, account.Newest.Amount = account.Channel, 5
	account.Newest.Sig[3] = 9
	b := till.Open(account, own{"first"})
	write := func(b *Book[own], text string) error {
		return b.Write(context.Background(), false, func(e *Entry[own]) error { e.Own.Text = text; return nil })
	}
	look := func(want string, past bool) {
		t.Helper()
		loaded, err := open().Load()
		if err != nil || (len(loaded) == 0) != past {
			t.Errorf("%d loaded, %v", len(loaded), err)
		}
		for _, b := range loaded {
			if a, o := b.See(); a.Newest != account.Newest || o.Text != want {
				t.Errorf("loaded %+v %+v", a.Newest, o)
			}
		}
		p, err := open().Past(account.Channel)
		if err != nil || (p != nil) != past {
			t.Fatalf("past %v, %v", p, err)
		}
		n := 0
		if err := open().EachPast(func(*Book[own]) { n++ }); err != nil || (n == 1) != past {
			t.Errorf("%d are past, %v", n, err)
		}
		if !past {
			return
		}
		if a, o := p.See(); a.Newest != account.Newest || a.Past != account.Past || a.Phase != account.Phase ||
			o.Text != want || p.ID() != account.Channel {
			t.Errorf("past %+v %+v", a, o)
		}
		for _, bucket := range []string{store.BucketOwnChannels, store.BucketOwnShares, store.BucketOwnVouchers} {
			noRows(t, db, bucket)
		}
	}
	if err := write(b, "stored"); err != nil {
		t.Fatal(err)
	}
	look("stored", false)
	disk.err = errors.New("no room")
	if err := till.Leave(b); !errors.Is(err, disk.err) {
		t.Fatal(err)
	}
	disk.wg.Wait()
	disk.err = nil
	look("stored", false)
	if err := write(b, "made good"); err != nil {
		t.Fatal(err)
	}
	look("made good", true)
	p, err := till.Past(account.Channel)
	if err = errors.Join(err, write(p, "later"), till.Leave(b, p)); err != nil {
		t.Fatal(err)
	}
	look("later", true)
}
