package public_test

import (
	"bufio"
	"fmt"
	"math"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/public"
)

// TestAbsurd_TimesAndVersions: a time that a peer or an endpoint makes up and no calendar has is not shown, the rest of
// its row is; of versions that rigs make up some are named.
func TestAbsurd_TimesAndVersions(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s site) {
		var c db.Change
		for i := range 300 {
			r := rig(i, "h100", "DE", 5, 1, 1)
			r.Version = fmt.Sprintf("9.9.%d", i%100)
			c.Rigs = append(c.Rigs, r)
		}
		for i, at := range []int64{math.MinInt64, -1, 1 << 62, math.MaxInt64} {
			c.Leases = append(c.Leases, db.Lease{ID: fmt.Sprintf("lease_%d", i), Accepted: at, Ready: at,
				Ended: start.UnixMilli(), Code: "completed", Fault: 1, ByProvider: []byte("p"), ByCustomer: []byte("c"),
				Deal: db.Deal{Class: "h100", Mint: public.SOLMint, Devices: 1, Rate: 1, Provider: "peer001",
					Customer: "x", Channel: "9aF5Tq1vbmgnJ5pYbDzCkLFqUvoeH9wqPv6JcgkGuQbe", Payer: "a", Payee: "b"}})
			c.Txs = append(c.Txs, db.Tx{Sig: fmt.Sprintf("sig%d", i), Inner: -1, Slot: 5, At: at, Result: db.TxOK,
				Name: "claim", Channel: "9aF5Tq1vbmgnJ5pYbDzCkLFqUvoeH9wqPv6JcgkGuQbe"})
		}
		c.Channels = []db.Channel{{ID: "9aF5Tq1vbmgnJ5pYbDzCkLFqUvoeH9wqPv6JcgkGuQbe", Payer: "a", Payee: "b",
			Mint: public.SOLMint, OpenedAt: math.MaxInt64 / 1000, Deadline: math.MinInt64, Slot: 1}}
		s.apply(t, start, c)
		l := read[public.Leases](t, s, "/leases")
		if len(l.Leases) != 4 || !l.Leases[0].StartedAt.IsZero() || l.Leases[0].EndedAt.IsZero() {
			t.Errorf("%+v", l)
		}
		for i := range 4 { // the document's form is judged
			read[public.LeasePage](t, s, fmt.Sprintf("/leases/lease_%d", i))
		}
		read[public.ChannelPage](t, s, "/channels/"+c.Channels[0].ID)
		if n := read[public.Network](t, s, "/network"); len(n.Versions) != 50 || n.Versions[0].Rigs.Value != 3 {
			t.Errorf("%d versions", len(n.Versions))
		}
	})
}

// TestBodies_SayTheirBound: a body that is too large is refused with the bound of this listener.
func TestBodies_SayTheirBound(t *testing.T) {
	t.Parallel()
	s := relaying(t, nil)
	for _, known := range []bool{true, false} {
		r := httptest.NewRequest("POST", public.Base+"/graphql", strings.NewReader(`{"query":"`+
			strings.Repeat("a", 20_000)+`"}`))
		if !known {
			r.ContentLength = -1
		}
		w := httptest.NewRecorder()
		public.Guarded(s.mux).ServeHTTP(w, r)
		if w.Code != 413 || !strings.Contains(w.Body.String(), "16384 bytes") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

// TestBodies_BreakOff: a body that its sender does not end, or cuts into pieces of no size, is the sender's fault.
func TestBodies_BreakOff(t *testing.T) {
	t.Parallel()
	s := relaying(t, nil)
	at := httptest.NewServer(public.Guarded(s.mux))
	defer at.Close()
	for _, body := range []string{"5\r\n{\"que\r\nzz\r\n", "5\r\n{\"queXX"} {
		c, err := net.Dial("tcp", at.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, err = fmt.Fprintf(c, "POST %s/graphql HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%s",
			public.Base, body)
		if err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "HTTP/1.1 400") {
			t.Errorf("%q: %s, %v", body, line, err)
		}
		_ = c.Close() // of a test
	}
}
