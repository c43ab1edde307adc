package solana

import (
	"context"
	"errors"
	"sync"
	"testing"
)

// slowJournal stands in a sync until it is let go.
type slowJournal struct {
	memJournal
	begun, ends chan struct{}
}

func (j *slowJournal) Put(key string, b []byte) error {
	close(j.begun)
	<-j.ends
	return j.memJournal.Put(key, b)
}

// While the journal syncs an intent, everybody can ask how others stand; who adds one waits no longer than its context,
// and two deposits are never counted against the same rest of the cap.
func TestSubmit_JournalSyncs_OthersOnlyLook(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	j := &slowJournal{begun: make(chan struct{}), ends: make(chan struct{})}
	r.l.journal = j
	first, second := r.opening(t, 1, 3_000_000), r.opening(t, 2, 3_000_000)
	done := make(chan error, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { done <- r.l.Submit(t.Context(), first) })
	<-j.begun
	if _, ok, err := r.l.Result(t.Context(), first.Key()); ok || err != nil {
		t.Errorf("an intent that is not on disk is known: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.l.Submit(ctx, second); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(j.ends)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, ok, err := r.l.Result(t.Context(), first.Key()); !ok || err != nil {
		t.Errorf("what is on disk is not known: %v", err)
	}
	if err := r.l.Submit(t.Context(), second); err == nil {
		t.Error("both are within the cap of one")
	}
}
