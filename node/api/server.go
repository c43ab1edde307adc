package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gpuai/gpuai/market"
)

type server struct {
	b   Backend
	log *slog.Logger
}

// amountBody carries money of a request.
type amountBody struct {
	To     string        `json:"to,omitempty"`
	Amount market.Amount `json:"amount,string"`
	All    bool          `json:"all,omitempty"`
}

// Lists are wrapped, never null.
type (
	offerList struct {
		Offers []Offer `json:"offers"`
	}
	orderList struct {
		Orders []Order `json:"orders"`
	}
	channelList struct {
		Channels []Channel `json:"channels"`
	}
	leaseList struct {
		Leases []Lease `json:"leases"`
	}
	none struct{}
)

// NewServer serves b below /api/v1.
func NewServer(b Backend, log *slog.Logger) http.Handler {
	s, m := &server{b, log}, http.NewServeMux()
	on := func(route string, f func(r *http.Request) (any, error)) { m.HandleFunc(route, s.answer(f)) }
	on("GET /api/v1/status", func(r *http.Request) (any, error) { return b.Status(r.Context()) })
	on("GET /api/v1/offers", func(r *http.Request) (any, error) { l, err := b.Offers(r.Context()); return offerList{orEmpty(l)}, err })
	on("POST /api/v1/plans", func(r *http.Request) (any, error) { return withBody(r, b.Plan) })
	on("POST /api/v1/orders", func(r *http.Request) (any, error) { return withBody(r, b.CreateOrder) })
	on("GET /api/v1/orders", func(r *http.Request) (any, error) {
		l, err := b.Orders(r.Context(), r.FormValue("all") == "true")
		return orderList{orEmpty(l)}, err
	})
	on("GET /api/v1/orders/{id}", func(r *http.Request) (any, error) { return b.Order(r.Context(), r.PathValue("id")) })
	on("PUT /api/v1/orders/{id}/inputs", func(r *http.Request) (any, error) {
		return none{}, b.PutInputs(r.Context(), r.PathValue("id"), r.Body)
	})
	on("POST /api/v1/orders/{id}/stop", func(r *http.Request) (any, error) {
		return none{}, b.StopOrder(r.Context(), r.PathValue("id"), r.FormValue("now") == "true")
	})
	on("GET /api/v1/orders/{id}/receipt", func(r *http.Request) (any, error) { return b.Receipt(r.Context(), r.PathValue("id")) })
	m.HandleFunc("GET /api/v1/orders/{id}/outputs", s.outputs)
	m.HandleFunc("GET /api/v1/orders/{id}/logs", s.logs)
	m.HandleFunc("POST /api/v1/orders/{id}/exec", s.exec)
	on("GET /api/v1/wallet", func(r *http.Request) (any, error) { return b.Wallet(r.Context()) })
	on("POST /api/v1/wallet", func(r *http.Request) (any, error) { return b.WalletNew(r.Context()) })
	on("POST /api/v1/wallet/airdrop", func(r *http.Request) (any, error) {
		return withBody(r, func(ctx context.Context, a amountBody) (Wallet, error) { return b.Airdrop(ctx, a.Amount) })
	})
	on("POST /api/v1/wallet/withdraw", func(r *http.Request) (any, error) {
		return withBody(r, func(ctx context.Context, a amountBody) (Transfer, error) {
			return b.Withdraw(ctx, a.To, a.Amount, a.All)
		})
	})
	on("GET /api/v1/channels", func(r *http.Request) (any, error) {
		l, err := b.Channels(r.Context())
		return channelList{orEmpty(l)}, err
	})
	on("POST /api/v1/channels/{addr}/close", func(r *http.Request) (any, error) { return b.CloseChannel(r.Context(), r.PathValue("addr")) })
	on("GET /api/v1/provider", func(r *http.Request) (any, error) { return b.Provider(r.Context()) })
	on("POST /api/v1/provider/pause", func(r *http.Request) (any, error) { return b.ProviderSell(r.Context(), false) })
	on("POST /api/v1/provider/resume", func(r *http.Request) (any, error) { return b.ProviderSell(r.Context(), true) })
	on("GET /api/v1/provider/leases", func(r *http.Request) (any, error) {
		l, err := b.ProviderLeases(r.Context())
		return leaseList{orEmpty(l)}, err
	})
	on("POST /api/v1/shutdown", func(r *http.Request) (any, error) {
		return none{}, b.Shutdown(r.Context(), r.FormValue("end_leases") == "true")
	})
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, &market.Error{Code: "not-found", Kind: market.KindNotFound, Op: "find endpoint", Detail: r.Method + " " + r.URL.Path})
	})
	return m
}

func orEmpty[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

func withBody[B, A any](r *http.Request, f func(context.Context, B) (A, error)) (any, error) {
	var body B
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(&body); err != nil {
		// the error may quote what was sent, so only its kind is told
		return nil, &market.Error{Code: "bad-usage", Kind: market.KindInvalid, Op: "read request", Detail: "the body is not the expected JSON", Err: err}
	}
	return f(r.Context(), body)
}

func (s *server) answer(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := f(r)
		if err != nil {
			s.fail(r, err)
			writeProblem(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v) // the caller is gone if this fails
	}
}

// fail logs a failed request; what carries no code is our own fault, and its text goes nowhere else.
func (s *server) fail(r *http.Request, err error) {
	level := slog.LevelDebug
	if market.CodeOf(err) == "" && r.Context().Err() == nil {
		level = slog.LevelError
	}
	s.log.Log(r.Context(), level, "Request failed", "method", r.Method, "path", r.URL.Path, "error", err)
}

// counted knows whether bytes went out: after that an error can only cut the connection.
type counted struct {
	http.ResponseWriter
	n int64
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.n += int64(n)
	return n, err
}

func (s *server) outputs(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-tar")
	c := &counted{ResponseWriter: w}
	if err := s.b.GetOutputs(r.Context(), r.PathValue("id"), c); err != nil {
		s.fail(r, err)
		if c.n > 0 {
			panic(http.ErrAbortHandler) // net/http's way to cut a started answer; it is not logged
		}
		writeProblem(w, err)
	}
}

// Serve listens on a unix socket of mode 0600 until ctx ends. Errors: *market.Error node-running; I/O.
func Serve(ctx context.Context, socket string, h http.Handler) error {
	if c, err := net.DialTimeout("unix", socket, time.Second); err == nil {
		return errors.Join(&market.Error{Code: "node-running", Kind: market.KindUnavailable, Op: "listen", Detail: "a node answers at " + socket, Hint: "gpuai node stop"}, c.Close())
	}
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		return fmt.Errorf("create socket folder: %w", err)
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove stale socket: %w", err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		return errors.Join(fmt.Errorf("protect socket: %w", err), l.Close())
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10, BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() }) // streams end with ctx
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve api: %w", err)
	}
	return ctx.Err()
}

func parseSince(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	ms, err := strconv.ParseInt(s, 10, 64)
	return time.UnixMilli(ms), err
}
