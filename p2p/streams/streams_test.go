package streams

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/p2ptest"
)

type fakeProvider struct {
	mu    sync.Mutex
	push  func(VoucherPush) error
	total market.Amount

	deals   bool                                    // the customer has a lease
	echo    bool                                    // answer a payment with its own amount
	quote   func(context.Context) error             // if set, answers "slow"
	logsEnd chan struct{}                           // closed when a log follower ends
	serve   func(context.Context, *FrameConn) error // if set, serves every tunnel
}

func (f *fakeProvider) pusher() func(VoucherPush) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.push
}

func (f *fakeProvider) Quote(ctx context.Context, _ market.NodeID, order []byte) ([]byte, error) {
	if string(order) == "no" {
		return nil, market.Refuse(market.CodeDoesNotFit, market.KindConflict, "vram")
	}
	if f.quote != nil {
		return nil, f.quote(ctx)
	}
	if string(order) == "bug" {
		return nil, errors.New("secret detail")
	}
	return append([]byte("quote for "), order...), nil
}
func (f *fakeProvider) Propose(context.Context, market.NodeID, []byte) error { return nil }
func (f *fakeProvider) Status(_ context.Context, _ market.NodeID, id market.LeaseID) (market.Status, error) {
	return market.Status{Lease: id, State: market.Running, Phase: "run"}, nil
}
func (f *fakeProvider) Stop(context.Context, market.NodeID, []byte) error { return nil }
func (f *fakeProvider) Outcome(_ context.Context, _ market.NodeID, o []byte) ([]byte, error) {
	return append([]byte("own "), o...), nil
}

func (f *fakeProvider) Deals(market.NodeID) bool { return f.deals }
func (f *fakeProvider) Session(_ market.NodeID, push func(VoucherPush) error) func() {
	f.mu.Lock()
	f.push = push
	f.mu.Unlock()
	return func() {}
}

func (f *fakeProvider) Payment(_ context.Context, _ market.NodeID, p market.Payment) (market.Amount, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.echo {
		return p.LeaseAmount, nil
	}
	if p.LeaseAmount < f.total {
		return f.total, market.Refuse(market.CodeVoucherBackwards, market.KindInvalid, "")
	}
	f.total = p.LeaseAmount
	return f.total, nil
}

func (f *fakeProvider) ReleaseRequest(_ context.Context, _ market.NodeID, ch market.ChannelID) (out [114]byte,
	err error) {
	copy(out[:], ch[:])
	return out, nil
}

func (f *fakeProvider) Open(_ context.Context, _ market.NodeID, o TunnelOpen) (func(context.Context, *FrameConn) error,
	error) {
	if f.serve != nil {
		return f.serve, nil
	}
	if o.Kind == TunnelGet {
		return nil, market.Refuse(market.CodeUnknownLease, market.KindNotFound, "")
	}
	if o.Kind == TunnelLogs {
		return func(ctx context.Context, _ *FrameConn) error {
			<-ctx.Done()
			close(f.logsEnd)
			return nil
		}, nil
	}
	return func(_ context.Context, c *FrameConn) error {
		_, err := io.Copy(c.Writer(ChanOut), c.Reader(ChanIn))
		if err == nil {
			err = c.Write(ChanOut, nil)
		}
		return err
	}, nil
}

func pair(t *testing.T, f *fakeProvider) (customer *Service, provider market.NodeID, ph *p2p.Host) {
	t.Helper()
	ph, ch := p2ptest.Start(t, p2p.Config{Key: p2ptest.Key(1)}), p2ptest.Start(t, p2p.Config{Key: p2ptest.Key(2)})
	log := slog.New(slog.DiscardHandler)
	New(ph, Handlers{Quoter: f, Leaser: f, Vouchers: f, Tunneler: f}, log)
	if err := ch.Connect(t.Context(), ph.ID(), ph.Addrs()); err != nil {
		t.Fatal(err)
	}
	return New(ch, Handlers{}, log), ph.ID(), ph
}

func TestQuote_RoundTripAndTypedRefusal(t *testing.T) {
	t.Parallel()
	c, p, _ := pair(t, &fakeProvider{})
	ctx := context.Background()
	got, err := c.Quote(ctx, p, nil, []byte("order"))
	if err != nil || string(got) != "quote for order" {
		t.Fatalf("%q, %v", got, err)
	}
	_, err = c.Quote(ctx, p, nil, []byte("no"))
	var r *market.Refusal
	if !errors.As(err, &r) || r.Code != market.CodeDoesNotFit || r.Detail != "vram" || r.Kind != market.KindConflict {
		t.Fatalf("refusal arrived as %v", err)
	}
	if _, err = c.Quote(ctx, p, nil, []byte("bug")); market.CodeOf(err) != market.CodeInternal ||
		bytes.Contains([]byte(err.Error()), []byte("secret")) {
		t.Fatalf("an internal error leaked: %v", err)
	}
	if _, err = c.Quote(ctx, p, nil, make([]byte, maxQuoteMsg+1)); err == nil {
		t.Fatal("an oversized order was answered")
	}
}

