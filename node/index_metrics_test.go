package node

import (
	"fmt"
	"slices"
	"testing"
)

// TestObserve_PublicRoutesHaveTheirWholePath: the local API has routes of the same names.
func TestObserve_PublicRoutesHaveTheirWholePath(t *testing.T) {
	t.Parallel()
	var s Site
	s.observe("GET /leases/{id}", 200) // nobody counts yet
	var got []string
	count := func(op string, status int) { got = append(got, fmt.Sprint(op, " ", status)) }
	s.asked.Store(&count)
	s.observe("GET /leases/{id}", 304)
	s.observe("none", 404)
	if want := []string{"GET /public/v1/leases/{id} 304", "none /public/v1 404"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
