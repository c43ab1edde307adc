package offers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/wire"
)

// ownTime bounds one question for an Offer, its dial included.
const ownTime = 5 * time.Second

// ErrNoOffer is the answer of a node that sells nothing; ErrInvalid reports a document that every version refuses.
var (
	ErrNoOffer = errors.New("the node has no offer")
	ErrInvalid = errBad
)

// Fetch asks a node for its own Offer and keeps it as if it had come by gossip; addrs are hints, which may be wrong. It
// returns the newest Offer that is held of the node then. Errors: unreachable, ErrNoOffer, an Offer that is not its
// own.
func (s *Service) Fetch(ctx context.Context, id market.NodeID, addrs []string) (market.Offer, error) {
	ctx, cancel := context.WithTimeout(ctx, ownTime)
	defer cancel()
	st, err := s.host.Open(ctx, id, addrs, "sync")
	if err != nil {
		return market.Offer{}, fmt.Errorf("ask for an offer: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = st.Reset() })
	defer stop()
	_ = st.SetDeadline(time.Now().Add(ownTime)) // without a deadline ctx still ends it
	f := newFramer(st)
	raw, err := readOwn(f)
	if err == nil {
		err = s.keepOwn(id, raw)
	}
	if p, perr := p2p.PeerOf(id); perr == nil {
		s.finish(p, f, st, err)
	}
	if err != nil {
		return market.Offer{}, fmt.Errorf("ask for an offer: %w", err)
	}
	o, _, err := s.Newest(id)
	return o, err
}

// Newest is the Offer that is held of a node, with its envelope. Errors: there is none.
func (s *Service) Newest(id market.NodeID) (market.Offer, []byte, error) {
	held, _ := s.set.of(id)
	o, _, err := wire.OpenOffer(held, s.network)
	return o, held, err
}

// keepOwn takes an Offer that must be of the node that sent it.
func (s *Service) keepOwn(id market.NodeID, raw []byte) error {
	e, err := wire.Parse(raw, s.network)
	if err != nil {
		return errors.Join(errBad, err)
	}
	if e.Signer != id {
		return fmt.Errorf("%w: signed by another node", errBad)
	}
	if err := s.take(raw, s.now(), nil); err != nil && !errors.Is(err, errOld) {
		return err
	}
	if _, held := s.set.of(id); !held {
		return ErrNoOffer // the set is full
	}
	return nil
}

// Heard takes the Offer that its own provider has sent in a message, as if it had come by gossip, and returns the
// newest one that is held of it, with its envelope. Errors: ErrInvalid, also for another node's; ErrNoOffer.
func (s *Service) Heard(from market.NodeID, raw []byte) (market.Offer, []byte, error) {
	if err := s.keepOwn(from, raw); err != nil {
		return market.Offer{}, nil, err
	}
	return s.Newest(from)
}

// readOwn asks for the other side's own Offer: Open with own, then Docs with one envelope or none, then Done.
func readOwn(f *framer) (raw []byte, err error) {
	if err := f.write(&wire.PBSync{Open: &wire.PBSyncOpen{Own: true}}); err != nil {
		return nil, err
	}
	for {
		m, err := f.read()
		switch {
		case err != nil:
			return nil, err
		case m.Done && raw == nil:
			return nil, ErrNoOffer
		case m.Done:
			return raw, nil
		case m.Docs != nil && len(m.Docs.Envelopes) == 1 && raw == nil:
			raw = m.Docs.Envelopes[0]
		default:
			return nil, fmt.Errorf("%w: unexpected frame", errSync)
		}
	}
}

// giveOwn answers it. A withdrawn Offer is one too.
func (s *Service) giveOwn(f *framer) error {
	if raw, ok := s.set.of(s.host.ID()); ok {
		if err := f.write(&wire.PBSync{Docs: &wire.PBSyncDocs{Envelopes: [][]byte{raw}}}); err != nil {
			return err
		}
	}
	return f.write(&wire.PBSync{Done: true})
}
