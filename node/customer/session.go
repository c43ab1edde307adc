package customer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/await"
	"github.com/gpuai/gpuai/p2p/streams"
	"github.com/gpuai/gpuai/p2p/wire"
)

// sessions are the voucher streams. All methods are safe for any goroutine.
type sessions struct {
	c *Customer

	mu sync.Mutex
	of map[market.NodeID]*session
}

// session is the voucher stream to one provider, shared by all leases with it; it reconnects while a lease needs it.
type session struct {
	c        *Customer
	provider market.NodeID
	users    int // under sessions.mu
	cancel   context.CancelFunc

	mu   sync.Mutex
	conn streams.VoucherSession
}

// join joins the session with a provider; leave ends it with its last user.
func (l *sessions) join(ctx context.Context, provider market.NodeID) *session {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.of[provider]
	if s == nil {
		sctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		s = &session{c: l.c, provider: provider, cancel: cancel}
		l.of[provider] = s
		l.c.wg.Go(func() { s.serve(sctx) })
	}
	s.users++
	return s
}

// leave reports whether the last user left.
func (s *session) leave() (last bool) {
	l := &s.c.sessions
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.users--; s.users > 0 {
		return false
	}
	delete(l.of, s.provider)
	s.cancel()
	return true
}

func (s *session) serve(ctx context.Context) {
	wait := 100 * time.Millisecond
	for ctx.Err() == nil {
		began := time.Now()
		if err := s.once(ctx); err != nil && ctx.Err() == nil {
			s.c.log.Debug("Voucher session ended", "provider", s.provider, "error", err)
		}
		if time.Since(began) > 10*time.Second {
			wait = 100 * time.Millisecond
		}
		_ = await.Sleep(ctx, wait) // ctx is checked by the loop
		wait = min(2*wait, 5*time.Second)
	}
}

// once connects and takes pushes until the stream ends.
func (s *session) once(ctx context.Context) error {
	conn, err := s.c.net.Vouchers(ctx, s.provider)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.conn = conn
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.conn = nil
		s.mu.Unlock()
		_ = conn.Close() // the stream is over
	}()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	s.c.wg.Go(func() { s.repeat(ctx) })
	for {
		m, err := conn.Recv(ctx)
		if err != nil {
			return err
		}
		s.c.net.hear(s.provider, nil)
		s.take(ctx, m)
	}
}

// take gives a push to the lease it is about; a wrong signature or lease is dropped.
func (s *session) take(ctx context.Context, m streams.VoucherPush) {
	switch {
	case m.Receipt != nil:
		r, _, err := wire.OpenReceipt(m.Receipt, s.c.cfg.Network)
		if err != nil {
			s.c.log.Warn("Receipt was ignored", "provider", s.provider, "error", err)
			return
		}
		if run := s.c.runOf(r.Lease, s.provider); run != nil {
			run.hire.takeReceipt(ctx, s.provider, m.Receipt)
		}
	case m.Status != nil:
		if run := s.c.runOf(m.Status.Lease, s.provider); run != nil {
			run.hire.takeStatus(ctx, *m.Status)
		}
	case m.Release != nil:
		if err := s.c.KeepRelease(ctx, s.provider, m.Release.Channel, m.Release.Bytes); err != nil {
			// it is asked for when the channel is closed
			s.c.log.Debug("Release was ignored", "provider", s.provider, "error", err)
		}
	}
}

// with is the session with a provider, nil if there is none.
func (l *sessions) with(provider market.NodeID) *session {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of[provider]
}

// live is the stream while there is one; a nil session has none.
func (s *session) live() streams.VoucherSession {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn
}

// pay sends a Payment over the live stream.
func (s *session) pay(ctx context.Context, p market.Payment) (market.Amount, error) {
	conn := s.live()
	if conn == nil {
		return 0, errors.New("no voucher session")
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return conn.Pay(ctx, p)
}

// runOf finds the order of a lease with this provider.
func (l *orders) runOf(id market.LeaseID, provider market.NodeID) *orderRun {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.runs {
		r.mu.Lock()
		hit := r.row.Lease != nil && r.row.Lease.ID == id && r.row.Provider == provider && r.hire.at() != nil
		r.mu.Unlock()
		if hit {
			return r
		}
	}
	return nil
}

// event gives the machine what happened; an illegal event is a late or repeated message.
func (h *hire) event(ctx context.Context, ev market.Event) {
	a := h.at()
	if a == nil {
		return
	}
	if err := a.Do(ctx, ev); err != nil && !errors.Is(err, market.ErrIllegal) && !a.Lease().Terminal() &&
		ctx.Err() == nil {
		h.r.c.log.Warn("Lease event was not taken", "order", h.r.row.ID, "event", fmt.Sprintf("%T", ev), "error", err)
	}
}

func (h *hire) takeStatus(ctx context.Context, s market.Status) {
	h.mu.Lock()
	h.phase, h.done, h.total = s.Phase, s.Done, s.Total
	h.mu.Unlock()
	o := h.r.snapshot()
	if o.Lease == nil { // refused meanwhile, the order searches on
		return
	}
	if o.Decision == nil && s.Decision != nil {
		if d, env, err := wire.OpenDecision(s.Decision, h.r.c.cfg.Network); err == nil && env.Signer == o.Provider &&
			d.Lease == o.Lease.ID {
			_ = h.r.update(ctx, func(o *orderRow) { o.Decision = s.Decision })
		}
	}
	ran := h.takeOutcome(ctx, o, s.Outcome)
	wrong := false
	if p, _, err := wire.OpenProposal(o.Raw, h.r.c.cfg.Network); err == nil {
		named := s.State == market.Running || s.State == market.Paused || s.State > market.Paused && len(s.Devices) > 0
		if q, _, err := wire.OpenQuote(p.Quote, h.r.c.cfg.Network); err == nil && named {
			wrong = !sameDevices(s.Devices, q.Devices)
		}
	}
	h.event(ctx, market.StatusSeen{Status: s, WrongDevices: wrong, Ran: ran, BootMS: h.r.c.clock.BootMS()})
	h.recall(ctx, o, s)
	h.r.bell.Ring()
}

// takeOutcome keeps the provider's signed Outcome; one that names outputs replaces one that names none. ran: it says
// that the job was ready.
func (h *hire) takeOutcome(ctx context.Context, o orderRow, raw []byte) (ran bool) {
	if raw == nil {
		return false
	}
	out, env, err := wire.OpenOutcome(raw, h.r.c.cfg.Network)
	if err != nil || env.Signer != o.Provider || out.Lease != o.Lease.ID {
		return false
	}
	old, _, err := wire.OpenOutcome(o.Outcome, h.r.c.cfg.Network)
	if o.Outcome == nil || err == nil && old.OutputsRoot == ([32]byte{}) && out.OutputsRoot != ([32]byte{}) {
		_ = h.r.update(ctx, func(o *orderRow) { o.Outcome = raw })
	}
	return wasReady(out)
}

// wasReady: the job ran, by the signed word of its provider. One that never did has nothing to bring home.
func wasReady(o market.Outcome) bool {
	return !o.Ready.IsZero() || o.BillableMS > 0 || o.OutputsRoot != [32]byte{}
}

func sameDevices(a, b []market.DeviceID) bool {
	if len(a) != len(b) {
		return false
	}
	have := map[market.DeviceID]bool{}
	for _, d := range a {
		have[d] = true
	}
	for _, d := range b {
		if !have[d] {
			return false
		}
	}
	return true
}
