package p2p

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/gpuai/gpuai/market"
)

// A relay cuts a circuit after some time and some bytes. The end of a live lease that has dialled it opens the next one
// when three quarters of either are gone; the old one stays for overlap, in which what runs on it goes over.
const (
	overlap       = 10 * time.Second
	circuitAgain  = 10 * time.Second // after a relay has refused the next one
	circuitBudget = 3                // of budgetParts of a circuit's limits
	budgetParts   = 4
)

// circuits replaces circuits of live leases before their relay cuts them.
type circuits struct {
	h    *Host
	wake chan struct{}
	told chan market.NodeID // reached on one more way
	via  memory

	mu    sync.Mutex
	spent map[string]*spent // by id of the connection
	again map[peer.ID]time.Time
	heard []func(context.Context, market.NodeID)
}

// spent counts the bytes that streams of this program have sent and received over a circuit.
type spent struct {
	in, out atomic.Int64
	told    atomic.Bool
}

func newCircuits(h *Host) *circuits {
	return &circuits{h: h, wake: make(chan struct{}, 1), told: make(chan market.NodeID, 64), spent: map[string]*spent{},
		again: map[peer.ID]time.Time{},
		via:   memory{to: map[string]ma.Multiaddr{}}}
}

// limits of a circuit; zero: none.
func limitsOf(c network.Conn) (life time.Duration, bytes int64) {
	extra := c.Stat().Extra
	life, _ = extra[client.StatLimitDuration].(time.Duration)
	n, _ := extra[client.StatLimitData].(uint64)
	return life, int64(min(n, 1<<60))
}

// attach lets a host that has just started dial more than one circuit to a peer, and hear of each.
func (k *circuits) attach(lp host.Host) error {
	n, ok := lp.Network().(transport.TransportNetwork)
	if !ok {
		return errors.New("start circuits: the network takes no transport")
	}
	k.via.dial = func(ctx context.Context, a ma.Multiaddr, p peer.ID) (transport.CapableConn, error) {
		t := n.(interface {
			TransportForDialing(a ma.Multiaddr) transport.Transport
		}).TransportForDialing(a)
		if t == nil {
			return nil, errors.New("no transport for circuits")
		}
		return t.Dial(ctx, a, p)
	}
	if err := n.AddTransport(&k.via); err != nil {
		return fmt.Errorf("start circuits: %w", err)
	}
	lp.Network().Notify(&network.NotifyBundle{
		ConnectedF: func(n network.Network, c network.Conn) {
			if len(n.ConnsToPeer(c.RemotePeer())) > 1 {
				k.tell(c.RemotePeer())
			}
			poke(k.wake)
		},
		DisconnectedF: func(_ network.Network, c network.Conn) {
			k.mu.Lock()
			delete(k.spent, c.ID())
			k.mu.Unlock()
		},
	})
	return nil
}

// tell has those who asked for it hear that a peer is reached on one more way.
func (k *circuits) tell(p peer.ID) {
	if id, ok := NodeOf(p); ok {
		select {
		case k.told <- id:
		default: // the next way will say it
		}
	}
}

// tellAll calls those who asked for it until ctx ends.
func (k *circuits) tellAll(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case id := <-k.told:
			k.mu.Lock()
			heard := slices.Clone(k.heard)
			k.mu.Unlock()
			for _, f := range heard {
				f(ctx, id)
			}
		}
	}
}

// OnPath has f called when a peer that is connected is reached on one more way.
func (h *Host) OnPath(f func(context.Context, market.NodeID)) {
	h.circuits.mu.Lock()
	defer h.circuits.mu.Unlock()
	h.circuits.heard = append(h.circuits.heard, f)
}

// serve opens next circuits until ctx ends.
func (k *circuits) serve(ctx context.Context) error {
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	for {
		next := time.Now().Add(time.Hour)
		for _, c := range k.own() {
			at := k.due(c)
			if !at.After(time.Now()) {
				if err := k.renew(ctx, c); err != nil && ctx.Err() == nil {
					k.h.log.Debug("No next circuit", "peer", c.RemotePeer(), "error", err)
					at = time.Now().Add(circuitAgain)
				}
				k.mu.Lock()
				k.again[c.RemotePeer()] = at
				k.mu.Unlock()
			}
			if at.After(time.Now()) && at.Before(next) {
				next = at
			}
		}
		t.Reset(time.Until(next))
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		case <-k.wake:
		}
	}
}

// own are the circuits that this node has dialled and on which live leases rest: the newest of each peer that is not
// connected directly.
func (k *circuits) own() (out []network.Conn) {
	lp := k.h.Libp2p()
	for _, p := range lp.Network().Peers() {
		if c := newest(lp.Network().ConnsToPeer(p)); c != nil && c.Stat().Limited &&
			c.Stat().Direction == network.DirOutbound && k.h.keep.leased(p) {
			out = append(out, c)
		}
	}
	return out
}

// newest is the newest direct connection, or the newest circuit if there is none.
func newest(conns []network.Conn) (out network.Conn) {
	for _, c := range conns {
		if c.IsClosed() {
			continue
		}
		a, b := c.Stat(), network.ConnStats{}
		if out != nil {
			b = out.Stat()
		}
		if out == nil || b.Limited && !a.Limited || a.Limited == b.Limited && a.Opened.After(b.Opened) {
			out = c
		}
	}
	return out
}

