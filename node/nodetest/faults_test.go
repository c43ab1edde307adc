package nodetest

import (
	"context"
	"crypto/ed25519"
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/p2p/p2ptest"
	"github.com/gpuai/gpuai/p2p/streams"
	"github.com/gpuai/gpuai/p2p/wire"
)

// switches are what a test can break about a customer's network.
type switches struct {
	noPay     atomic.Bool // payments do not leave
	noOutcome atomic.Bool // neither do outcomes
	cut       atomic.Bool // nothing does; see cutOff
	noAmend   atomic.Bool // new caps do not leave
	dead      atomic.Bool // nothing is submitted to the ledger
	// noChannels: the ledger shows the customer no channel, as before a confirmation
	noChannels atomic.Bool
	// failTopUps is how many top-ups are taken and then fail, as with a wallet that was emptied meanwhile
	failTopUps atomic.Int32
	// refuse is how many leases are refused in the provider's place, at once and as busy
	refuse atomic.Int32
	// lie makes the provider's documents another's: a receipt is changed and signed anew with the provider's key, a
	// release replaced
	lie atomic.Pointer[lies]
	// proposing is called before a lease leaves, which then leaves whatever becomes of its sender
	proposing atomic.Pointer[func()]
	// paying is called before a payment leaves, heard when a receipt has come
	paying, heard atomic.Pointer[func()]

	mu      sync.Mutex
	open    map[*vouchers]struct{}
	refused map[market.LeaseID]bool
}

var errCut = errors.New("cut off by the test")

// cutOff takes the customer off the network, or back.
func (s *switches) cutOff(on bool) {
	s.cut.Store(on)
	if on {
		s.hangUp()
	}
}

// hangUp ends all voucher sessions.
func (s *switches) hangUp() {
	s.mu.Lock()
	var open []*vouchers
	for v := range s.open {
		open = append(open, v)
	}
	s.mu.Unlock()
	for _, v := range open {
		_ = v.Close() // it may be closed already
	}
}

// refuses reports whether a lease that is sent is refused, and counts it once.
func (s *switches) refuses(id market.LeaseID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.refused[id] && s.refuse.Add(-1) < 0 {
		return false
	}
	if s.refused == nil {
		s.refused = map[market.LeaseID]bool{}
	}
	s.refused[id] = true
	return true
}

// custNet is the customer's way to its providers behind the switches.
type custNet struct {
	customer.Net
	sw *switches
}

func (n custNet) Quote(ctx context.Context, to market.NodeID, reach []string, order []byte) ([]byte, error) {
	if n.sw.cut.Load() {
		return nil, errCut
	}
	return n.Net.Quote(ctx, to, reach, order)
}

func (n custNet) Propose(ctx context.Context, to market.NodeID, lease []byte) error {
	if n.sw.cut.Load() {
		return errCut
	}
	env, err := wire.Open(lease, p2ptest.Network)
	if err != nil {
		return err
	}
	if n.sw.refuses(market.LeaseID(env.ID)) {
		return nil
	}
	if f := n.sw.proposing.Load(); f != nil {
		(*f)()
		ctx = context.WithoutCancel(ctx)
	}
	return n.Net.Propose(ctx, to, lease)
}

func (n custNet) Status(ctx context.Context, to market.NodeID, id market.LeaseID) (market.Status, error) {
	if n.sw.cut.Load() {
		return market.Status{}, errCut
	}
	n.sw.mu.Lock()
	refused := n.sw.refused[id]
	n.sw.mu.Unlock()
	if refused {
		return market.Status{Lease: id, State: market.Refused, Cause: "busy"}, nil
	}
	s, err := n.Net.Status(ctx, to, id)
	if l := n.sw.lie.Load(); l != nil && err == nil {
		l.status(&s)
	}
	return s, err
}

func (n custNet) Stop(ctx context.Context, to market.NodeID, stop []byte) error {
	if n.sw.cut.Load() {
		return errCut
	}
	return n.Net.Stop(ctx, to, stop)
}

func (n custNet) Amend(ctx context.Context, to market.NodeID, amend []byte) error {
	if n.sw.cut.Load() || n.sw.noAmend.Load() {
		return errCut
	}
	return n.Net.Amend(ctx, to, amend)
}

func (n custNet) Outcome(ctx context.Context, to market.NodeID, outcome []byte) ([]byte, error) {
	if n.sw.cut.Load() || n.sw.noOutcome.Load() {
		return nil, errCut
	}
	return n.Net.Outcome(ctx, to, outcome)
}

func (n custNet) Tunnel(ctx context.Context, to market.NodeID, o streams.TunnelOpen) (*streams.FrameConn, error) {
	if n.sw.cut.Load() {
		return nil, errCut
	}
	return n.Net.Tunnel(ctx, to, o)
}

