package provider

import (
	"fmt"
	"io"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/streams"
)

// relayBound counts files that are to go over a relay. Both ends of a lease hold to its bound: a customer that does
// not would fill the relay with the same bytes again and again.
type relayBound struct {
	r io.Reader
	n int
}

// Write implements io.Writer. Error: needs-direct.
func (b *relayBound) Write(p []byte) (int, error) {
	if b.n += len(p); b.n > p2p.RelayFiles {
		return 0, tooLargeForRelay("outputs")
	}
	return len(p), nil
}

// Read implements io.Reader. Errors: needs-direct; the reader's.
func (b *relayBound) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.n += n; b.n > p2p.RelayFiles {
		return 0, tooLargeForRelay("inputs")
	}
	return n, err
}

// bounded is what comes from a customer through a tunnel, bounded if it is relayed.
func bounded(c *streams.FrameConn, r io.Reader) io.Reader {
	if c.Relayed() {
		return &relayBound{r: r}
	}
	return r
}

func tooLargeForRelay(what string) *market.Refusal {
	return market.Refuse(market.CodeNeedsDirect, market.KindConflict, fmt.Sprintf(
		"%s are larger than the %d MiB that go over a relay; they stay where they are until there is a direct way",
		what, p2p.RelayFiles>>20))
}
