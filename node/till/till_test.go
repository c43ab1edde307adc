package till

import (
	"context"
	"crypto/ed25519"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rows"
	"github.com/gpuai/gpuai/node/store"
)

// own is a role's part of a channel.
type own struct {
	Note string `json:"note,omitempty"`
}

var key = ed25519.NewKeyFromSeed(make([]byte, 32))

func channelState() escrow.ChannelState {
	return escrow.ChannelState{ID: market.ChannelID{3}, Status: escrow.StatusOpen, Deposit: 1_000_000,
		VoucherKey: escrow.PublicKey(key)}
}

// open makes a channel with two live leases on a store of its own.
func open(t testing.TB, db *store.Store) *Book[own] {
	t.Helper()
	b := New[own](db, Selling).Open(escrow.NewAccount(channelState(), escrow.Finalised), own{})
	err := b.Write(t.Context(), false, func(e *Entry[own]) (err error) {
		for i := range 2 {
			if e.Account, err = e.Account.AddLease(leaseID(i), 400_000, 0); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func leaseID(i int) market.LeaseID { return market.LeaseID{byte(i + 1)} }

func openStore(t testing.TB, path string) *store.Store {
	t.Helper()
	db, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// load reads the one channel that a store holds.
func load(t testing.TB, db disk) *Book[own] {
	t.Helper()
	till := &Till[own]{db: db, buckets: Selling}
	books, err := till.Load()
	if err != nil || len(books) != 1 {
		t.Fatalf("%d channels, %v", len(books), err)
	}
	return books[market.ChannelID{3}]
}

// sameBooks compares what is kept.
var sameBooks = cmp.Options{cmpopts.EquateEmpty(), cmpopts.IgnoreFields(escrow.Account{}, "At")}

func payment(lease int, share, total market.Amount) market.Payment {
	v := escrow.Voucher{Channel: market.ChannelID{3}, Amount: total}.Sign(key)
	return market.Payment{Lease: leaseID(lease), LeaseAmount: share, Voucher: v.Encode(), Sig: v.Sig}
}

// take books a Payment as the roles do.
func take(ctx context.Context, b *Book[own], p market.Payment) (market.Amount, error) {
	a, _ := b.See()
	checked, stored, err := a.Check(p)
	if err != nil {
		return stored, err
	}
	err = b.Write(ctx, true, func(e *Entry[own]) (err error) {
		e.Account, stored, err = e.Account.TakeChecked(checked)
		return err
	})
	return stored, err
}

// TestBook_Model: whatever payments come, in any order, repeated, wrong or for leases that end meanwhile, and wherever
// the node begins anew, the books are those of an account in memory, and the store says what they say.
func TestBook_Model(t *testing.T) {
	t.Parallel()
	dir, n := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		path := filepath.Join(dir, time.Duration(n).String(), "state.db")
		db, err := store.Open(path)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		b := open(t, db)
		model, note := b.See()
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			i := rapid.IntRange(0, 1).Draw(rt, "lease")
			amount := market.Amount(rapid.IntRange(0, 500_000).Draw(rt, "amount"))
			switch rapid.IntRange(0, 5).Draw(rt, "what") {
			case 0, 1:
				p := payment(i, amount, amount+market.Amount(rapid.IntRange(0, 500_000).Draw(rt, "beyond")))
				want, total, err := model.TakePayment(p)
				got, gotErr := take(t.Context(), b, p)
				if market.CodeOf(gotErr) != market.CodeOf(err) || got != total {
					rt.Fatalf("%d, %v; the account says %d, %v", got, gotErr, total, err)
				}
				model = want
			case 2:
				model = model.Owe(leaseID(i), amount)
				b.Note(func(e *Entry[own]) { e.Account = e.Account.Owe(leaseID(i), amount) })
			case 3:
				model = model.EndLease(leaseID(i), model.Leases[leaseID(i)].Owed)
				err = b.Write(t.Context(), false, func(e *Entry[own]) error {
					e.Account = e.Account.EndLease(leaseID(i), e.Account.Leases[leaseID(i)].Owed)
					return nil
				})
			case 4:
				model, note.Note = model.Fold(leaseID(i)), amount.SOL()
				err = b.Write(t.Context(), false, func(e *Entry[own]) error {
					e.Account, e.Own.Note = e.Account.Fold(leaseID(i)), amount.SOL()
					return nil
				})
			default:
				// what was only noted may be lost
				if err = b.Write(t.Context(), false, func(*Entry[own]) error { return nil }); err == nil {
					b = load(t, db)
				}
			}
			if err != nil {
				rt.Fatal(err)
			}
			if a, o := b.See(); !cmp.Equal(model, a, sameBooks) || o != note {
				rt.Fatalf("-model +book %s", cmp.Diff(model, a, sameBooks))
			}
		}
	})
}

// TestBook_CrashAnywhere_NothingAcknowledgedIsLost: two leases of one channel are paid at the same time, and every file
// that a crash could leave behind holds what was acknowledged before it, and adds up.
func TestBook_CrashAnywhere_NothingAcknowledgedIsLost(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "live", "state.db")
	db := openStore(t, path)
	b := open(t, db)
	type moment struct {
		file  []byte
		acked map[int]market.Amount
	}
	var mu sync.Mutex
	var moments []moment
	acked, total := map[int]market.Amount{}, market.Amount(0)
	db.OnCommit(func(time.Duration) {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		moments = append(moments, moment{file, maps.Clone(acked)})
	})
	var wg sync.WaitGroup
	var signing sync.Mutex // one customer signs for both
	shares := map[int]market.Amount{}
	for i := range 2 {
		wg.Go(func() {
			for n := range market.Amount(15) {
				signing.Lock()
				shares[i] += 1 + n
				total = shares[0] + shares[1]
				p := payment(i, shares[i], total)
				share := shares[i]
				signing.Unlock()
				if _, err := take(t.Context(), b, p); err != nil {
					t.Error(err)
				}
				mu.Lock()
				acked[i] = share
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for n, m := range moments {
		copied := filepath.Join(t.TempDir(), "crash", "state.db")
		if err := os.MkdirAll(filepath.Dir(copied), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(copied, m.file, 0o600); err != nil {
			t.Fatal(err)
		}
		a, _ := load(t, openStore(t, copied)).See()
		for i, share := range m.acked {
			if a.Leases[leaseID(i)].Paid < share {
				t.Errorf("crash %d: lease %d has %d, %d were acknowledged", n, i, a.Leases[leaseID(i)].Paid, share)
			}
		}
		if a.PaidSum() > a.Newest.Amount || !a.Newest.Verify(a.VoucherKey) {
			t.Errorf("crash %d: shares of %d on a voucher of %d", n, a.PaidSum(), a.Newest.Amount)
		}
	}
}

// full is a store whose disk has no room for some Changes.
type full struct {
	*store.Store
	wg   sync.WaitGroup
	mu   sync.Mutex
	fail int
}

func (f *full) Queue(c store.Change, then func(error)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail > 0 {
		f.fail--
		f.wg.Go(func() { then(store.ErrDiskFull) })
		return nil
	}
	return f.Store.Queue(c, then)
}

// TestBook_DiskFull_TheNextEntrySaysAll: what found no room stands in memory, is not acknowledged, also not when it is
// repeated, and is on disk with the next entry.
func TestBook_DiskFull_TheNextEntrySaysAll(t *testing.T) {
	t.Parallel()
	db := openStore(t, filepath.Join(t.TempDir(), "s", "state.db"))
	open(t, db)
	disk := &full{Store: db}
	b := load(t, disk)
	disk.fail = 2
	note := func(e *Entry[own]) error { e.Own.Note = "told"; return nil }
	for range 2 { // the second has nothing new to say, and may not say that it is stored
		if err := b.Write(t.Context(), false, note); !errors.Is(err, store.ErrDiskFull) {
			t.Fatalf("stored on a full disk: %v", err)
		}
	}
	if _, o := load(t, db).See(); o.Note != "" {
		t.Fatalf("%q is on a full disk", o.Note)
	}
	if _, err := take(t.Context(), b, payment(0, 10, 10)); err != nil {
		t.Fatal(err)
	}
	got, o := load(t, db).See()
	if want, _ := b.See(); o.Note != "told" || !cmp.Equal(want, got, sameBooks) {
		t.Errorf("%q, -memory +disk %s", o.Note, cmp.Diff(want, got, sameBooks))
	}
}

// TestBook_DiskFull_APaymentWaits: it is acknowledged once there is room.
func TestBook_DiskFull_APaymentWaits(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s", "state.db")
	synctest.Test(t, func(t *testing.T) {
		db, err := store.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		open(t, db)
		disk := &full{Store: db, fail: 3}
		b := load(t, disk)
		began := time.Now()
		if _, err := take(t.Context(), b, payment(0, 10, 10)); err != nil || time.Since(began) != 3*diskAgain {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		if a, _ := load(t, db).See(); a.Newest.Amount != 10 || a.Leases[leaseID(0)].Paid != 10 {
			t.Errorf("on disk: %+v", a)
		}
	})
}

// TestBook_Payment_WritesLittle: one voucher among many that are kept, on a channel with many leases, is a share and a
// voucher.
func TestBook_Payment_WritesLittle(t *testing.T) {
	t.Parallel()
	db := openStore(t, filepath.Join(t.TempDir(), "s", "state.db"))
	b := open(t, db)
	for n := range market.Amount(100) {
		if _, err := take(t.Context(), b, payment(0, n+1, n+1)); err != nil {
			t.Fatal(err)
		}
	}
	counted := &counting{Store: db}
	b.t.db = counted
	if _, err := take(t.Context(), b, payment(1, 5, 105)); err != nil {
		t.Fatal(err)
	}
	want := len(rows.EncodeVoucher(escrow.Signed{})) + 40 + 48 + 20
	if counted.bytes == 0 || counted.bytes > want || counted.puts != 2 {
		t.Errorf("%d rows of %d bytes, %d were expected at most", counted.puts, counted.bytes, want)
	}
}

type counting struct {
	*store.Store
	puts, bytes int
}

func (c *counting) Queue(ch store.Change, then func(error)) error {
	for _, p := range ch.Puts {
		c.puts++
		c.bytes += len(p.Key) + len(p.Value)
	}
	return c.Store.Queue(ch, then)
}
