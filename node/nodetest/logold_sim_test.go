package nodetest

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/tunnel"
	"github.com/gpuai/gpuai/p2p/streams"
)

// TestLogs_OlderCustomer_GetsItsOwnForm: a customer of a version without places reads a log as it always did, to an end
// that it understands.
func TestLogs_OlderCustomer_GetsItsOwnForm(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Minute}, func(t *testing.T, w *world) {
		w.engine.SetLogs(letters(5, 0))
		v := w.await(t, w.place(t, request("old")), in(market.Running))
		net := streams.New(w.ch, streams.Handlers{}, w.clog)
		fc, err := net.Tunnel(t.Context(), v.Provider, streams.TunnelOpen{
			Lease: v.Lease.ID, Kind: streams.TunnelLogs, Args: []byte(`{"since":"0001-01-01T00:00:00Z","follow":true}`),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer fc.Close()
		got := ""
		for {
			ch, b, err := fc.Read()
			if err != nil {
				t.Fatal(err)
			}
			if ch == streams.ChanControl {
				if string(b) != `{"end":true}` || got != "abcde" {
					t.Errorf("%s after %q", b, got)
				}
				return
			}
			at, stream, data, err := tunnel.DecodeLog(b)
			if err != nil || stream != 1 || !at.Equal(time.Unix(5, 0)) {
				t.Errorf("%v %d %v", at, stream, err)
			}
			got += string(data)
		}
	})
}