func TestLease_MessagesHaveAnswers(t *testing.T) {
	t.Parallel()
	c, p, _ := pair(t, &fakeProvider{})
	ctx := context.Background()
	if err := errors.Join(c.Propose(ctx, p, []byte("lease")), c.Stop(ctx, p, []byte("stop"))); err != nil {
		t.Fatal(err)
	}
	id := market.LeaseID{1, 2}
	s, err := c.Status(ctx, p, id)
	if err != nil || s.Lease != id || s.State != market.Running {
		t.Fatalf("%+v, %v", s, err)
	}
	if o, err := c.Outcome(ctx, p, []byte("mine")); err != nil || string(o) != "own mine" {
		t.Fatalf("%q, %v", o, err)
	}
}

func TestVoucherStream_ResumesAfterCut(t *testing.T) {
	t.Parallel()
	f := &fakeProvider{}
	c, p, _ := pair(t, f)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := c.Vouchers(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	if stored, err := s.Pay(ctx, market.Payment{LeaseAmount: 5}); err != nil || stored != 5 {
		t.Fatalf("%d, %v", stored, err)
	}
	if err := f.pusher()(VoucherPush{Receipt: []byte("receipt")}); err != nil {
		t.Fatal(err)
	}
	if m, err := s.Recv(ctx); err != nil || string(m.Receipt) != "receipt" {
		t.Fatalf("%+v, %v", m, err)
	}
	if _, err := s.Pay(ctx, market.Payment{LeaseAmount: 3}); market.CodeOf(err) != market.CodeVoucherBackwards {
		t.Fatalf("a voucher went backwards: %v", err)
	}
	ch := market.ChannelID{9}
	if r, err := s.ReleaseRequest(ctx, ch); err != nil || !bytes.Equal(r[:32], ch[:]) {
		t.Fatalf("%x, %v", r, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pay(ctx, market.Payment{LeaseAmount: 6}); err == nil {
		t.Fatal("a closed session took a payment")
	}
	again, err := c.Vouchers(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if stored, err := again.Pay(ctx, market.Payment{LeaseAmount: 6}); err != nil || stored != 6 {
		t.Fatalf("after the cut: %d, %v", stored, err)
	}
}

func TestTunnel_CarriesBytesAndRefuses(t *testing.T) {
	t.Parallel()
	c, p, _ := pair(t, &fakeProvider{})
	ctx := context.Background()
	if _, err := c.Tunnel(ctx, p, TunnelOpen{Kind: TunnelGet}); market.CodeOf(err) != market.CodeUnknownLease {
		t.Fatalf("foreign lease: %v", err)
	}
	fc, err := c.Tunnel(ctx, p, TunnelOpen{Kind: TunnelPut})
	if err != nil {
		t.Fatal(err)
	}
	defer fc.Close()
	want := bytes.Repeat([]byte("0123456789abcdef"), 20_000) // several frames
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := fc.Writer(ChanIn).Write(want); err != nil {
			t.Error(err)
		}
		if err := fc.Write(ChanIn, nil); err != nil {
			t.Error(err)
		}
	})
	got, err := io.ReadAll(fc.Reader(ChanOut))
	wg.Wait()
	if err != nil || !cmp.Equal(got, want) {
		t.Fatalf("%d bytes of %d, %v", len(got), len(want), err)
	}
}

func FuzzMessage(f *testing.F) {
	var b bytes.Buffer
	if err := writeMsg(&b, msgQuote, []byte("x")); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, body, err := readMsg(bytes.NewReader(raw), 100)
		if err == nil && len(body) > 100 {
			t.Fatal("larger than the limit")
		}
	})
}

func FuzzVoucherMessage(f *testing.F) {
	f.Add(msgReceipt, []byte("receipt"))
	f.Add(msgRelease, make([]byte, 146))
	f.Add(msgStatus, []byte{8, 1})
	f.Add(msgOpen, make([]byte, 20))
	f.Fuzz(func(t *testing.T, typ uint8, body []byte) {
		p, ok, err := decodePush(typ, body)
		if set := p.Receipt != nil || p.Status != nil || p.Release != nil; err == nil && len(body) > 0 && ok != set {
			t.Fatalf("push %v with content %v", ok, set)
		}
		if o, err := decodeOpen(typ, body); err == nil && len(o.Args) > maxFrame {
			t.Fatal("larger than the limit")
		}
	})
}
