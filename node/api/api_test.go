package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rest"
	"github.com/gpuai/gpuai/runtime/spec"
)

// fake answers what a test needs; a method that it lacks fails the test by a nil call.
type fake struct {
	Backend
	order   Order
	request OrderRequest
	inputs  []byte
	calls   []string
	fail    error
}

func (f *fake) call(name string, a ...any) error {
	f.calls = append(f.calls, strings.TrimSpace(name+" "+fmt.Sprintln(a...)))
	return f.fail
}

func (f *fake) Status(context.Context) (Status, error) {
	return Status{Schema: "gpuai.status/v1", PeerID: "p", Roles: []string{}, Addresses: []string{}}, f.fail
}
func (f *fake) Offers(context.Context, market.Sort) ([]Offer, error) { return nil, f.fail }
func (f *fake) Orders(_ context.Context, q OrderQuery) ([]Order, error) {
	return []Order{f.order}, f.call("orders", q.All)
}
func (f *fake) Order(_ context.Context, id string) (Order, error) {
	return f.order, f.call("order", id)
}
func (f *fake) CreateOrder(_ context.Context, r OrderRequest) (Order, error) {
	f.request = r
	return f.order, f.fail
}
func (f *fake) PutInputs(_ context.Context, id string, r io.Reader) (err error) {
	f.inputs, err = io.ReadAll(r)
	return errors.Join(err, f.call("inputs", id))
}
func (f *fake) StopOrder(_ context.Context, id string, now bool) error {
	return f.call("stop", id, now)
}
func (f *fake) Spool(context.Context) (Spool, error) {
	return Spool{Schema: "gpuai.spool/v1", Entries: []SpoolEntry{}}, f.call("spool")
}
func (f *fake) PruneSpool(_ context.Context, p SpoolPrune) (Spool, error) {
	return Spool{Schema: "gpuai.spool/v1", Entries: []SpoolEntry{}}, f.call("prune", p.Orders, p.Unfetched)
}
func (f *fake) GetOutputs(_ context.Context, id string, _ bool, w io.Writer) error {
	if id == "cut" {
		_, err := w.Write(make([]byte, 1<<16))
		return errors.Join(err, errors.New("disk is gone"))
	}
	if f.fail != nil {
		return f.fail
	}
	_, err := io.WriteString(w, "tar of "+id)
	return err
}
func (f *fake) Logs(_ context.Context, _ string, q LogQuery, g func(LogPiece) error) (LogState, error) {
	if f.fail != nil {
		return LogState{}, f.fail
	}
	at := time.UnixMilli(1_700_000_000_123)
	state := LogState{Bytes: 13 + 3<<20, Missing: 9, Over: true, Why: "not-handed-over"}
	return state, errors.Join(f.call("logs", q.Since.UnixMilli(), q.From, q.Follow),
		g(LogPiece{At: at, Stream: 1, Data: []byte("out\n")}),
		g(LogPiece{Offset: 4, At: at, Gap: 9}),
		g(LogPiece{Offset: 13, At: at, Stream: 2, Data: bytes.Repeat([]byte("e"), 3<<20)}))
}
func (f *fake) Exec(_ context.Context, _ string, argv []string, tty *Terminal, stdin io.Reader,
	out func(uint8, []byte) error) (int, error) {
	if f.fail != nil {
		return 0, f.fail
	}
	b, err := io.ReadAll(stdin)
	if err != nil {
		return 0, err
	}
	err = errors.Join(f.call("exec", argv, tty != nil), out(1, bytes.ToUpper(b)), out(2, []byte("oops")))
	return 137, err
}
func (f *fake) Withdraw(_ context.Context, w Withdrawal) (Transfer, error) {
	return Transfer{To: w.To, Amount: SOL(w.Amount)}, f.call("withdraw", w.To, uint64(w.Amount), w.All)
}
func (f *fake) ProviderSell(_ context.Context, on bool) (Provider, error) {
	return Provider{Selling: on, Rates: map[string]Money{}, Devices: []Device{}}, f.call("sell", on)
}
func (f *fake) Shutdown(_ context.Context, end bool) error { return f.call("shutdown", end) }

// serve starts a server on a socket and returns its client.
func serve(t *testing.T, b Backend) (*Client, string) {
	t.Helper()
	c := serveConfig(t, Config{Backend: b})
	return c, c.address
}

func serveConfig(t *testing.T, c Config) *Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "api") // t.TempDir is too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s", "api.sock")
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := rest.Serve(ctx, socket, New(c, slog.New(slog.DiscardHandler))); !errors.Is(err, context.Canceled) {
			t.Errorf("Serve = %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	for range 500 {
		if c, err := net.Dial("unix", socket); err == nil {
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			return Dial(socket)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the server does not listen")
	return nil
}

// unchecked makes a client take answers that the API's document does not have.
func unchecked(c *Client) {
	c.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return c.dial(ctx)
	}}
}

