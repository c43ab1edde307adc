package nodetest

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peerstore"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/tunnel"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/streams"
	"github.com/gpuai/gpuai/runtime/spec"
)

// punch makes a way between the two nodes that needs no relay, and takes it, as a punch that succeeds does.
func (w *world) punch(t *testing.T) {
	t.Helper()
	w.sim.Heal()
	p, err := p2p.PeerOf(w.ph.ID())
	if err != nil {
		t.Fatal(err)
	}
	n := w.ch.Libp2p()
	n.Peerstore().AddAddrs(p, w.ph.Libp2p().Network().ListenAddresses(), peerstore.TempAddrTTL)
	until(t, "no punch succeeds", func() bool {
		ctx := network.WithForceDirectDial(t.Context(), "punch")
		c, err := n.Network().DialPeer(ctx, p)
		return err == nil && !c.Stat().Limited
	})
}

// bothSent is what the two nodes have sent so far, over relays and else.
func (w *world) bothSent() int {
	p, _ := w.sim.Sent(w.ph)
	c, _ := w.sim.Sent(w.ch)
	return p + c
}

// TestRelay_OutputsGrew_WaitForDirectWay: outputs that have become larger than a relay carries stay with the rig and
// are not sent again and again; the order says so and what to do, and they come once a punch has succeeded.
func TestRelay_OutputsGrew_WaitForDirectWay(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 30 * time.Second, relayed: true}, func(t *testing.T, w *world) {
		w.engine.Grow(4 << 20)
		before := w.chain.Balance(w.payout)
		id := w.place(t, request("grew"))
		v := w.await(t, id, refusedOutputs)
		if s := v.Steps[len(v.Steps)-1].Detail; !strings.Contains(s, "3 MiB") || !strings.Contains(s, "4801") {
			t.Errorf("the order says %q", s)
		}
		sent := w.bothSent()
		time.Sleep(20 * time.Minute)
		if n := w.bothSent() - sent; n > 1<<20 {
			t.Errorf("%d bytes were sent while they wait", n)
		}
		if v = w.await(t, id, func(customer.View) bool { return true }); over(v) || v.OutputsReady {
			t.Errorf("%s, ready: %v; %+v", v.Standing, v.OutputsReady, v.Files)
		}
		w.punch(t)
		v = w.await(t, id, over)
		w.exact(t, v, market.CodeCompleted, before)
		w.hasOutputs(t, v)
	})
}

// refusedOutputs reports that an order has said that its outputs are too large for the way to its rig.
func refusedOutputs(v customer.View) bool {
	n := len(v.Steps)
	return n > 0 && v.Steps[n-1].Phase == "outputs" && strings.Contains(v.Steps[n-1].Detail, "relay")
}

// hog is a rig that sends more over a relay than its customer takes.
type hog struct {
	archive     []byte
	asked, sent atomic.Int64
}

func (h *hog) Open(context.Context, market.NodeID, streams.TunnelOpen) (func(context.Context, *streams.FrameConn) error,
	error) {
	h.asked.Add(1)
	return func(_ context.Context, c *streams.FrameConn) error {
		n, err := io.Copy(c.Writer(streams.ChanOut), bytes.NewReader(h.archive))
		h.sent.Add(n)
		return err
	}, nil
}

// archive is a tar of one file.
func archive(t *testing.T, name string, bytesOf int) []byte {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	err := tw.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(bytesOf)})
	if err == nil {
		_, err = tw.Write(make([]byte, bytesOf))
	}
	if err == nil {
		err = tw.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestRelay_RigSendsTooMuch_IsCutOnce: a rig that does not hold to the bound is cut by its customer, which does not ask
// it again over a relay; with the honest one back, and a direct way, the outputs come.
func TestRelay_RigSendsTooMuch_IsCutOnce(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 30 * time.Second, relayed: true}, func(t *testing.T, w *world) {
		w.engine.Grow(4 << 20)
		before := w.chain.Balance(w.payout)
		id := w.place(t, request("hog"))
		v := w.await(t, id, in(market.Running))
		until(t, "nothing is signed", func() bool {
			if w.sold(t, v).OutputsRoot == ([32]byte{}) {
				return false
			}
			w.engine.LoseOutputs(engineAway)
			return true
		})
		w.await(t, id, func(v customer.View) bool {
			n := len(v.Steps)
			return n > 0 && v.Steps[n-1].Phase == "outputs"
		})
		rig := &hog{archive: archive(t, "workspace/out.txt", 8<<20)}
		streams.New(w.ph, streams.Handlers{Tunneler: rig}, slog.New(slog.DiscardHandler)) // in the place of its own
		w.await(t, id, refusedOutputs)
		time.Sleep(20 * time.Minute)
		if n, sent := rig.asked.Load(), rig.sent.Load(); n != 1 || sent > 4<<20 {
			t.Errorf("asked %d times, %d bytes sent", n, sent)
		}
		w.stopProv()
		w.engine.LoseOutputs(nil)
		w.startProvider(t)
		w.punch(t)
		v = w.await(t, id, over)
		w.exact(t, v, market.CodeCompleted, before)
		w.hasOutputs(t, v)
	})
}

