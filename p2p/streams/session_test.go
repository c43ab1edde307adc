package streams

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/network"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/p2ptest"
)

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func rawStreamTo(t *testing.T, c *Service, to market.NodeID, name string) network.Stream {
	t.Helper()
	st, err := c.open(deadline(t), to, nil, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Reset() })
	if err := st.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return st
}

// TestStream_ViolationsAreAnsweredTyped: what a peer gets for breaking the protocol, and that it is never more than
// that.
func TestStream_ViolationsAreAnsweredTyped(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name, stream string
		want         market.Code
		raw          []byte
	}{
		{"oversized order", "quote", market.CodeTooLarge, binary.AppendUvarint(nil, maxQuoteMsg+1)},
		{"endless length", "lease", market.CodeTooLarge, binary.AppendUvarint(nil, 1<<62)},
		{"empty message", "lease", market.CodeMalformed, []byte{0}},
		{"unknown message", "lease", market.CodeMalformed, []byte{1, 200}},
		{"short lease id", "lease", market.CodeMalformed, []byte{2, msgStatusRequest, 1}},
		{"no order", "quote", market.CodeMalformed, []byte{1, msgPropose}},
		{"short open", "tunnel", market.CodeMalformed, []byte{2, msgOpen, 1}},
		{"payment of junk", "voucher", market.CodeMalformed, []byte{2, msgPayment, 0xff}},
		{"foreign message", "voucher", market.CodeMalformed, []byte{1, msgQuote}},
		{"oversized voucher", "voucher", market.CodeTooLarge, binary.AppendUvarint(nil, maxVoucherMsg+1)},
	} {
		t.Run(x.name, func(t *testing.T) {
			c, p, _ := pair(t, &fakeProvider{}) // of its own: five violations are a ban
			if got, typ, err := broken(t, c, p, x.stream, x.raw); got != x.want {
				t.Errorf("%q (message %d, %v), want %q", got, typ, err, x.want)
			}
		})
	}
	c, p, _ := pair(t, &fakeProvider{})
	ctx := deadline(t)
	for name, err := range map[string]error{
		"order":  second(c.Quote(ctx, p, nil, make([]byte, maxQuoteMsg))),
		"lease":  c.Propose(ctx, p, make([]byte, maxLeaseMsg)),
		"tunnel": second(c.Tunnel(ctx, p, TunnelOpen{Kind: TunnelPut, Args: make([]byte, maxFrame+1)})),
	} {
		if market.CodeOf(err) != market.CodeTooLarge {
			t.Errorf("own oversized %s: %v", name, err)
		}
	}
}

// broken sends raw bytes on a stream and returns what the other side says to them.
func broken(t *testing.T, c *Service, p market.NodeID, stream string, raw []byte) (market.Code, uint8, error) {
	t.Helper()
	st := rawStreamTo(t, c, p, stream)
	if _, err := st.Write(raw); err != nil {
		t.Fatal(err)
	}
	typ, body, err := readMsg(st, maxLeaseMsg)
	_ = st.Reset() // one peer may hold two voucher streams
	if err == nil && typ == msgRefusal {
		err = decodeRefusal(body)
	}
	return market.CodeOf(ofReset(err)), typ, err
}

// TestStream_FiveViolations_AreABan: whatever the protocol, they count together.
func TestStream_FiveViolations_AreABan(t *testing.T) {
	t.Parallel()
	c, p, _ := pair(t, &fakeProvider{})
	for _, name := range []string{"quote", "lease", "tunnel", "voucher", "quote"} {
		_, _, _ = broken(t, c, p, name, binary.AppendUvarint(nil, 1<<40)) // what it says is the other test's
	}
	p2ptest.Eventually(t, "the peer stays", func() bool { return c.host.Peers() == 0 })
	if _, err := c.open(deadline(t), p, nil, "quote"); err == nil {
		t.Error("a banned peer may come back")
	}
}

func second[T any](_ T, err error) error { return err }

func TestStream_OverTheRateIsRefused(t *testing.T) {
	t.Parallel()
	c, p, _ := pair(t, &fakeProvider{})
	ctx := deadline(t)
	var err error
	for range 200 { // 20 are free, 5 more each second
		if _, err = c.Quote(ctx, p, nil, []byte("order")); err != nil {
			break
		}
	}
	var r *market.Refusal
	if !errors.As(err, &r) || r.Code != market.CodeRateLimited || r.Kind != market.KindUnavailable {
		t.Fatalf("a flood of orders ended with %v", err)
	}
	if _, err := c.Status(ctx, p, market.LeaseID{1}); err != nil {
		t.Fatalf("another protocol has its own rate: %v", err)
	}
}