func TestClient_CallsReachTheBackend(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	f := &fake{order: Order{ID: "order_1", OrderMoney: OrderMoney{Rate: RateSOL(2_400_000)},
		OrderRun: OrderRun{Steps: []Step{{Phase: "quote"}}}}}
	c, _ := serve(t, f)
	if s, err := c.Status(ctx); err != nil || s.PeerID != "p" {
		t.Errorf("status %+v, %v", s, err)
	}
	if l, err := c.Offers(ctx, market.Sort{}); err != nil || l == nil || len(l) != 0 {
		t.Errorf("no offers must be an empty list, got %#v, %v", l, err)
	}
	if l, err := c.Orders(ctx, OrderQuery{All: true}); err != nil || !cmp.Equal(l, []Order{f.order}) {
		t.Errorf("orders: %s, %v", cmp.Diff([]Order{f.order}, l), err)
	}
	if _, err := c.Order(ctx, "a/../b c"); err != nil {
		t.Error(err)
	}
	req := OrderRequest{Key: "k", Job: spec.NewFile("i"), InputBytes: 1 << 52, KeepChannel: true}
	req.Job.GPU = spec.GPU{AnyOf: []string{"b"}, Count: 2}
	req.Job.Limits.MaxRate, req.Job.Limits.MaxTotal = market.MaxRate, 1<<64-1
	req.Job.Placement.Where = []market.Term{{Field: market.FieldRAM, Lo: 1 << 50}, {Classes: []string{"a"}, Not: true}}
	if _, err := c.CreateOrder(ctx, req); err != nil || !cmp.Equal(req, f.request) {
		t.Errorf("request: %s, %v", cmp.Diff(req, f.request), err)
	}
	big := bytes.Repeat([]byte("in"), 2<<20) // above the limit of JSON bodies
	if err := c.PutInputs(ctx, "order_1", bytes.NewReader(big)); err != nil || !bytes.Equal(f.inputs, big) {
		t.Errorf("inputs: %d of %d bytes, %v", len(f.inputs), len(big), err)
	}
	if err := errors.Join(c.StopOrder(ctx, "-", true), c.Shutdown(ctx, true)); err != nil {
		t.Error(err)
	}
	if tr, err := c.Withdraw(ctx, Withdrawal{Key: "w", To: solMint, Amount: 1 << 63}); err != nil ||
		tr.Amount.Lamports() != 1<<63 {
		t.Errorf("transfer %+v, %v", tr, err)
	}
	if p, err := c.ProviderSell(ctx, true); err != nil || !p.Selling {
		t.Errorf("provider %+v, %v", p, err)
	}
	want := []string{"orders true", "order a/../b c", "inputs order_1", "stop - true", "shutdown true",
		"withdraw " + solMint + " 9223372036854775808 false", "sell true"}
	if d := cmp.Diff(want, f.calls); d != "" {
		t.Error(d)
	}
}

func TestClient_Streams(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	f := &fake{}
	c, _ := serve(t, f)
	var got [4]bytes.Buffer
	next := uint64(0)
	state, err := c.Logs(ctx, "-", LogQuery{From: 7, Since: time.UnixMilli(5_005), Follow: true},
		func(p LogPiece) error {
			if p.At.UnixMilli() != 1_700_000_000_123 || p.Offset != next || p.Gap > 0 && p.Offset != 4 {
				t.Errorf("%d bytes at %d, want %d, time %v, gap %d", len(p.Data), p.Offset, next, p.At, p.Gap)
			}
			next += p.Gap + uint64(len(p.Data))
			got[p.Stream&3].Write(p.Data)
			return nil
		})
	if err != nil || next != 13+3<<20 ||
		state != (LogState{Bytes: 13 + 3<<20, Missing: 9, Over: true, Why: "not-handed-over"}) ||
		got[1].String() != "out\n" || got[2].Len() != 3<<20 {
		t.Errorf("logs: %q, %d bytes, %v", got[1].String(), got[2].Len(), err)
	}
	var out, errOut bytes.Buffer
	code, err := c.Exec(ctx, "-", []string{"tr", "a b", ""}, nil, strings.NewReader(strings.Repeat("x", 1<<18)),
		func(stream uint8, b []byte) error {
			if stream == 1 {
				out.Write(b)
			} else {
				errOut.Write(b)
			}
			return nil
		})
	if err != nil || code != 137 || out.String() != strings.Repeat("X", 1<<18) || errOut.String() != "oops" {
		t.Errorf("exec: code %d, %d bytes, %q, %v", code, out.Len(), errOut.String(), err)
	}
	if d := cmp.Diff([]string{"logs 5005 7 true", "order -", "exec [tr a b ] false"}, f.calls); d != "" {
		t.Error(d)
	}
	var tar bytes.Buffer
	if err := c.GetOutputs(ctx, "order_9", false, &tar); err != nil || tar.String() != "tar of order_9" {
		t.Errorf("outputs %q, %v", tar.String(), err)
	}
	if err := c.GetOutputs(ctx, "cut", false, &tar); err == nil {
		t.Error("outputs that were cut counted as whole")
	}
}