func (n custNet) Vouchers(ctx context.Context, to market.NodeID) (streams.VoucherSession, error) {
	if n.sw.cut.Load() {
		return nil, errCut
	}
	s, err := n.Net.Vouchers(ctx, to)
	if err != nil {
		return nil, err
	}
	v := &vouchers{VoucherSession: s, sw: n.sw}
	n.sw.mu.Lock()
	if n.sw.open == nil {
		n.sw.open = map[*vouchers]struct{}{}
	}
	n.sw.open[v] = struct{}{}
	n.sw.mu.Unlock()
	return v, nil
}

// ledger is the customer's wallet behind the switches; like the real one it remembers its intents over restarts.
type ledger struct {
	escrow.Ledger
	own *escrowtest.Ledger // the same, unless a test has put another in front of it
	sw  *switches
}

func (l ledger) Serve(ctx context.Context) error { return l.own.Serve(ctx) }
func (l ledger) Address() market.Address         { return l.own.Address() }

func (l ledger) Needs(ctx context.Context, in escrow.Intent) (escrow.Needs, error) {
	return l.own.Needs(ctx, in)
}

func (l ledger) Airdrop(ctx context.Context, to market.Address, amount market.Amount) error {
	return l.own.Airdrop(ctx, to, amount)
}

func (l ledger) Submit(ctx context.Context, in escrow.Intent) error {
	if l.sw.dead.Load() {
		return errCut
	}
	if in.Op == escrow.OpTopUp && l.sw.failTopUps.Load() > 0 {
		return nil
	}
	return l.Ledger.Submit(ctx, in)
}

func (l ledger) Result(ctx context.Context, key string) (escrow.Result, bool, error) {
	r, ok, err := l.Ledger.Result(ctx, key)
	if !ok && strings.Contains(key, escrow.OpTopUp.String()) && l.sw.failTopUps.Add(-1) >= 0 {
		return escrow.Result{State: escrow.Failed, Err: "insufficient lamports"}, true, nil
	}
	return r, ok, err
}

func (l ledger) Channels(ctx context.Context, ids []market.ChannelID, t escrow.Trust) ([]escrow.ChannelState, error) {
	if !l.sw.noChannels.Load() {
		return l.Ledger.Channels(ctx, ids, t)
	}
	out := make([]escrow.ChannelState, len(ids))
	for i, id := range ids {
		out[i] = escrow.ChannelState{ID: id, Status: escrow.StatusGone}
	}
	return out, nil
}

// vouchers is a session behind the switches.
type vouchers struct {
	streams.VoucherSession
	sw *switches
}

func (v *vouchers) Pay(ctx context.Context, p market.Payment) (market.Amount, error) {
	if v.sw.noPay.Load() || v.sw.cut.Load() {
		return 0, errCut
	}
	if f := v.sw.paying.Load(); f != nil {
		(*f)()
	}
	return v.VoucherSession.Pay(ctx, p)
}

func (v *vouchers) Recv(ctx context.Context) (streams.VoucherPush, error) {
	m, err := v.VoucherSession.Recv(ctx)
	if f := v.sw.heard.Load(); f != nil && m.Receipt != nil {
		(*f)()
	}
	if l := v.sw.lie.Load(); l != nil && err == nil {
		m.Receipt = l.receipt(m.Receipt)
		if m.Status != nil {
			l.status(m.Status)
		}
		if m.Release != nil && l.release != nil {
			m.Release.Bytes = l.release(m.Release.Channel)
		}
	}
	return m, err
}

func (v *vouchers) ReleaseRequest(ctx context.Context, ch market.ChannelID) ([114]byte, error) {
	b, err := v.VoucherSession.ReleaseRequest(ctx, ch)
	if l := v.sw.lie.Load(); l != nil && err == nil && l.release != nil {
		return l.release(ch), nil
	}
	return b, err
}

func (v *vouchers) Close() error {
	v.sw.mu.Lock()
	delete(v.sw.open, v)
	v.sw.mu.Unlock()
	return v.VoucherSession.Close()
}

// lies are what a hostile provider says instead of the truth; it has all its keys.
type lies struct {
	key     ed25519.PrivateKey
	network string
	claim   func(*market.Receipt)
	outcome func(*market.Outcome)
	release func(market.ChannelID) [114]byte
}

func (l *lies) receipt(raw []byte) []byte {
	r, _, err := wire.OpenReceipt(raw, l.network)
	if err != nil || l.claim == nil {
		return raw
	}
	l.claim(&r)
	if out, err := wire.SealReceipt(l.key, l.network, r); err == nil {
		return out
	}
	return raw
}

func (l *lies) status(s *market.Status) {
	s.Receipt = l.receipt(s.Receipt)
	o, _, err := wire.OpenOutcome(s.Outcome, l.network)
	if err != nil || l.outcome == nil {
		return
	}
	l.outcome(&o)
	if out, err := wire.SealOutcome(l.key, l.network, o); err == nil {
		s.Outcome = out
	}
}
