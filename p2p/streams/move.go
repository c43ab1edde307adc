package streams

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/gpuai/gpuai/market"
)

// tunnelMove opens no tunnel: it has one go over to its stream. Args is the id that Opened gave it.
const tunnelMove TunnelKind = 255

// idBytes is the length of a tunnel's id: nobody guesses another one's.
const idBytes = 16

var errMoved = errors.New("the tunnel has gone on already")

// last is the stream that is written to in the end.
func (c *FrameConn) last() rawStream {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next != nil {
		return c.next
	}
	return c.in
}

// streams are those that the tunnel runs on now.
func (c *FrameConn) streams() []rawStream {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next != nil {
		return []rawStream{c.in, c.next}
	}
	return []rawStream{c.in}
}

// follow is the stream on which the reader goes on after the end of the last one; nil: it was the tunnel's end.
func (c *FrameConn) follow() rawStream {
	c.mu.Lock()
	moving := c.moving
	c.mu.Unlock()
	if moving != nil {
		<-moving
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nil {
		return nil
	}
	_ = c.in.Close() // both directions are at their end
	c.in, c.next = c.next, nil
	return c.in
}

// spent is a stream on a circuit that has little left.
type spent interface{ Spent() bool }

// room waits, at most writeTimeout, for a tunnel on a circuit that has little left to go over: what is faster than that
// would be cut by the relay.
func (c *FrameConn) room() {
	c.mu.Lock()
	out, moved := c.in, c.moved
	if c.next != nil {
		out = c.next
	}
	c.mu.Unlock()
	if s, ok := out.(spent); !ok || c.id == nil || !s.Spent() {
		return
	}
	t := time.NewTimer(writeTimeout)
	defer t.Stop()
	select {
	case <-moved:
	case <-t.C:
	}
}

// begin keeps the reader from taking the old stream's end for the tunnel's, until done.
func (c *FrameConn) begin() (done func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.moving != nil || c.next != nil || c.shut || c.shutIn {
		return nil, false // it is about to end, or goes on already
	}
	moving := make(chan struct{})
	c.moving = moving
	return func() {
		c.mu.Lock()
		c.moving = nil
		c.mu.Unlock()
		close(moving)
	}, true
}

// goOn continues on s behind the last whole frame of the old stream. Caller holds wm.
func (c *FrameConn) goOn(s rawStream, relayed bool) error {
	old := c.out
	c.mu.Lock()
	c.next = s
	close(c.moved)
	c.moved = make(chan struct{})
	shut, shutIn := c.shut, c.shutIn
	c.mu.Unlock()
	c.out = s
	c.relayed.Store(relayed)
	errs := []error{old.CloseWrite(), s.SetDeadline(time.Time{})}
	if own := c.deadline.Load(); own != 0 {
		errs = append(errs, s.SetReadDeadline(time.Unix(0, own)))
	}
	if shut {
		errs = append(errs, s.CloseWrite())
	}
	if shutIn {
		errs = append(errs, s.CloseRead())
	}
	return errors.Join(errs...)
}

// serving is a tunnel that this node serves, by its id.
type serving struct {
	from  market.NodeID
	lease market.LeaseID
	c     *FrameConn
}

// register gives a tunnel that is served an id, until its end.
func (s *Service) register(from market.NodeID, lease market.LeaseID, c *FrameConn) {
	var id [idBytes]byte
	_, _ = rand.Read(id[:]) // never fails
	c.id = id[:]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serves[id] = serving{from, lease, c}
	c.closed = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.serves, id)
	}
}

// serveMove has a tunnel go over to the stream of the request.
func (s *Service) serveMove(from market.NodeID, o TunnelOpen, st network.Stream) error {
	var id [idBytes]byte
	copy(id[:], o.Args)
	s.mu.Lock()
	t, ok := s.serves[id]
	s.mu.Unlock()
	if !ok || len(o.Args) != idBytes || t.from != from || t.lease != o.Lease {
		return s.answer(st, 0, nil, market.Refuse(market.CodeNotFound, market.KindNotFound, "no such tunnel"))
	}
	done, ok := t.c.begin()
	if !ok {
		return s.answer(st, 0, nil, market.Refuse(market.CodeConflict, market.KindConflict, errMoved.Error()))
	}
	defer done()
	t.c.wm.Lock()
	defer t.c.wm.Unlock()
	if err := writeMsg(st, msgOpened, id[:]); err != nil {
		_ = st.Reset()
		return err
	}
	return t.c.goOn(st, st.Conn().Stat().Limited)
}

// opened is a tunnel that this node has opened.
type opened struct {
	to    market.NodeID
	lease market.LeaseID
}

// keep remembers a tunnel that can go over, until its end.
func (s *Service) keep(to market.NodeID, lease market.LeaseID, id []byte, c *FrameConn) {
	if len(id) != idBytes {
		return // an older node's
	}
	c.id = id
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opens[c] = opened{to, lease}
	c.closed = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.opens, c)
	}
}

// moveAll has the tunnels to a peer that run over a relay go over to the newest way to it: the relay is about to cut
// the old one, or there is none between any more.
func (s *Service) moveAll(ctx context.Context, to market.NodeID) {
	s.mu.Lock()
	which := map[*FrameConn]opened{}
	for c, o := range s.opens {
		if o.to == to && c.Relayed() {
			which[c] = o
		}
	}
	s.mu.Unlock()
	for c, o := range which {
		mctx, cancel := context.WithTimeout(ctx, leaseTimeout)
		if err := s.move(mctx, c, o); err != nil {
			s.log.Debug("Tunnel stays on its circuit", "peer", to, "error", err)
		}
		cancel()
	}
}

func (s *Service) move(ctx context.Context, c *FrameConn, o opened) error {
	done, ok := c.begin()
	if !ok {
		return errMoved
	}
	defer done()
	st, err := s.open(ctx, o.to, nil, "tunnel")
	if err != nil {
		return err
	}
	q := request{"tunnel", leaseTimeout, maxQuoteMsg, msgOpen, msgOpened}
	body := append(append(append([]byte{}, o.lease[:]...), byte(tunnelMove)), c.id...)
	got, err := q.exchange(ctx, st, body)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, c.id) {
		_ = st.Reset()
		return fmt.Errorf("%w: another tunnel went on", errMalformed)
	}
	c.wm.Lock()
	defer c.wm.Unlock()
	return c.goOn(st, st.Conn().Stat().Limited)
}
