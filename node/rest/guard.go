package rest

import (
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/gpuai/gpuai/market"
)

// Guard stands before a handler that more than the owner of a socket can reach.
type Guard func(http.Handler) http.Handler

// Guarded puts guards before h; the first one is asked first.
func Guarded(h http.Handler, guards ...Guard) http.Handler {
	for _, g := range slices.Backward(guards) {
		h = g(h)
	}
	return h
}

// guard is one that lets a request through or refuses it.
func guard(check func(http.ResponseWriter, *http.Request) error) Guard {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := check(w, r); err != nil {
				WriteProblem(w, err)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// OnPath is a guard of one path only.
func OnPath(path string, g Guard) Guard {
	return func(next http.Handler) http.Handler {
		there := g(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == path {
				there.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// Hosts refuses a request whose Host is none of names, each with its port. A page whose own name was pointed at this
// machine says that name (DNS rebinding).
func Hosts(names ...string) Guard {
	return guard(func(_ http.ResponseWriter, r *http.Request) error {
		if slices.Contains(names, strings.ToLower(r.Host)) {
			return nil
		}
		return &market.Error{Code: market.CodeWrongHost, Kind: market.KindDenied, Op: "check host",
			Detail: "the request names a host that this is not", Hint: "use http://" + names[0]}
	})
}

// Origins refuses what a page of another site makes a browser send, whatever its method. Pages of the allowed ones, as
// "https://app.example", may call and read (CORS), with a bearer token: cookies do not travel there. Error: an origin
// that is none.
func Origins(allowed ...string) (Guard, error) {
	cross := http.NewCrossOriginProtection()
	for _, o := range allowed {
		if err := cross.AddTrustedOrigin(o); err != nil {
			return nil, fmt.Errorf("allow origin: %w", err)
		}
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("Vary", "Origin")
			origin := r.Header.Get("Origin")
			switch {
			case !slices.Contains(allowed, origin):
				if foreignPage(r) || cross.Check(r) != nil {
					WriteProblem(w, &market.Error{Code: market.CodeCrossSite, Kind: market.KindDenied,
						Op: "check origin", Detail: "a page of another site sent this", Hint: "use gpuai"})
					return
				}
			case allowCORS(w.Header(), r, origin):
				w.WriteHeader(http.StatusNoContent)
				return
			}
			next.ServeHTTP(w, r)
		})
	}, nil
}

// AnyOrigin lets pages of every site read the answers (CORS). It is for what anybody may ask, without credentials.
func AnyOrigin() Guard {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if allowCORS(w.Header(), r, "*") {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// foreignPage tells a request that a page of another site made, by what browsers say of it. Programs say nothing.
func foreignPage(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
			return true
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin":
		return false
	case "none": // typed into the address bar
		return r.Method != http.MethodGet && r.Method != http.MethodHead
	}
	return true
}

// allowCORS lets a page read the answer; it reports whether the request only asked if it may.
func allowCORS(h http.Header, r *http.Request, origin string) (preflight bool) {
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "ETag, Location, RateLimit, RateLimit-Policy, Retry-After")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key, If-Match, "+
		"If-None-Match, Last-Event-ID")
	h.Set("Access-Control-Max-Age", "600")
	return true
}

// maxCallers are those whose requests are counted each by themselves.
const maxCallers = 10_000

// Limit lets each caller send so many requests a second, and burst at once. who names a caller. Answers say how much is
// left (RateLimit, RateLimit-Policy). now is the clock.
func Limit(perSecond float64, burst int, who func(*http.Request) string, now func() time.Time) Guard {
	var mu sync.Mutex
	callers := map[string]*rate.Limiter{}
	of := func(name string, at time.Time) *rate.Limiter {
		mu.Lock()
		defer mu.Unlock()
		if callers[name] == nil && len(callers) >= maxCallers {
			for old, l := range callers { // who has not called for long has all of its burst again
				if l.TokensAt(at) >= float64(burst) {
					delete(callers, old)
				}
			}
			if len(callers) >= maxCallers {
				name = "" // those that come now share one
			}
		}
		if callers[name] == nil {
			callers[name] = rate.NewLimiter(rate.Limit(perSecond), burst)
		}
		return callers[name]
	}
	policy := fmt.Sprintf(`"caller";q=%d;w=%.0f`, burst, math.Ceil(float64(burst)/perSecond))
	return guard(func(w http.ResponseWriter, r *http.Request) error {
		at := now()
		l := of(who(r), at)
		ok := l.AllowN(at, 1)
		left := max(l.TokensAt(at), 0)
		w.Header().Set("RateLimit-Policy", policy)
		w.Header().Set("RateLimit",
			fmt.Sprintf(`"caller";r=%d;t=%.0f`, int(left), math.Ceil((float64(burst)-left)/perSecond)))
		if ok {
			return nil
		}
		return &withStatus{
			cause: &market.Error{Code: market.CodeRateLimited, Kind: market.KindUnavailable, Op: "count requests",
				Detail: fmt.Sprintf("more than %d requests at once, or %g a second", burst, perSecond),
				Hint:   "wait, then send less"},
			status: http.StatusTooManyRequests, after: int64(math.Ceil((1 - left) / perSecond)),
		}
	})
}

// ByAddress names a caller by its address; of IPv6 by the network that one customer of a provider has.
func ByAddress(r *http.Request) string { return callerAt(r.RemoteAddr) }

func callerAt(address string) string {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return address
	}
	if a := at.Addr().Unmap(); a.Is4() {
		return a.String()
	}
	p, _ := at.Addr().WithZone("").Prefix(64) // of an IPv6 address it never fails
	return p.String()
}

// Bodies bounds the body of a request in bytes and time. Archives and upgraded connections have bounds of their own.
func Bodies(most int64, within time.Duration) Guard {
	return guard(func(w http.ResponseWriter, r *http.Request) error {
		if r.ContentLength == 0 || r.Header.Get("Content-Type") == "application/x-tar" {
			return nil
		}
		if r.ContentLength > most {
			return tooLarge(most)
		}
		rc := http.NewResponseController(w)
		_ = rc.SetReadDeadline(time.Now().Add(within)) // where it is not supported a body may take long
		r.Body = &timedBody{ReadCloser: http.MaxBytesReader(w, r.Body, most), rc: rc}
		return nil
	})
}

// timedBody has a deadline until its end is read: after it the connection is only watched.
type timedBody struct {
	io.ReadCloser
	rc *http.ResponseController
}

// Read implements io.Reader.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF { //nolint:errorlint // io.Reader says it bare
		_ = b.rc.SetReadDeadline(time.Time{}) // as above
	}
	return n, err
}

// Limits of the listener of this machine.
const (
	localPerSecond = 200
	localBurst     = 400
	bodyWithin     = 30 * time.Second
)

// Local is m for callers on this machine that have the token: what a web page or another user's program sends is
// refused. at is the listener's address.
func Local(m *Mux, at net.Addr, token string) http.Handler {
	_, port, _ := net.SplitHostPort(at.String()) // a listener's address has one
	sessions := NewSessions("gpuai_"+port, time.Now)
	sessions.Let(token, time.Time{})
	origins, _ := Origins() // none can be wrong
	return Guarded(m, Hosts("127.0.0.1:"+port, "localhost:"+port, "[::1]:"+port), origins, sessions.Guard(m.Open),
		Limit(localPerSecond, localBurst, Caller, time.Now), Bodies(MaxBody+1, bodyWithin))
}
