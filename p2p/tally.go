package p2p

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	ma "github.com/multiformats/go-multiaddr"
)

// Series is what the layers of p2p count, as in docs/reference/metrics.md.
type Series string

// Series, each with the values of its one label.
const (
	CountDials         Series = "p2p_dials"            // result: ok, failed
	CountBytes         Series = "p2p_bytes"            // direction: in, out
	CountPunches       Series = "p2p_punch"            // result: ok, failed
	CountMessages      Series = "gossip_messages"      // verdict: accepted, rejected, ignored
	CountDuplicates    Series = "gossip_duplicates"    // no label
	CountUndeliverable Series = "gossip_undeliverable" // no label
	CountEquivocations Series = "gossip_equivocations" // no label
	CountSyncs         Series = "sync_rounds"          // result: ok, failed
	CountSyncBytes     Series = "sync_bytes"           // direction: in, out
	CountEvicted       Series = "book_evicted"         // no label
	CountRefusals      Series = "stream_refusals"      // code
	CountAnnouncements Series = "dht_announcements"    // result: ok, failed
	CountLookups       Series = "dht_lookups"          // result: found, missed
	CountRecords       Series = "dht_records"          // no label
	labelOK, labelBad         = "ok", "failed"
	labelIn, labelOut         = "in", "out"
)

// Count is one series with the value of its label.
type Count struct {
	Of    Series
	Label string
}

// tally counts what happens since the start.
type tally struct {
	in, out atomic.Int64 // bytes of streams; a node may move many

	mu sync.Mutex
	m  map[Count]uint64
}

// Tally adds n to a series; label is one of few values, never a peer's.
func (h *Host) Tally(of Series, label string, n int) {
	h.tally.mu.Lock()
	defer h.tally.mu.Unlock()
	if h.tally.m == nil {
		h.tally.m = map[Count]uint64{}
	}
	h.tally.m[Count{of, label}] += uint64(n)
}

// Counts are all that was counted since the start.
func (h *Host) Counts() map[Count]uint64 {
	h.tally.mu.Lock()
	defer h.tally.mu.Unlock()
	out := maps.Clone(h.tally.m)
	if out == nil {
		out = map[Count]uint64{}
	}
	out[Count{CountBytes, labelIn}] = uint64(h.tally.in.Load())
	out[Count{CountBytes, labelOut}] = uint64(h.tally.out.Load())
	return out
}

// Result is the label of what went well or did not.
func Result(ok bool) string {
	if ok {
		return labelOK
	}
	return labelBad
}

// meter counts the bytes of streams. libp2p's own counter wakes each second.
type meter struct{ t *tally }

func (m meter) LogSentMessage(n int64) { m.t.out.Add(n) }
func (m meter) LogRecvMessage(n int64) { m.t.in.Add(n) }

// What follows is asked of nobody.

func (meter) LogSentMessageStream(int64, protocol.ID, peer.ID)      {}
func (meter) LogRecvMessageStream(int64, protocol.ID, peer.ID)      {}
func (meter) GetBandwidthForPeer(peer.ID) (s metrics.Stats)         { return s }
func (meter) GetBandwidthForProtocol(protocol.ID) (s metrics.Stats) { return s }
func (meter) GetBandwidthTotals() (s metrics.Stats)                 { return s }
func (meter) GetBandwidthByPeer() map[peer.ID]metrics.Stats         { return nil }
func (meter) GetBandwidthByProtocol() map[protocol.ID]metrics.Stats { return nil }
func (meter) Reset()                                                {}
func (meter) TrimIdle(time.Time)                                    {}

// dials counts dials that came to an end.
type dials struct{ h *Host }

func (d dials) DialCompleted(ok bool, _ int, _ time.Duration) { d.h.Tally(CountDials, Result(ok), 1) }

func (dials) OpenedConnection(network.Direction, crypto.PubKey, network.ConnectionState, ma.Multiaddr) {
}

func (dials) ClosedConnection(network.Direction, time.Duration, network.ConnectionState, ma.Multiaddr) {
}
func (dials) CompletedHandshake(time.Duration, network.ConnectionState, ma.Multiaddr) {}
func (dials) FailedDialing(ma.Multiaddr, error, error)                                {}
func (dials) DialRankingDelay(time.Duration)                                          {}

func (dials) UpdatedBlackHoleSuccessCounter(string, swarm.BlackHoleState, int, float64) {}

// punches counts the ends of hole punching.
type punches struct{ h *Host }

func (p punches) Trace(e *holepunch.Event) {
	if end, ok := e.Evt.(*holepunch.EndHolePunchEvt); ok {
		p.h.Tally(CountPunches, Result(end.Success), 1)
	}
}