// due is when a circuit's next one is to be opened.
func (k *circuits) due(c network.Conn) time.Time {
	k.mu.Lock()
	again, s := k.again[c.RemotePeer()], k.spent[c.ID()]
	k.mu.Unlock()
	life, _ := limitsOf(c)
	at := time.Now().Add(time.Hour)
	if life > 0 {
		at = c.Stat().Opened.Add(life * circuitBudget / budgetParts)
	}
	if s != nil && s.told.Load() {
		at = time.Now()
	}
	if again.After(at) {
		at = again
	}
	return at
}

// renew opens the next circuit to the peer of old, over another relay if it has one, and lets old go when what runs on
// it has had its time. A direct connection that succeeds meanwhile is as good.
func (k *circuits) renew(ctx context.Context, old network.Conn) error {
	p, lp := old.RemotePeer(), k.h.Libp2p()
	relays := k.h.keep.relaysOf(p)
	if at := old.RemoteMultiaddr(); !slices.ContainsFunc(relays, at.Equal) {
		relays = append(relays, at)
	}
	k.via.mu.Lock()
	var ways []ma.Multiaddr
	for _, a := range relays {
		ways = append(ways, k.via.name(a))
	}
	k.via.mu.Unlock()
	defer func() {
		lp.Peerstore().SetAddrs(p, ways, 0) // nobody else can use them
		k.via.forget(ways)
	}()
	lp.Peerstore().AddAddrs(p, ways, peerstore.TempAddrTTL)
	ctx, cancel := context.WithTimeout(network.WithForceDirectDial(ctx, "next circuit"), dialTimeout)
	defer cancel()
	if _, err := lp.Network().DialPeer(ctx, p); err != nil {
		return err
	}
	for _, c := range lp.Network().ConnsToPeer(p) {
		if c.Stat().Limited && !c.Stat().Opened.After(old.Stat().Opened) {
			time.AfterFunc(overlap, func() { _ = c.Close() }) // its relay may have been faster
		}
	}
	k.h.log.Debug("Next circuit", "peer", p)
	return nil
}

// relaysOf are the addresses of relays that lead to a peer.
func (k *upkeep) relaysOf(p peer.ID) (out []ma.Multiaddr) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e := k.peers[p]; e != nil {
		for _, a := range e.addrs {
			if relayed(a) {
				out = append(out, a)
			}
		}
	}
	return out
}

// count returns a stream that counts what goes over a circuit; streams of direct connections stay as they are.
func (k *circuits) count(st network.Stream) network.Stream {
	c := st.Conn()
	if !c.Stat().Limited {
		return st
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.spent[c.ID()]
	if s == nil {
		s = &spent{}
		k.spent[c.ID()] = s
	}
	_, limit := limitsOf(c)
	return &countedStream{Stream: st, k: k, s: s, limit: limit * circuitBudget / budgetParts}
}

type countedStream struct {
	network.Stream
	k     *circuits
	s     *spent
	limit int64 // 0: none
}

// Read counts.
func (c *countedStream) Read(b []byte) (int, error) {
	n, err := c.Stream.Read(b)
	c.note(c.s.in.Add(int64(n)))
	return n, err
}

// Write counts.
func (c *countedStream) Write(b []byte) (int, error) {
	n, err := c.Stream.Write(b)
	c.note(c.s.out.Add(int64(n)))
	return n, err
}

// Spent reports whether the next circuit is due.
func (c *countedStream) Spent() bool { return c.s.told.Load() }

func (c *countedStream) note(sum int64) {
	if c.limit > 0 && sum >= c.limit && c.s.told.CompareAndSwap(false, true) {
		poke(c.k.wake)
	}
}

// memory is a transport of names for circuits. libp2p dials a peer that is connected once more only by an address that
// no proxy is behind, and a circuit's has one: so the next circuit is dialled by a name that stands for it.
type memory struct {
	dial func(ctx context.Context, a ma.Multiaddr, p peer.ID) (transport.CapableConn, error)

	mu   sync.Mutex
	last int
	to   map[string]ma.Multiaddr
}

// name makes a name for an address. Caller holds mu.
func (m *memory) name(a ma.Multiaddr) ma.Multiaddr {
	m.last++
	name := ma.StringCast("/memory/" + strconv.Itoa(m.last))
	m.to[name.String()] = a
	return name
}

func (m *memory) forget(names []ma.Multiaddr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range names {
		delete(m.to, n.String())
	}
}

// Dial implements transport.Transport.
func (m *memory) Dial(ctx context.Context, name ma.Multiaddr, p peer.ID) (transport.CapableConn, error) {
	m.mu.Lock()
	a := m.to[name.String()]
	m.mu.Unlock()
	if a == nil {
		return nil, errors.New("no circuit has this name")
	}
	return m.dial(ctx, a, p)
}

// CanDial implements transport.Transport.
func (m *memory) CanDial(a ma.Multiaddr) bool {
	_, err := a.ValueForProtocol(ma.P_MEMORY)
	return err == nil
}

// Listen implements transport.Transport: nobody dials by these names.
func (*memory) Listen(ma.Multiaddr) (transport.Listener, error) {
	return nil, errors.New("names of circuits are no addresses")
}

// Protocols implements transport.Transport.
func (*memory) Protocols() []int { return []int{ma.P_MEMORY} }

// Proxy implements transport.Transport.
func (*memory) Proxy() bool { return false }
