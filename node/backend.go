package node

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/health"
	"github.com/gpuai/gpuai/node/joblog"
	"github.com/gpuai/gpuai/node/provider"
	"github.com/gpuai/gpuai/node/rest"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/node/tunnel"
	"github.com/gpuai/gpuai/runtime/image"
	"github.com/gpuai/gpuai/runtime/job"
)

// Version is this program's version, as Offers and the API state it.
const Version = api.Version

// endWait bounds how long a shutdown waits for leases to end; answerTime lets the answer to the shutdown itself leave.
const (
	endWait    = 6 * time.Minute
	answerTime = 200 * time.Millisecond
)

// Backend serves the API out of a node whose roles run.
type Backend struct {
	n       *Node
	stop    func()
	started time.Time
	images  *image.Resolver

	settings config.Options // where the settings came from
	changing sync.Mutex     // one change of settings at a time, up to its effect
	watch    *health.Watch
	metrics  *health.Metrics
}

var _ api.Backend = (*Backend)(nil)

// NewBackend returns the API's side of a node. Call it once the node's Serve is ready, then Serve; stop ends the node.
// settings are those that its config was loaded with.
func NewBackend(n *Node, settings config.Options, stop func()) (*Backend, error) {
	r, err := image.NewResolver("linux/amd64", nil)
	if err != nil {
		return nil, err
	}
	b := &Backend{n: n, settings: settings, stop: stop, started: time.Now(), images: r}
	b.watch = health.NewWatch(b.doctorInput)
	b.metrics = health.NewMetrics(Version, b.facts)
	return b, nil
}

func (b *Backend) customer() (*customer.Customer, error) {
	g, err := Guest[Buyer](b.n, "customer")
	return g.Customer, err
}

func (b *Backend) provider() (*provider.Provider, error) {
	g, err := Guest[Seller](b.n, "provider")
	return g.Provider, err
}

// Status implements api.Backend.
func (b *Backend) Status(context.Context) (api.Status, error) {
	host, c := b.n.host, b.n.site.Config
	s := api.Status{
		Schema: "gpuai.status/v1", PeerID: host.ID().String(), Version: Version, Network: host.Network().Name,
		Roles: c.Node.Roles, Addresses: host.FullAddrs(), Peers: host.Peers(), StartedAt: rest.At(b.started),
	}
	if s.Roles == nil {
		s.Roles = []string{}
	}
	if b.n.early() {
		s.Notice = "the ledger of " + s.Network + " has not answered yet: offers, orders and money wait for it"
		return s, nil
	}
	s.Genesis = b.n.genesis
	if l := b.n.Spending(); l != nil {
		s.Wallet = l.Address().String()
	}
	if b.n.replaced {
		s.Notice = "the ledger is another one than at the last start: wallet and channels of the old one are gone " +
			"with it, its orders are history"
	}
	each(b.n, func(g stater) { g.State(&s) })
	return s, nil
}

func over(v customer.View) bool {
	return v.Standing == customer.StandingEnded || v.Standing == customer.StandingFailed
}

// Shutdown implements api.Backend.
func (b *Backend) Shutdown(ctx context.Context, endLeases bool) error {
	b.security(ctx, b.n.host.ID().String(), "shutdown")
	if endLeases {
		if err := b.endAll(ctx); err != nil {
			return err
		}
	}
	time.AfterFunc(answerTime, b.stop)
	return nil
}

func (b *Backend) endAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, endWait)
	defer cancel()
	var errs []error
	each(b.n, func(g ender) { errs = append(errs, g.End(ctx)) })
	return errors.Join(errs...)
}

// Logs implements api.Backend.
func (b *Backend) Logs(ctx context.Context, id string, q api.LogQuery, f func(api.LogPiece) error) (api.LogState,
	error) {
	c, err := b.customer()
	if err != nil {
		return api.LogState{}, err
	}
	s, err := c.Logs(ctx, id, customer.LogQuery(q), func(r job.LogRecord) error {
		return f(api.LogPiece{Offset: r.Offset, At: r.Time, Stream: r.Stream, Data: r.Data, Gap: r.Gap})
	})
	return logState(s), err
}

func logState(s joblog.State) api.LogState {
	return api.LogState{Bytes: s.Total, Missing: s.Missing, Over: s.Over, Complete: s.Complete(), Why: s.Why}
}

// Exec implements api.Backend.
func (b *Backend) Exec(ctx context.Context, id string, argv []string, tty *api.Terminal, stdin io.Reader,
	out func(stream uint8, data []byte) error) (int, error) {
	c, err := b.customer()
	if err != nil {
		return 0, err
	}
	if len(argv) == 0 {
		return 0, &market.Error{Code: market.CodeBadUsage, Kind: market.KindInvalid, Op: "exec",
			Detail: "a command is needed",
			Hint:   "gpuai exec - -- nvidia-smi"}
	}
	args := tunnel.ExecArgs{Argv: argv}
	if tty == nil {
		return c.Exec(ctx, id, args, nil, stdin, out)
	}
	args.TTY, args.Cols, args.Rows, args.Term = true, tty.Cols, tty.Rows, tty.Term
	return c.Exec(ctx, id, args, tty.Resized, stdin, out)
}

// Provider implements api.Backend.
func (b *Backend) Provider(context.Context) (api.Provider, error) {
	p, err := b.provider()
	if err != nil {
		return api.Provider{}, err
	}
	v := p.View()
	out := api.Provider{
		Schema: "gpuai.provider/v1", Selling: v.Selling, Payout: v.Payout.String(), FeePayer: v.FeePayer.String(),
		Leases: v.Live,
		Earned: api.SOL(v.Earned.Total()), Settled: api.SOL(v.Earned.Settled), Claim: api.SOL(v.Earned.Claimable),
		Now:     api.SOL(v.Earned.Now),
		Devices: []api.Device{}, Rate: api.RateSOL(v.Policy.Rate), Rates: map[string]api.Money{},
	}
	if !v.Since.IsZero() {
		at := rest.At(v.Since)
		out.Since = &at
	}
	if w := p.Waits(); w.Sum > 0 {
		sum, lacks := api.SOL(w.Sum), api.SOL(w.Missing)
		out.Waits, out.Missing = &sum, &lacks
	}
	for class, r := range v.Policy.Rates {
		out.Rates[class] = api.RateSOL(r)
	}
	out.Note = v.Note
	if !v.Selling {
		out.Why = whyNot(v)
	}
	for _, d := range v.Devices {
		dev := api.Device{Schema: "gpuai.device/v1", ID: d.ID.String(), Class: d.Class, State: d.State,
			Rate: api.RateSOL(d.Rate)}
		if d.Lease != (market.LeaseID{}) {
			dev.Lease = d.Lease.String()
		}
		out.Devices = append(out.Devices, dev)
	}
	return out, nil
}

// ProviderSell implements api.Backend.
func (b *Backend) ProviderSell(ctx context.Context, on bool) (api.Provider, error) {
	p, err := b.provider()
	if err != nil {
		return api.Provider{}, err
	}
	p.SetSelling(on)
	b.tell(ctx, store.Event{Topic: "offer", ID: b.n.host.ID().String(),
		Cause: map[bool]string{true: "resumed", false: "paused"}[on]})
	return b.Provider(ctx)
}
