package customer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/market/book"
	"github.com/gpuai/gpuai/p2p"
)

// pathWait bounds the look at how a rig is reached: a dial, and the time of a punch.
const pathWait = 10 * time.Second

// sends is how many bytes of files an order sends: its archive once it is in the spool, until then the files
// themselves.
func (c *Config) sends(r *Request) uint64 {
	n := r.InputBytes
	if !r.HasInputs() {
		return n
	}
	if info, err := os.Stat(filepath.Join(c.Spool, OrderIDOf(c.ID, r.Key).String(), inputsName)); err == nil {
		n = max(n, uint64(info.Size()))
	}
	return n
}

// needsDirect reports that an order's files are too large for a relay.
func (c *Config) needsDirect(r *Request) bool { return c.sends(r) > p2p.RelayFiles }

// paths is how this node reaches providers.
type paths struct {
	net  *paced
	book *Book
}

// look notes in the book how a provider is reached. Errors: peer-unreachable.
func (p paths) look(ctx context.Context, to market.NodeID, reach []string) (relayed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, pathWait)
	defer cancel()
	if relayed, err = p.net.Relayed(ctx, to, reach); err == nil {
		p.book.reached(to, relayed)
	}
	return relayed, err
}

// carry refuses a provider that is reached over a relay only, if the order's files are too large for one: nothing is
// paid for it.
func (q *Quotes) carry(ctx context.Context, r *Request, o offered) error {
	n := q.cfg.sends(r)
	if n <= p2p.RelayFiles {
		return nil
	}
	relayed, err := q.paths.look(ctx, o.provider, o.reach)
	if err != nil || !relayed {
		return err
	}
	return tooLargeForRelay("inputs", n)
}

func tooLargeForRelay(what string, n uint64) *market.Refusal {
	return market.Refuse(market.CodeNeedsDirect, market.KindConflict, fmt.Sprintf(
		"%s of %s; the rig is reached over a relay only, which carries %s", what, sizeText(n),
		sizeText(p2p.RelayFiles)))
}

func sizeText(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// Paths looks how those candidates are reached that others reach over a relay, at once, and notes it in the book. It
// reports whether any was found to be reached over a relay only that was not known for it.
func (q *Quotes) Paths(ctx context.Context, cands []book.Candidate) (some bool) {
	var g errgroup.Group
	found := make([]bool, len(cands))
	for i, c := range cands {
		if !slices.ContainsFunc(c.Offer.Reach, p2p.ByRelay) {
			continue
		}
		g.Go(func() error {
			relayed, err := q.paths.look(ctx, c.Provider, c.Offer.Reach)
			found[i] = relayed && err == nil && !c.Relayed // one that cannot be reached will not give a quote
			return nil
		})
	}
	_ = g.Wait() // the goroutines never fail
	return slices.Contains(found, true)
}

// unfit is the error of an order that nothing in the book fits.
func unfit(x book.Explanation) *market.Error {
	e := &market.Error{Code: market.CodeNoOfferFits, Kind: market.KindConflict, Op: "match order", Detail: x.Text(),
		Hint: x.Hint()}
	if x.OnlyRelayed() {
		e.Code = market.CodeNeedsDirect
	}
	return e
}

// Unfit is the code and the next step of a request that nothing in the book fits.
func Unfit(x book.Explanation) (code market.Code, hint string) {
	e := unfit(x)
	return e.Code, e.Hint
}

// errStillRelayed: outputs wait at their rig.
var errStillRelayed = errors.New("the rig is still reached over a relay only")

// waiting says why outputs are not here yet, and what their owner can do about it.
func waiting(err error) string {
	if market.CodeOf(err) == market.CodeNeedsDirect {
		return err.Error() + "; it is looked for all the time: forward port 4801, UDP and TCP, to this machine in " +
			"a router"
	}
	return err.Error()
}

// relayBound fails once more than a relay carries of a lease's files has come through it.
type relayBound struct {
	r    io.Reader
	left int64
}

func newRelayBound(r io.Reader) *relayBound { return &relayBound{r, p2p.RelayFiles} }

// Read implements io.Reader. Errors: needs-direct; the reader's.
func (b *relayBound) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, market.Refuse(market.CodeNeedsDirect, market.KindConflict,
			"the outputs are larger than what a relay carries: they wait at the rig until it is reached directly")
	}
	return n, err
}
