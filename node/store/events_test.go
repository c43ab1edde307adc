package store

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

func openEvents(t *testing.T) (*Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "d", "state.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, path
}

func event(i int, at time.Time, money bool) Event {
	return Event{At: at, Topic: "lease", ID: fmt.Sprint("lease_", i), Cause: "test", Money: money}
}

func TestEvents_InTheCommitOfTheirCause(t *testing.T) {
	t.Parallel()
	s, path := openEvents(t)
	now := time.Now()
	changed := s.EventsChanged()
	put := []Put{{BucketOrders, []byte("a"), []byte("1")}}
	if err := s.Commit(t.Context(),
		Change{Puts: put, Events: []Event{event(1, now, false), event(2, now, true)}}); err != nil {
		t.Fatal(err)
	}
	<-changed
	// A change whose guard fails leaves neither its put nor its event, nor a gap.
	if err := s.Commit(t.Context(),
		Change{Guards: []Guard{{BucketOrders, []byte("a"), nil}}, Events: []Event{event(3, now, false)}}); err == nil {
		t.Fatal("the guard held")
	}
	if err := s.Commit(t.Context(), Change{Events: []Event{event(4, now, false)}}); err != nil {
		t.Fatal(err)
	}
	check := func(s *Store) {
		t.Helper()
		rows, floor, last, err := s.Events(1, 10)
		if err != nil || floor != 0 || last != 3 || len(rows) != 2 || rows[0].Seq != 2 || rows[1].Seq != 3 ||
			rows[1].ID != "lease_4" || !rows[0].Money {
			t.Errorf("rows %+v, floor %d, last %d, %v", rows, floor, last, err)
		}
	}
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	check(again)
}

func TestEvents_Prune(t *testing.T) {
	t.Parallel()
	s, _ := openEvents(t)
	now := time.Now()
	var all []Event
	for i := range 10 { // 1..10: old ones, of them 2 and 4 about money; then 11..20 of now
		all = append(all, event(i, now.Add(-8*24*time.Hour), i == 1 || i == 3))
	}
	for i := range 10 {
		all = append(all, event(i, now, i == 0))
	}
	if err := s.Commit(t.Context(), Change{Events: all}); err != nil {
		t.Fatal(err)
	}
	seqs := func() (out []uint64, floor uint64) {
		t.Helper()
		rows, floor, last, err := s.Events(0, 100)
		if err != nil || last != 20 {
			t.Fatal(last, err)
		}
		for _, r := range rows {
			out = append(out, r.Seq)
		}
		return out, floor
	}
	if err := s.PruneEvents(t.Context(), now, KeepEvents); err != nil {
		t.Fatal(err)
	}
	if got, floor := seqs(); fmt.Sprint(got) != "[2 4 11 12 13 14 15 16 17 18 19 20]" || floor != 10 {
		t.Errorf("by age: %v, floor %d", got, floor)
	}
	if err := s.PruneEvents(t.Context(), now, 5); err != nil {
		t.Fatal(err)
	}
	if got, floor := seqs(); fmt.Sprint(got) != "[2 4 11 19 20]" || floor != 18 {
		t.Errorf("by number: %v, floor %d", got, floor)
	}
	if err := s.PruneEvents(t.Context(), now.Add(2*KeepMoney), 5); err != nil {
		t.Fatal(err)
	}
	if got, floor := seqs(); len(got) != 0 || floor != 20 {
		t.Errorf("after years: %v, floor %d", got, floor)
	}
}

func TestAnswers_ExpireAndGo(t *testing.T) {
	t.Parallel()
	db, _ := openEvents(t)
	s := Answers{db}
	now := time.Now()
	for key, life := range map[string]time.Duration{"new": time.Hour, "old": -time.Second} {
		if err := s.SaveAnswer(key, []byte(key), now.Add(life)); err != nil {
			t.Fatal(err)
		}
	}
	for key, want := range map[string]string{"new": "new", "old": "", "none": ""} {
		if got, err := s.LoadAnswer(key); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", key, got, err)
		}
	}
	if err := s.Prune(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if b, err := db.Get(BucketAnswers, []byte("old")); b != nil || err != nil {
		t.Errorf("an expired answer stayed: %q, %v", b, err)
	}
	if err := s.DropAnswer("new"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.LoadAnswer("new"); got != nil || err != nil {
		t.Errorf("a dropped answer stayed: %q, %v", got, err)
	}
}
