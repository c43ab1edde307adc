package store

import (
	"path/filepath"
	"slices"
	"testing"
)

// TestPage_BothWays: each page goes on where the one before ended, also where its last key is gone.
func TestPage_BothWays(t *testing.T) {
	t.Parallel()
	s, err := Open(filepath.Join(t.TempDir(), "d", "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	read := func(after string, n int, back bool) (out string) {
		t.Helper()
		var from []byte
		if after != "" {
			from = []byte(after)
		}
		list, err := s.Page(BucketOrders, from, n, back)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if !slices.Equal(e.Value, append([]byte("v"), e.Key...)) {
				t.Errorf("%s has %s", e.Key, e.Value)
			}
			out += string(e.Key)
		}
		return out
	}
	if got := read("", 3, false) + read("", 3, true) + read("x", 3, true) + read("x", 3, false); got != "" {
		t.Errorf("an empty bucket has %q", got)
	}
	var c Change
	for _, k := range []string{"b", "d", "f", "h"} {
		c.Puts = append(c.Puts, Put{BucketOrders, []byte(k), []byte("v" + k)})
	}
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		after string
		n     int
		back  bool
		want  string
	}{
		{"", 3, false, "bdf"}, {"f", 3, false, "h"}, {"h", 3, false, ""}, {"c", 2, false, "df"}, {"z", 1, false, ""},
		{"", 3, true, "hfd"}, {"d", 3, true, "b"}, {"b", 3, true, ""}, {"e", 2, true, "db"}, {"z", 1, true, "h"},
		{"a", 1, true, ""}, {"a", 9, false, "bdfh"}, {"", 0, true, ""},
	} {
		if got := read(x.after, x.n, x.back); got != x.want {
			t.Errorf("after %q, backwards %v: %q, want %q", x.after, x.back, got, x.want)
		}
	}
}