func TestStream_CancelEndsTheWait(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	f := &fakeProvider{quote: func(ctx context.Context) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	}}
	c, p, _ := pair(t, f)
	ctx, cancel := context.WithCancel(deadline(t))
	began := time.Now()
	var wg sync.WaitGroup
	wg.Go(func() { <-entered; cancel() })
	_, err := c.Quote(ctx, p, nil, []byte("slow"))
	wg.Wait()
	if !errors.Is(err, context.Canceled) || time.Since(began) > quoteTimeout/2 {
		t.Fatalf("cancelled quote returned %v after %v", err, time.Since(began))
	}
}

func TestVoucherStream_PaymentsInFlightKeepTheirAnswers(t *testing.T) {
	t.Parallel()
	f := &fakeProvider{echo: true}
	c, p, _ := pair(t, f)
	ctx := deadline(t)
	s, err := c.Vouchers(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Pay(gone, market.Payment{LeaseAmount: 999}); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err) // its answer comes, and belongs to nobody else
	}
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			want := market.Amount(i + 1)
			if got, err := s.Pay(ctx, market.Payment{LeaseAmount: want}); err != nil || got != want {
				t.Errorf("payment %d was answered with %d, %v", want, got, err)
			}
			if i%10 == 0 {
				if err := f.pusher()(VoucherPush{Receipt: []byte("r")}); err != nil {
					t.Error(err)
				}
				ch := market.ChannelID{byte(i)}
				if r, err := s.ReleaseRequest(ctx, ch); err != nil || !bytes.Equal(r[:32], ch[:]) {
					t.Errorf("release of %d: %x, %v", i, r[:4], err)
				}
			}
		})
	}
	wg.Wait()
}

func TestVoucherStream_LastPushSurvivesTheEnd(t *testing.T) {
	t.Parallel()
	f := &fakeProvider{}
	c, p, ph := pair(t, f)
	ctx := deadline(t)
	s, err := c.Vouchers(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Pay(ctx, market.Payment{LeaseAmount: 1}); err != nil { // the session is up
		t.Fatal(err)
	}
	for range maxPushes + 10 { // nobody receives: the oldest go
		if err := f.pusher()(VoucherPush{Receipt: []byte("old")}); err != nil {
			t.Fatal(err)
		}
	}
	rel := &ReleasePush{Channel: market.ChannelID{7}, Bytes: [114]byte{1, 2}}
	if err := f.pusher()(VoucherPush{Release: rel}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pay(ctx, market.Payment{LeaseAmount: 2}); err != nil { // all pushes are here
		t.Fatal(err)
	}
	if err := ph.Libp2p().Close(); err != nil {
		t.Fatal(err)
	}
	<-s.(*session).done
	var last VoucherPush
	n := 0
	for {
		m, err := s.Recv(ctx)
		if err != nil {
			break
		}
		last, n = m, n+1
	}
	if diff := cmp.Diff(VoucherPush{Release: rel}, last); diff != "" || n != maxPushes {
		t.Fatalf("%d pushes, the last: %s", n, diff)
	}
	if _, err := s.Pay(ctx, market.Payment{}); err == nil {
		t.Fatal("a dead session took a payment")
	}
}

func TestVoucherStream_NewSessionSupplantsTheOld(t *testing.T) {
	t.Parallel()
	c, p, _ := pair(t, &fakeProvider{})
	ctx := deadline(t)
	old, err := c.Vouchers(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if _, err := old.Pay(ctx, market.Payment{LeaseAmount: 1}); err != nil {
		t.Fatal(err)
	}
	now, err := c.Vouchers(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	defer now.Close()
	if stored, err := now.Pay(ctx, market.Payment{LeaseAmount: 2}); err != nil || stored != 2 {
		t.Fatalf("%d, %v", stored, err)
	}
	if _, err := old.Recv(ctx); err == nil || ctx.Err() != nil {
		t.Fatalf("the old session lives: %v", err)
	}
}

// TestVoucherStream_LyingProvider: answers that nobody asked for end the session instead of becoming the answer of the
// next payment.
func TestVoucherStream_LyingProvider(t *testing.T) {
	t.Parallel()
	c, p, ph := pair(t, &fakeProvider{})
	ph.Libp2p().SetStreamHandler(ph.Network().Protocol("voucher", 1), func(st network.Stream) {
		_ = writeMsg(st, msgPaymentAck, make([]byte, 8)) // the customer's side is under test
		_, _ = io.Copy(io.Discard, st)
	})
	ctx := deadline(t)
	s, err := c.Vouchers(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Recv(ctx); !errors.Is(err, errMalformed) {
		t.Fatalf("session ended with %v", err)
	}
}

func TestTunnel_SilentLogsEndWithTheirReader(t *testing.T) {
	t.Parallel()
	f := &fakeProvider{logsEnd: make(chan struct{})}
	c, p, _ := pair(t, f)
	fc, err := c.Tunnel(deadline(t), p, TunnelOpen{Kind: TunnelLogs})
	if err != nil {
		t.Fatal(err)
	}
	if err := fc.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-f.logsEnd:
	case <-time.After(10 * time.Second):
		t.Fatal("the follower of silent logs outlived its reader")
	}
}
