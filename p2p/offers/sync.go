package offers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-msgio"
	"google.golang.org/protobuf/proto"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/wire"
)

// Limits of sync/1.
const (
	syncFrame    = 64 << 10
	syncSession  = 4 << 20 // bytes each way
	syncTimeout  = 30 * time.Second
	syncSoon     = 5 * time.Second // after the start
	syncEvery    = 10 * time.Minute
	startSyncs   = 3
	syncsAtOnce  = 3 // a peer that never answers holds up no other
	healSyncs    = 2
	gapAfter     = time.Minute
	lookEvery    = 20 * time.Second // whether anybody is there, and for what has expired
	idsPerFrame  = 4000
	docsPerFrame = 60 << 10 // bytes
	maxSyncIDs   = maxSet + maxWants
	expireEvery  = time.Minute
	firstFrame   = 5 * time.Second // a peer that does not even say hello holds up nobody for longer
)

// Documents sent in all sessions together, bytes per second and at once: sync must not be a way to empty an uplink.
const (
	syncOutRate  = 1 << 20
	syncOutBurst = 4 * syncSession
)

var errSync = errors.New("peer broke sync/1")

// syncLoop syncs with the first 3 peers, again after a minute without any, with each peer that comes back, and with a
// random subscriber: soon after the start, when few Offers are held and the first peers may have known no more, then
// twice as late each time, up to every 10 minutes. Those who come back after a split of the network are the ones who
// hold what the other half published.
func (p *place) syncLoop(ctx context.Context) error {
	s := p.s
	var running sync.WaitGroup
	defer running.Wait()
	synced := make(chan error) // one per session
	left, busy, alone, again := startSyncs, 0, s.now(), syncSoon
	next := time.NewTimer(jitter(again))
	defer next.Stop()
	check := time.NewTicker(lookEvery)
	defer check.Stop()
	for {
		var with peer.ID
		joined := p.joined
		if busy >= syncsAtOnce {
			joined = nil // they wait in the channel
		}
		select {
		case <-ctx.Done():
			return nil
		case <-check.C:
			now := s.now()
			if s.host.Peers() > 0 {
				alone = now
			} else if now.Sub(alone) > gapAfter {
				left, again = startSyncs, syncSoon
				next.Reset(jitter(again))
			}
			continue
		case err := <-synced:
			if busy--; err == nil {
				left = max(left-1, 0)
				s.pulse(false)
			}
			continue
		case <-p.heal:
			left, again = max(left, healSyncs), syncSoon
			next.Reset(jitter(again))
			continue
		case a := <-joined:
			if with = a.peer; left == 0 && !(a.back && s.perBack.allow(with, s.now())) {
				continue
			}
		case <-next.C:
			again = min(2*again, syncEvery)
			if with = p.randomSubscriber(); with == "" {
				with, again = s.randomPeer(), syncSoon
			}
			next.Reset(jitter(again))
			if with == "" || busy >= syncsAtOnce {
				continue
			}
		}
		busy++
		running.Go(func() {
			err := s.syncWith(ctx, with, p.at)
			if err != nil {
				s.log.Debug("sync offers", "peer", with, "shard", p.at, "err", err)
			}
			select {
			case synced <- err:
			case <-ctx.Done():
			}
		})
	}
}

// expireLoop drops Offers that have ended, and shards that nobody asks for any more.
func (s *Service) expireLoop(ctx context.Context) error {
	every := time.NewTicker(expireEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
			s.set.expire(s.now())
			s.wants.expire(s.now())
			s.stir()
		}
	}
}

// jitter spreads by ± 20 %.
func jitter(d time.Duration) time.Duration { return d*4/5 + rand.N(d*2/5) }

func (p *place) randomSubscriber() peer.ID {
	peers := p.topic.ListPeers()
	if len(peers) == 0 {
		return ""
	}
	return peers[rand.IntN(len(peers))]
}

// randomPeer is a connected node that syncs, subscribed or not. Gossip leaves a node alone that came and went a few
// times within minutes, such as one that is killed and started again: it would else hear nothing until that is
// forgotten.
func (s *Service) randomPeer() peer.ID {
	lp := s.host.Libp2p()
	id := s.host.Network().Protocol("sync", 1)
	peers := slices.DeleteFunc(lp.Network().Peers(), func(p peer.ID) bool {
		has, err := lp.Peerstore().SupportsProtocols(p, id)
		return err != nil || len(has) == 0
	})
	if len(peers) == 0 {
		return ""
	}
	return peers[rand.IntN(len(peers))]
}

