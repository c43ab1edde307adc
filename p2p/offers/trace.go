package offers

import (
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/gpuai/gpuai/p2p"
)

// trace counts what gossip does: pubsub has no series of its own.
type trace struct {
	deaf
	h *p2p.Host
}

func (t trace) DeliverMessage(m *pubsub.Message) {
	if m.ReceivedFrom != t.h.Libp2p().ID() {
		t.h.Tally(p2p.CountMessages, "accepted", 1)
	}
}

func (t trace) RejectMessage(_ *pubsub.Message, why string) {
	verdict := "rejected"
	if why == pubsub.RejectValidationIgnored {
		verdict = "ignored"
	}
	t.h.Tally(p2p.CountMessages, verdict, 1)
}

func (t trace) DuplicateMessage(*pubsub.Message) { t.h.Tally(p2p.CountDuplicates, "", 1) }

func (t trace) UndeliverableMessage(*pubsub.Message) { t.h.Tally(p2p.CountUndeliverable, "", 1) }

// deaf hears what is not counted.
type deaf struct{}

func (deaf) OnNewOutboundStream(peer.ID, protocol.ID)             {}
func (deaf) OnClosedOutboundStream(peer.ID)                       {}
func (deaf) Join(string)                                          {}
func (deaf) Leave(string)                                         {}
func (deaf) Graft(peer.ID, string)                                {}
func (deaf) Prune(peer.ID, string)                                {}
func (deaf) ValidateMessage(*pubsub.Message)                      {}
func (deaf) ThrottlePeer(peer.ID)                                 {}
func (deaf) RecvRPC(*pubsub.RPC)                                  {}
func (deaf) SendRPC(*pubsub.RPC, peer.ID)                         {}
func (deaf) SendRPCCompleted(*pubsub.RPC, peer.ID, time.Duration) {}
func (deaf) DropRPC(*pubsub.RPC, peer.ID)                         {}