// greedy is a customer's network that holds to no bound: it takes every way for a direct one, and sends its inputs over
// any, once. told is the answer.
type greedy struct {
	customer.Net
	args    []byte // instead of the order's own
	archive []byte
	once    *sync.Once
	told    chan market.Code
}

func (greedy) Relayed(context.Context, market.NodeID, []string) (bool, error) { return false, nil }

func (g greedy) Tunnel(ctx context.Context, to market.NodeID, o streams.TunnelOpen) (*streams.FrameConn, error) {
	if o.Kind != streams.TunnelPut {
		return g.Net.Tunnel(ctx, to, o)
	}
	g.once.Do(func() { g.told <- market.CodeOf(g.push(ctx, to, o)) })
	return g.Net.Tunnel(ctx, to, o) // an honest customer from now on
}

func (g greedy) push(ctx context.Context, to market.NodeID, o streams.TunnelOpen) error {
	if g.args != nil {
		o.Args = g.args
	}
	c, err := g.Net.Tunnel(ctx, to, o)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.Copy(c.Writer(streams.ChanIn), bytes.NewReader(g.archive)); err != nil {
		return err
	}
	if err := c.Write(streams.ChanIn, nil); err != nil {
		return err
	}
	_, b, err := c.Read()
	if err != nil {
		return err
	}
	ctl, err := tunnel.DecodeControl(b)
	if err != nil {
		return err
	}
	return ctl.Err()
}

// TestRelay_CustomerSendsTooMuch_IsRefused: a rig takes no large inputs over a relay from a customer that holds to no
// bound, whether it says how large they are or lies; nothing is staged, and over a direct way they are taken.
func TestRelay_CustomerSendsTooMuch_IsRefused(t *testing.T) {
	t.Parallel()
	for name, args := range map[string]string{"says so": "", "lies": `{"total":1}`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, setup{work: 30 * time.Second, relayed: true}, func(t *testing.T, w *world) {
				w.stopCust()
				g := greedy{archive: archive(t, "in", 5<<20), once: new(sync.Once),
					told: make(chan market.Code, 1)}
				if args != "" {
					g.args = []byte(args)
				}
				own := w.c.deps.Net
				w.c.deps.Net = func(n customer.Net) customer.Net { g.Net = own(n); return g }
				w.startCustomer(t)
				until(t, "the offer did not arrive", func() bool { return len(w.cust.Book.Offers()) == 1 })
				before := w.chain.Balance(w.payout)
				r := request("greedy")
				r.File.Inputs, r.InputBytes = []spec.Source{{From: "in", To: "/workspace/in"}}, 5<<20
				w.spoolArchive(t, r, g.archive)
				id := w.place(t, r)
				if code := <-g.told; code != market.CodeNeedsDirect {
					t.Errorf("the rig answers %q", code)
				}
				if n := w.engine.Started(); n != 0 {
					t.Error("the job was started without its inputs")
				}
				w.punch(t)
				w.exact(t, w.await(t, id, over), market.CodeCompleted, before)
			})
		})
	}
}

// TestRelay_PunchSucceedsLater_TunnelsGoOver: a command beside a job that began over a relay goes on over the direct
// way that is found later, without a byte lost, though the relay is gone then.
func TestRelay_PunchSucceedsLater_TunnelsGoOver(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 5 * time.Minute, relayed: true}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		id := w.place(t, request("punch"))
		w.await(t, id, running)
		var punched sync.WaitGroup
		punched.Go(func() {
			time.Sleep(45 * time.Second)
			w.punch(t)
			time.Sleep(15 * time.Second)
			w.sim.Off(w.relay)
		})
		sent, said := w.beside(t, id, 15, 10*time.Second, 20<<10)
		punched.Wait()
		if !bytes.Equal(sent, said) {
			t.Errorf("of %d bytes %d came back", len(sent), len(said))
		}
		w.exact(t, w.await(t, id, over), market.CodeCompleted, before)
	})
}
