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
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
)

// base is where all paths begin.
const base = "/api/v1"

// Version is this program's; MinClient is the oldest client that this API understands.
const (
	Version   = "0.1.0"
	MinClient = "0.1.0"
)

// Config of a Server. Events and Answers may be nil: then there is no event stream, and keys are remembered until the
// process ends. Observe, if set, hears of each request: its route and status. Told, if set, hears of each operation
// that begins or ends.
type Config struct {
	Backend Backend
	Events  Feed
	Answers Answers
	Observe func(route string, status int)
	Told    func(Operation)
}

// Server answers the local API. Use New; Close ends its operations and streams and waits for them.
type Server struct {
	b       Backend
	feed    Feed
	answers Answers
	observe func(string, int)
	told    func(Operation)
	log     *slog.Logger
	mux     *http.ServeMux
	life    context.Context // ends with Close
	end     context.CancelFunc
	wg      sync.WaitGroup

	patching   sync.Mutex // one change of settings at a time
	mu         sync.Mutex
	working    map[string]bool // idempotency keys
	operations map[string]Operation
	opOrder    []string
	streams    int
}

// NewServer serves b without events.
func NewServer(b Backend, log *slog.Logger) *Server { return New(Config{Backend: b}, log) }

// New serves c.Backend below /api/v1.
func New(c Config, log *slog.Logger) *Server {
	s := &Server{
		b: c.Backend, feed: c.Events, answers: c.Answers, observe: c.Observe, told: c.Told, log: log,
		mux: http.NewServeMux(), working: map[string]bool{}, operations: map[string]Operation{},
	}
	s.life, s.end = context.WithCancel(context.Background())
	if s.answers == nil {
		s.answers = &memory{m: map[string][]byte{}}
	}
	if s.observe == nil {
		s.observe = func(string, int) {}
	}
	if s.told == nil {
		s.told = func(Operation) {}
	}
	allowed := map[string][]string{}
	for _, rt := range s.routes() {
		allowed[rt.path] = append(allowed[rt.path], rt.method)
		s.mux.HandleFunc(rt.method+" "+base+rt.path, s.handler(rt))
	}
	for p, methods := range allowed {
		s.mux.HandleFunc(base+p, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			s.refuse(w, r, usage(http.StatusMethodNotAllowed, "this path takes "+strings.Join(methods, ", ")))
		})
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.refuse(w, r, noEndpoint()) })
	return s
}

func noEndpoint() error {
	return &market.Error{Code: "not-found", Kind: market.KindNotFound, Op: "find endpoint",
		Detail: "there is no such endpoint", Hint: "see docs/reference/api.md"}
}

// Close ends operations and waits for them.
func (s *Server) Close() {
	s.mu.Lock()
	s.end() // under the lock: what begins later sees it
	s.mu.Unlock()
	s.wg.Wait()
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	seen := &watched{ResponseWriter: w, status: http.StatusOK}
	defer func() { s.observe(s.pattern(r), seen.status) }()
	w.Header().Set("X-Content-Type-Options", "nosniff")
	p := r.URL.EscapedPath()
	if path.Clean("/"+p) != p { // the mux would redirect to the clean one, as HTML
		s.refuse(seen, r, noEndpoint())
		return
	}
	s.mux.ServeHTTP(seen, r)
}

// pattern names the route of a request, for logs and metrics: paths hold ids, and may hold anything.
func (s *Server) pattern(r *http.Request) string {
	_, p := s.mux.Handler(r)
	if p == "/" {
		return "none"
	}
	return strings.Replace(p, base, "", 1)
}

// watched knows the status and whether bytes went out: after that an error can only cut the connection.
type watched struct {
	http.ResponseWriter
	status int
	n      int64
}

// WriteHeader implements http.ResponseWriter.
func (c *watched) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (c *watched) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.n += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController find flush and hijack.
func (c *watched) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// handler checks what all routes share, then calls the route.
func (s *Server) handler(rt route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := checkQuery(r, rt.query); err != nil {
			s.refuse(w, r, err)
			return
		}
		switch {
		case rt.raw != nil:
			rt.raw(w, r)
		case rt.keyed:
			s.once(w, r, rt.answer)
		default:
			v, err := rt.answer(r)
			if err != nil {
				s.refuse(w, r, err)
				return
			}
			send(w, render(v))
		}
	}
}

// render makes the answer of a value; accepted and created have a status of their own.
func render(v any) answerDoc {
	d := answerDoc{Status: http.StatusOK}
	switch x := v.(type) {
	case accepted:
		d.Status, d.Location, v = http.StatusAccepted, base+"/operations/"+x.op.ID, x.op
	case created:
		d.Status, d.Location, v = http.StatusCreated, base+x.location, x.v
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("document %T does not marshal: %v", v, err)) // our own mistake; net/http cuts the connection
	}
	d.Body = append(b, '\n')
	return d
}

func send(w http.ResponseWriter, d answerDoc) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if d.Location != "" {
		w.Header().Set("Location", d.Location)
	}
	w.WriteHeader(d.Status)
	_, _ = w.Write(d.Body) // the caller is gone if this fails
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	s.fail(r, err)
	writeProblem(w, err)
}

// fail logs a failed request; what carries no code is our own fault, and its text goes nowhere else.
func (s *Server) fail(r *http.Request, err error) {
	level := slog.LevelDebug
	if market.CodeOf(err) == "" && market.CodeOf(foreign(err)) == "" && r.Context().Err() == nil {
		level = slog.LevelError
	}
	s.log.Log(r.Context(), level, "Request failed", "route", s.pattern(r), "error", err)
}

// Serve listens on a unix socket of mode 0600 until ctx ends. Errors: *market.Error node-running; I/O.
func Serve(ctx context.Context, socket string, h http.Handler) error {
	return ServeGroup(ctx, socket, "", h)
}

// ServeGroup is Serve for the members of a group too, mode 0660; "" is no group. Errors: as Serve; config-invalid if
// there is no such group or this user may not give it the socket.
func ServeGroup(ctx context.Context, socket, group string, h http.Handler) error {
	if c, err := net.DialTimeout("unix", socket, time.Second); err == nil {
		return errors.Join(&market.Error{Code: "node-running", Kind: market.KindUnavailable, Op: "listen",
			Detail: "a node answers at " + socket, Hint: "gpuai node stop"}, c.Close())
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
	if err := protect(socket, group); err != nil {
		return errors.Join(err, l.Close())
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() }) // streams end with ctx
	defer stop()
	err = srv.Serve(l)
	if s, ok := h.(*Server); ok {
		s.Close()
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve api: %w", err)
	}
	return ctx.Err()
}

func parseSince(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339, s)
}