func TestClient_ErrorsKeepTheirCode(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, want := range []struct {
		err    error
		code   market.Code
		status int
		exit   int
	}{
		{&market.Error{Code: market.CodeNoOfferFits, Kind: market.KindConflict, Detail: "41 rigs",
			Hint: "gpuai offers"},
			market.CodeNoOfferFits, 409, 5},
		{fmt.Errorf("wrapped: %w",
			&market.Error{Op: "outer", Err: &market.Error{Code: market.CodeFundsShort, Kind: market.KindConflict}}),
			market.CodeFundsShort, 402, 6},
		{market.Refuse(market.CodeDevicesTaken, market.KindConflict, "by another"), market.CodeDevicesTaken, 409, 1},
		{&market.Error{Code: market.CodeSpecUnit, Kind: market.KindInvalid}, market.CodeSpecUnit, 422, 2},
		{&market.Error{Code: "never-heard-of", Kind: market.KindNotFound}, "never-heard-of", 404, 3},
		{errors.New("secret 12345"), market.CodeInternal, 500, 1},
	} {
		p := rest.ProblemOf(want.err)
		if p.Code != want.code || p.Status != want.status || p.Exit() != want.exit || p.Title == "" || p.Fix == nil {
			t.Errorf("ProblemOf(%v) = %+v, exit %d", want.err, p, p.Exit())
		}
		f := &fake{fail: want.err}
		c, _ := serve(t, f)
		unchecked(c) // not each of these codes can come from each of these calls
		_, err := c.Order(ctx, "x")
		errs := []error{err}
		errs = append(errs, c.GetOutputs(ctx, "x", true, io.Discard))
		_, err = c.Logs(ctx, "x", LogQuery{}, nil)
		errs = append(errs, err)
		_, err = c.Exec(ctx, "x", []string{"true"}, nil, nil, nil)
		for i, err := range append(errs, err) {
			if market.CodeOf(err) != want.code || strings.Contains(err.Error(), "12345") {
				t.Errorf("call %d gave %v, want code %s", i, err, want.code)
			}
		}
	}
}

func TestServer_RefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	h := New(Config{Backend: &fake{}}, slog.New(slog.DiscardHandler))
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/api/v1/nothing", "", 404},
		{"DELETE", "/api/v1/orders/x", "", 405},
		{"POST", "/api/v1/orders", `{"key":"k","hunter2":1}`, 400},
		{"POST", "/api/v1/orders", `{"key":"hunter2`, 400},
		{"POST", "/api/v1/wallet/withdraw", `{"amount":"hunter2"}`, 400},
	} {
		w := record{header: http.Header{}}
		r, err := http.NewRequestWithContext(t.Context(), c.method, c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Idempotency-Key", "k")
		h.ServeHTTP(&w, r)
		if w.status != c.status || w.header.Get("Content-Type") != "application/problem+json" ||
			strings.Contains(w.body.String(), "hunter2") {
			t.Errorf("%s %s: %d %s %s", c.method, c.path, w.status, w.header.Get("Content-Type"), w.body.String())
		}
	}
}

type record struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *record) Header() http.Header         { return r.header }
func (r *record) Write(b []byte) (int, error) { return r.body.Write(b) }
func (r *record) WriteHeader(s int)           { r.status = s }

func TestServe_SocketIsPrivateAndSingle(t *testing.T) {
	t.Parallel()
	_, socket := serve(t, &fake{})
	for path, want := range map[string]os.FileMode{socket: 0o600, filepath.Dir(socket): 0o700} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v, want %o", path, info.Mode(), err, want)
		}
	}
	err := rest.Serve(t.Context(), socket, New(Config{Backend: &fake{}}, slog.New(slog.DiscardHandler)))
	if market.CodeOf(err) != market.CodeNodeRunning {
		t.Errorf("a second node on one socket: %v", err)
	}
	_, err = Dial(filepath.Join(t.TempDir(), "none")).Status(t.Context())
	if market.CodeOf(err) != market.CodeNodeUnreachable {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestExec_ClientGone_EndsTheCommand(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	c, _ := serve(t, &hanging{ended: ended})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := c.Exec(ctx, "-", []string{"sleep"}, nil, nil, func(uint8, []byte) error { cancel(); return nil })
		if err == nil {
			t.Error("an exec that was left ended well")
		}
	})
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the command was not told")
		}
	case <-time.After(10 * time.Second):
		t.Error("the command runs on though its client is gone")
	}
	wg.Wait()
}

// hanging is a command that ends with its context only.
type hanging struct {
	Backend
	ended chan error
}

func (h *hanging) Order(context.Context, string) (Order, error) { return Order{}, nil }

func (h *hanging) Exec(ctx context.Context, _ string, _ []string, _ *Terminal, _ io.Reader,
	out func(uint8, []byte) error) (int, error) {
	if err := out(1, []byte("started")); err != nil {
		return 0, err
	}
	select {
	case <-ctx.Done():
	case <-time.After(20 * time.Second):
	}
	h.ended <- ctx.Err()
	return 0, ctx.Err()
}