// syncWith exchanges the Offers of a shard with one connected node: afterwards both hold the union, up to 4 MiB each
// way. Errors: unreachable, peer at fault.
func (s *Service) syncWith(ctx context.Context, p peer.ID, in wire.Shard) error {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	st, err := s.host.Libp2p().NewStream(ctx, p, s.host.Network().Protocol("sync", 1))
	if err != nil {
		return fmt.Errorf("sync offers: open stream: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = st.Reset() }) // unblocks reads; the error is reported by them
	defer stop()
	_ = st.SetDeadline(time.Now().Add(firstFrame)) // without a deadline ctx still ends it
	f := newFramer(st)
	err = s.client(f, in, func() { _ = st.SetDeadline(time.Now().Add(syncTimeout)) })
	s.noteEpoch(p, f.of)
	s.finish(p, f, st, err)
	return err
}

// handleSync serves one session; libp2p calls it in the stream's goroutine.
func (s *Service) handleSync(st network.Stream) {
	p := st.Conn().RemotePeer()
	now := s.now()
	if !s.syncPeer.allow(p, now) || !s.syncNode.AllowN(now, 1) {
		_ = st.ResetWithError(0x1003) // rate limited; nothing more to do with the stream
		return
	}
	if err := st.SetDeadline(time.Now().Add(syncTimeout)); err != nil {
		_ = st.Reset() // an undying stream is worse than none
		return
	}
	f := newFramer(st)
	err := s.server(f)
	s.noteEpoch(p, f.of)
	if err != nil {
		s.log.Debug("serve sync of offers", "peer", p, "err", err)
	}
	s.finish(p, f, st, err)
}

func (s *Service) finish(p peer.ID, f *framer, st network.Stream, err error) {
	s.host.Tally(p2p.CountSyncs, p2p.Result(err == nil), 1)
	s.host.Tally(p2p.CountSyncBytes, "in", f.got)
	s.host.Tally(p2p.CountSyncBytes, "out", f.wrote)
	if err == nil {
		_ = st.Close() // all that counts has been answered
		return
	}
	_ = st.Reset() // the error is what is reported
	if errors.Is(err, errBad) || errors.Is(err, errSync) {
		s.violation(p, err)
	}
}

// client: Open both ways; on a difference it reads the server's ids, then sends what it needs and what the server
// lacks, then reads docs.
// goOn is called once the server has said something.
func (s *Service) client(f *framer, in wire.Shard, goOn func()) error {
	mine := s.list(in)
	if err := f.write(&wire.PBSync{Open: s.open(in, mine)}); err != nil {
		return err
	}
	open, err := f.read()
	if err != nil {
		return err
	}
	goOn()
	if open.Open == nil {
		return fmt.Errorf("%w: no open", errSync)
	}
	if bytes.Equal(open.Open.Hash, hashIDs(mine)) {
		return nil
	}
	theirs, err := f.readIDs()
	if err != nil {
		return err
	}
	var need, give []market.DocID
	for id := range theirs {
		if _, have := s.document(id); !have {
			need = append(need, id)
		}
	}
	for _, id := range mine {
		if _, ok := theirs[id]; !ok {
			give = append(give, id)
		}
	}
	for len(need) > 0 {
		n := min(len(need), idsPerFrame)
		if err := f.write(&wire.PBSync{Need: &wire.PBSyncIDs{Ids: packIDs(need[:n])}}); err != nil {
			return err
		}
		need = need[n:]
	}
	if err := s.writeDocs(f, give); err != nil {
		return err
	}
	return s.readDocs(f, in, nil)
}

func (s *Service) server(f *framer) error {
	open, err := f.read()
	if err != nil {
		return err
	}
	if open.Open == nil {
		return fmt.Errorf("%w: no open", errSync)
	}
	if open.Open.Own {
		return s.giveOwn(f)
	}
	in := wire.Shard{Of: uint16(max(open.Open.Of, 1)), At: uint16(open.Open.Shard)}
	mine := s.list(in)
	if err := f.write(&wire.PBSync{Open: s.open(in, mine)}); err != nil || bytes.Equal(open.Open.Hash, hashIDs(mine)) {
		return err
	}
	for rest := mine; len(rest) > 0; {
		n := min(len(rest), idsPerFrame)
		if err := f.write(&wire.PBSync{Ids: &wire.PBSyncIDs{Ids: packIDs(rest[:n])}}); err != nil {
			return err
		}
		rest = rest[n:]
	}
	if err := f.write(&wire.PBSync{Done: true}); err != nil {
		return err
	}
	var need []market.DocID
	err = s.readDocs(f, in, func(ids []market.DocID) error {
		if need = append(need, ids...); len(need) > len(mine) {
			return fmt.Errorf("%w: needs more than there is", errSync)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.writeDocs(f, need)
}

func (s *Service) open(in wire.Shard, ids []market.DocID) *wire.PBSyncOpen {
	return &wire.PBSyncOpen{Shard: uint32(in.At), Of: uint32(in.Of), NowMs: uint64(s.now().UnixMilli()),
		Count: uint32(len(ids)), Hash: hashIDs(ids)}
}

// writeDocs sends what is held of ids, up to the session's size, then Done; the next session goes on.
func (s *Service) writeDocs(f *framer, ids []market.DocID) error {
	var batch [][]byte
	size := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := f.write(&wire.PBSync{Docs: &wire.PBSyncDocs{Envelopes: batch}})
		batch, size = nil, 0
		return err
	}
	sent := make(map[market.DocID]bool, len(ids))
	for _, id := range ids {
		raw, ok := s.document(id)
		if !ok || sent[id] {
			continue
		}
		if f.wrote+size+len(raw) > syncSession-2*syncFrame || !s.syncOut.AllowN(s.now(), len(raw)) {
			break
		}
		sent[id] = true
		if size+len(raw) > docsPerFrame {
			if err := flush(); err != nil {
				return err
			}
		}
		batch = append(batch, raw)
		size += len(raw) + 8
	}
	if err := flush(); err != nil {
		return err
	}
	return f.write(&wire.PBSync{Done: true})
}

// readDocs takes Docs of a shard, and Need frames if need is given, until Done. Of a shard that this node does not hold
// nothing is kept.
func (s *Service) readDocs(f *framer, in wire.Shard, need func([]market.DocID) error) error {
	holds := s.wanted(s.now())[in]
	for {
		m, err := f.read()
		if err != nil {
			return err
		}
		switch {
		case m.Done:
			return nil
		case m.Docs != nil && !holds:
		case m.Docs != nil:
			for _, raw := range m.Docs.Envelopes {
				if err := s.take(raw, s.now(), &entry{in: in}); errors.Is(err, errBad) {
					return err
				} // others are for this node only: too old, from the future, of a newer version
			}
		case m.Need != nil && need != nil:
			ids, err := unpackIDs(m.Need.Ids)
			if err == nil {
				err = need(ids)
			}
			if err != nil {
				return err
			}
		default:
			return fmt.Errorf("%w: unexpected frame", errSync)
		}
	}
}

func unpackIDs(b []byte) ([]market.DocID, error) {
	if len(b)%16 != 0 || len(b) == 0 {
		return nil, fmt.Errorf("%w: %d bytes of ids", errSync, len(b))
	}
	out := make([]market.DocID, len(b)/16)
	for i := range out {
		copy(out[i][:], b[16*i:])
	}
	return out, nil
}

// framer reads and writes length-prefixed frames within the session's size.
type framer struct {
	r     msgio.ReadCloser
	w     msgio.WriteCloser
	got   int
	wrote int
	of    uint16 // shards of the other side's epoch, as it says
}

func newFramer(rw io.ReadWriter) *framer {
	return &framer{r: msgio.NewVarintReaderSize(rw, syncFrame), w: msgio.NewVarintWriter(rw)}
}

func (f *framer) write(m *wire.PBSync) error {
	b, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("write sync frame: %w", err)
	}
	f.wrote += len(b)
	if err := f.w.WriteMsg(b); err != nil {
		return fmt.Errorf("write sync frame: %w", err)
	}
	return nil
}

func (f *framer) read() (*wire.PBSync, error) {
	b, err := f.r.ReadMsg()
	if errors.Is(err, msgio.ErrMsgTooLarge) {
		return nil, fmt.Errorf("%w: %w", errSync, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read sync frame: %w", err)
	}
	defer f.r.ReleaseMsg(b)
	if f.got += len(b); f.got > syncSession {
		return nil, fmt.Errorf("%w: session too large", errSync)
	}
	m, err := decodeFrame(b)
	if err == nil && m.Open != nil {
		if m.Open.Of > math.MaxUint16 || m.Open.Shard > math.MaxUint16 {
			return nil, fmt.Errorf("%w: shard %d of %d", errSync, m.Open.Shard, m.Open.Of)
		}
		f.of = uint16(m.Open.Of)
	}
	return m, err
}

func decodeFrame(b []byte) (*wire.PBSync, error) {
	m := &wire.PBSync{}
	if err := (proto.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: 8}).Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("%w: %w", errSync, err)
	}
	return m, nil
}

// readIDs reads Ids frames until Done.
func (f *framer) readIDs() (map[market.DocID]struct{}, error) {
	out := map[market.DocID]struct{}{}
	for {
		m, err := f.read()
		if err != nil {
			return nil, err
		}
		if m.Done {
			return out, nil
		}
		if m.Ids == nil {
			return nil, fmt.Errorf("%w: unexpected frame", errSync)
		}
		ids, err := unpackIDs(m.Ids.Ids)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			out[id] = struct{}{}
		}
		if len(out) > maxSyncIDs {
			return nil, fmt.Errorf("%w: too many ids", errSync)
		}
	}
}
