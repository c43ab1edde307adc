package provider

import (
	"log/slog"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/streams"
)

// maxHeard bounds the customers of whom it is remembered when they were heard.
const maxHeard = 10_000

// sessions are the customers that are connected, and when each was heard last.
type sessions struct {
	now func() time.Time
	log *slog.Logger

	mu    sync.Mutex
	live  map[market.NodeID]*session
	heard map[market.NodeID]time.Time // when their node asked for something last
	began time.Time
}

// session is the live voucher session of one customer.
type session struct {
	push func(streams.VoucherPush) error
}

func newSessions(now func() time.Time, log *slog.Logger) *sessions {
	return &sessions{now: now, log: log, live: map[market.NodeID]*session{}, heard: map[market.NodeID]time.Time{}}
}

// begin counts all customers as heard now.
func (s *sessions) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.began = s.now()
}

// open keeps the push of a customer's stream until the returned func is called.
func (s *sessions) open(from market.NodeID, push func(streams.VoucherPush) error) (closed func()) {
	s.hear(from)
	own := &session{push}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[from] = own
	return func() {
		s.hear(from)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.live[from] == own {
			delete(s.live, from)
		}
	}
}

// push sends to a customer if connected; the newest document is repeated anyway, so a failure costs nothing.
func (s *sessions) push(to market.NodeID, m streams.VoucherPush) {
	s.mu.Lock()
	live := s.live[to]
	s.mu.Unlock()
	if live == nil {
		return
	}
	if err := live.push(m); err != nil {
		s.log.Debug("Push failed", "customer", to, "error", err)
	}
}

// hear notes that a customer's node is there.
func (s *sessions) hear(id market.NodeID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.heard) >= maxHeard {
		clear(s.heard)
		s.began = s.now() // all count as heard now
	}
	s.heard[id] = s.now()
}

// quietSince is when a customer's node was heard last, not before this node's start.
func (s *sessions) quietSince(id market.NodeID) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live[id] != nil {
		return s.now()
	}
	return later(s.began, s.heard[id])
}
