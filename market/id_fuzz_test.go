package market

import "testing"

// FuzzIDs: a text that is read as an id is the id's only text.
func FuzzIDs(f *testing.F) {
	f.Add(LeaseID{1}.String())
	f.Add(OrderID{1}.String())
	f.Add(NodeID{1}.String())
	f.Add(Address{1}.String())
	f.Add("lease_00000000000000000000000001")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := ParseLeaseID(s); err == nil && id.String() != s {
			t.Fatalf("lease %q is %s", s, id)
		}
		if id, err := ParseOrderID(s); err == nil && id.String() != s {
			t.Fatalf("order %q is %s", s, id)
		}
		if id, err := ParseNodeID(s); err == nil && id.String() != s {
			t.Fatalf("node %q is %s", s, id)
		}
		if a, err := ParseAddress(s); err == nil && a.String() != s {
			t.Fatalf("address %q is %s", s, a)
		}
	})
}
