package api

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	"github.com/gpuai/gpuai/node/rest"
)

// soldMany is a backend with so many leases, whose second page begins with one of the first: it ended meanwhile.
type soldMany struct {
	whole
	n int
}

func (m *soldMany) ProviderLeases(_ context.Context, q LeaseQuery) (out []Lease, next string, err error) {
	at, _ := strconv.Atoi(q.After) // "" is the beginning
	if at == rest.MaxLimit {
		at--
	}
	for ; at < m.n && len(out) < q.Limit; at++ {
		out = append(out, Lease{ID: fmt.Sprint("lease_", at)})
	}
	if at < m.n {
		next = strconv.Itoa(at)
	}
	return out, next, nil
}

// TestProviderLeases_Pages: more leases than a page holds come each once; with a limit so many, and where they go on.
func TestProviderLeases_Pages(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, &soldMany{n: 1234})
	for limit, more := range map[int]bool{0: false, 1: true, 150: true, 1100: true, 5000: false} {
		list, next, err := c.ProviderLeases(t.Context(), LeaseQuery{Limit: limit})
		want := 1234
		if limit > 0 {
			want = min(want, limit)
		}
		if limit > rest.MaxLimit && more {
			want-- // the one that came twice
		}
		if err != nil || len(list) != want || next != "" != more {
			t.Fatalf("limit %d: %d leases, next %q, %v", limit, len(list), next, err)
		}
		for i, l := range list {
			if l.ID != fmt.Sprint("lease_", i) {
				t.Fatalf("limit %d: place %d has %s", limit, i, l.ID)
			}
		}
	}
}
