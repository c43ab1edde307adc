package rest

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/gpuai/gpuai/market"
)

// MaxBody of a JSON request, in bytes.
const MaxBody = 1 << 20

// Options of a Mux. Base is where all paths begin. Answers may be nil: then keys are remembered until the process ends.
// Observe, if set, hears of each request: its route and status. Told, if set, hears of each operation that begins or
// ends. State says in what state the named sources of an answer are (Route.Sources); nil: none of its routes has any.
type Options struct {
	Title, About, Version string
	Base                  string
	Answers               Answers
	Observe               func(route string, status int)
	Told                  func(Operation)
	State                 func(sources ...string) string
}

// Mux answers the routes that are added to it. Use New; Close ends its operations and streams and waits for them.
type Mux struct {
	Operations *Operations

	base    string
	mux     *http.ServeMux
	api     huma.API
	routes  []Route
	keys    *keys
	observe func(string, int)
	log     *slog.Logger
	state   func(...string) string
	cache   cache
}

// New returns a Mux without routes.
func New(o Options, log *slog.Logger) *Mux {
	m := &Mux{base: o.Base, mux: http.NewServeMux(), observe: o.Observe, log: log, state: o.State,
		Operations: newOperations(o.Told, log)}
	m.api = newAPI(m.mux, o)
	m.keys = newKeys(o.Answers, m.Operations, log)
	m.mux.HandleFunc("/", m.unknown)
	return m
}

// Add takes routes of one kind, before the first request.
func (m *Mux) Add(tag string, routes ...Route) {
	for _, rt := range routes {
		op := rt.op
		op.Method, op.Path, op.OperationID, op.Summary, op.Description = rt.Method, rt.Path, rt.ID, rt.Summary, rt.About
		op.Tags = []string{tag}
		op.MaxBodyBytes, op.BodyReadTimeout = MaxBody+1, -1
		op.Middlewares = huma.Middlewares{m.check(rt)}
		if rt.Keyed {
			op.Parameters = append(op.Parameters, keyParam())
		}
		rt.add(m, op)
		documented := m.documented(rt)
		m.describe(&rt, documented)
		rt.op = *documented
		m.routes = append(m.routes, rt)
	}
	openAnswers(m.api.OpenAPI())
	rememberNames(m.api)
}

// Routes are those that were added, in order.
func (m *Mux) Routes() []Route { return slices.Clone(m.routes) }

// Document is the OpenAPI 3.1 document of the routes.
func (m *Mux) Document() ([]byte, error) { return json.MarshalIndent(m.api.OpenAPI(), "", "  ") }

// Close ends operations and streams and waits for the operations.
func (m *Mux) Close() { m.Operations.close() }

// check refuses what no route of the API takes, then does a keyed request once.
func (m *Mux) check(rt Route) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		r.Header.Del("Accept") // there is one form of each answer
		op := ctx.Operation()
		err := checkQuery(r, op.Parameters)
		if err == nil && op.RequestBody != nil {
			err = mediaType(r, op.RequestBody.Content)
		}
		switch {
		case err != nil:
			m.refuse(w, r, err)
		case rt.Keyed:
			if err := m.keys.once(w, r, func(w http.ResponseWriter, r *http.Request) {
				next(humago.NewContext(op, r, w))
			}); err != nil {
				m.refuse(w, r, err)
			}
		case rt.sources != nil:
			m.cached(rt, ctx, next)
		default:
			next(ctx)
		}
	}
}

// ServeHTTP implements http.Handler.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	seen := &watched{ResponseWriter: w, status: http.StatusOK}
	if m.observe != nil {
		defer func() { m.observe(m.pattern(r), seen.status) }()
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	p := r.URL.EscapedPath()
	if path.Clean("/"+p) != p { // the mux would redirect to the clean one, as HTML
		m.refuse(seen, r, NoEndpoint())
		return
	}
	m.mux.ServeHTTP(seen, r)
}

// Open reports whether a request needs no credentials.
func (m *Mux) Open(r *http.Request) bool {
	_, pattern := m.mux.Handler(r)
	return slices.ContainsFunc(m.routes, func(rt Route) bool {
		return rt.Scope == ScopeNone && pattern == rt.Method+" "+m.base+rt.Path
	})
}

// unknown answers what no route has: 405 where another method has it, else 404.
func (m *Mux) unknown(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		other := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := m.mux.Handler(other); pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		m.refuse(w, r, NoEndpoint())
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	m.refuse(w, r, Usage(http.StatusMethodNotAllowed, "this path takes "+strings.Join(allowed, ", ")))
}

// NoEndpoint is the error of a path that nothing serves.
func NoEndpoint() error {
	return &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "find endpoint",
		Detail: "there is no such endpoint", Hint: "see docs/reference/api.md"}
}

// pattern names the route of a request, for logs and metrics: paths hold ids, and may hold anything.
func (m *Mux) pattern(r *http.Request) string {
	_, p := m.mux.Handler(r)
	if p == "/" {
		return "none"
	}
	return strings.Replace(p, m.base, "", 1)
}

// refused logs an error of an operation's own work and makes it a problem; nil stays nil.
func (m *Mux) refused(ctx context.Context, op huma.Operation, err error) error {
	if err == nil {
		return nil
	}
	m.fail(ctx, op.Method+" "+op.Path, err)
	p := ProblemOf(err)
	return &p
}

func (m *Mux) refuse(w http.ResponseWriter, r *http.Request, err error) {
	m.fail(r.Context(), m.pattern(r), err)
	WriteProblem(w, err)
}

// fail logs a failed request; what carries no code is our own fault, and its text goes nowhere else.
func (m *Mux) fail(ctx context.Context, route string, err error) {
	level := slog.LevelDebug
	if market.CodeOf(err) == "" && market.CodeOf(foreign(err)) == "" && ctx.Err() == nil {
		level = slog.LevelError
	}
	m.log.Log(ctx, level, "Request failed", "route", route, "error", err)
}

// watched knows the status and whether an answer has begun: after that an error can only cut the connection.
type watched struct {
	http.ResponseWriter
	status int
	begun  bool
}

// WriteHeader implements http.ResponseWriter.
func (c *watched) WriteHeader(status int) {
	c.status, c.begun = status, true
	c.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (c *watched) Write(b []byte) (int, error) {
	c.begun = c.begun || len(b) > 0
	return c.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController find flush and hijack.
func (c *watched) Unwrap() http.ResponseWriter { return c.ResponseWriter }
