package outcomes

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p/wire"
)

const network = "localnet-test"

// signed is the end of a lease, in the envelopes of both sides; private ones say nothing for everybody.
func signed(t *testing.T, lease byte, private bool) (provider, customer []byte) {
	t.Helper()
	keys := []ed25519.PrivateKey{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)),
		ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))}
	id := func(i int) market.NodeID { return market.NodeID(keys[i].Public().(ed25519.PublicKey)) }
	now := time.Now().UTC().Truncate(time.Millisecond)
	o := market.Outcome{Lease: market.LeaseID{lease}, Fault: market.FaultNone, Code: market.CodeCompleted,
		Accepted: now, Ready: now, Ended: now,
		Deal: market.Deal{Class: "cpu", Rate: 1000, Devices: 1, Channel: market.ChannelID{3}, Payer: market.Address{4},
			Payee: market.Address{5}, Provider: id(0), Customer: id(1)}}
	if private {
		o.Deal = market.Deal{}
	}
	var out [2][]byte
	for i, key := range keys {
		raw, err := wire.SealOutcome(key, network, o)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = raw
	}
	return out[0], out[1]
}

// air is a Net that notes when leases are told. err is what it answers; hold closed or nil: it answers at once.
type air struct {
	hold chan struct{}

	mu  sync.Mutex
	err error
	at  []time.Time
	of  []market.LeaseID
}

