package main

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Both sides of the bench answer alike, or its figures compare nothing.
func TestMatch_PeerFindsAsMany(t *testing.T) {
	t.Parallel()
	rng, now := rand.New(rand.NewPCG(3, 4)), time.Now()
	b, _, err := fillBook(rng, 2000, now)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := newSQL(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	defer peer.db.Close()
	some := 0
	for i := range 200 {
		q := anyQuery(rng)
		if i%2 == 0 {
			q = typical(rng)
		}
		n, err := peer.match(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(b.Match(q, now).Candidates); got != n {
			t.Errorf("%d candidates, SQLite finds %d for %+v", got, n, q)
		}
		some += min(n, 1)
	}
	if some < 20 {
		t.Errorf("only %d queries find anything", some)
	}
}