func (a *air) PublishOutcome(ctx context.Context, provider, customer []byte) error {
	if a.hold != nil {
		select {
		case <-a.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p, err := wire.JoinOutcomes(provider, customer, network)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at, a.of = append(a.at, time.Now()), append(a.of, p.Outcome.Lease)
	return a.err
}

func (a *air) told() (at []time.Time, of []market.LeaseID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.at), slices.Clone(a.of)
}

func (a *air) answers(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = err
}

func open(t *testing.T, path string) *store.Store {
	t.Helper()
	db, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// serve runs a Teller until stop, which waits for its end.
func serve(t *testing.T, db *store.Store, net Net) (tl *Teller, stop func()) {
	t.Helper()
	tl = New(network, db, net, time.Now, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := tl.Serve(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("the teller ended: %v", err)
		}
	})
	return tl, func() { cancel(); wg.Wait() }
}

// agree commits the end of a lease.
func agree(t *testing.T, db *store.Store, tl *Teller, lease byte, private bool) {
	t.Helper()
	var c store.Change
	provider, customer := signed(t, lease, private)
	staged := tl.Stage(&c, provider, customer)
	if err := db.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	staged()
}

func left(t *testing.T, db *store.Store) (n int) {
	t.Helper()
	err := db.Scan(store.BucketOutcomes, nil, func(_, _ []byte) error { n++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestTeller_TellsFourTimesInADay: at once, and thrice more, then nothing of the lease is left. A repeat of its
// customer begins nothing anew, and what is private is not even stored.
func TestTeller_TellsFourTimesInADay(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "d", "state.db")
	synctest.Test(t, func(t *testing.T) {
		db, net := open(t, path), &air{}
		defer func() { _ = db.Close() }()
		tl, stop := serve(t, db, net)
		defer stop()
		began := time.Now()
		agree(t, db, tl, 1, false)
		agree(t, db, tl, 2, true)
		time.Sleep(time.Minute)
		agree(t, db, tl, 1, false)
		time.Sleep(24 * time.Hour)
		at, of := net.told()
		want := []time.Duration{0, 15 * time.Minute, 135 * time.Minute, 735 * time.Minute}
		if len(at) != len(want) {
			t.Fatalf("told at %v", at)
		}
		for i := range at {
			if d := at[i].Sub(began) - want[i]; d < 0 || d > time.Minute || of[i] != (market.LeaseID{1}) {
				t.Errorf("told %s at %v, want %v", of[i], at[i].Sub(began), want[i])
			}
		}
		if n := left(t, db); n > 0 {
			t.Errorf("%d rows are left", n)
		}
	})
}

// TestTeller_Killed_TellsAfterTheStart: what was committed and not told is told at the next start, what was told before
// in its own time, however often the node dies on the way.
func TestTeller_Killed_TellsAfterTheStart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "d", "state.db")
	synctest.Test(t, func(t *testing.T) {
		db, net := open(t, path), &air{}
		tl := New(network, db, net, time.Now, slog.New(slog.DiscardHandler))
		agree(t, db, tl, 1, false) // and dies before it is told
		deaf := &air{hold: make(chan struct{})}
		_, stop := serve(t, db, deaf)
		time.Sleep(settle + time.Second)
		synctest.Wait() // it waits for somebody who listens
		stop()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = open(t, path)
		_, stop = serve(t, db, net)
		time.Sleep(settle + time.Second)
		stop()
		if at, _ := net.told(); len(at) != 1 {
			t.Fatalf("told %d times after the start", len(at))
		}
		_, stop = serve(t, db, net)
		time.Sleep(14 * time.Minute)
		if at, _ := net.told(); len(at) != 1 {
			t.Errorf("a start tells again what was told: %v", at)
		}
		time.Sleep(2 * time.Minute)
		if at, _ := net.told(); len(at) != 2 {
			t.Errorf("told %d times in a quarter of an hour", len(at))
		}
		stop()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestTeller_NetFails: a failure is tried again; what no node would take is given up.
func TestTeller_NetFails(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "d", "state.db")
	synctest.Test(t, func(t *testing.T) {
		db, net := open(t, path), &air{}
		defer func() { _ = db.Close() }()
		net.answers(errors.New("no topic"))
		tl, stop := serve(t, db, net)
		defer stop()
		agree(t, db, tl, 1, false)
		time.Sleep(time.Minute)
		net.answers(nil)
		time.Sleep(20 * time.Minute)
		if at, _ := net.told(); len(at) != 2 || left(t, db) != 1 {
			t.Errorf("told at %v, %d rows", at, left(t, db))
		}
		net.answers(&market.Error{Code: market.CodeOfferInvalid})
		time.Sleep(20 * time.Minute)
		if at, _ := net.told(); len(at) != 3 || left(t, db) != 0 {
			t.Errorf("told at %v, %d rows", at, left(t, db))
		}
	})
}

// TestTeller_ManyAtOnce_ArePaced: peers take one a second of a signer.
func TestTeller_ManyAtOnce_ArePaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "d", "state.db")
	synctest.Test(t, func(t *testing.T) {
		db, net := open(t, path), &air{}
		defer func() { _ = db.Close() }()
		tl := New(network, db, net, time.Now, slog.New(slog.DiscardHandler))
		for i := range 100 {
			agree(t, db, tl, byte(i+1), false)
		}
		_, stop := serve(t, db, net)
		defer stop()
		time.Sleep(settle + 90*time.Second)
		at, _ := net.told()
		if len(at) < 85 || len(at) > 91 {
			t.Errorf("%d told in 90 s", len(at))
		}
		time.Sleep(time.Minute)
		if at, of := net.told(); len(at) != 100 || of[0] == of[99] {
			t.Errorf("%d told in all", len(at))
		}
	})
}

// TestTeller_WithoutNet_StagesNothing: a node that tells nothing stores nothing of it.
func TestTeller_WithoutNet_StagesNothing(t *testing.T) {
	t.Parallel()
	provider, customer := signed(t, 1, false)
	for name, tl := range map[string]*Teller{"nil": nil,
		"no net": New(network, nil, nil, time.Now, slog.New(slog.DiscardHandler))} {
		var c store.Change
		tl.Stage(&c, provider, customer)()
		if len(c.Puts) > 0 {
			t.Errorf("%s: %d rows", name, len(c.Puts))
		}
	}
}
