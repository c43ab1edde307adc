package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
)

const testToken = "gpuai_0123456789abcdefghijklmnopqrstuvwxyz"

type guarded struct {
	Schema string `json:"schema"`
}

type guardedIn struct{ Body guarded }

// local is a small API behind the guards of a listener at 127.0.0.1:7072.
func local(t *testing.T) http.Handler {
	t.Helper()
	m := New(Options{Title: "t", Version: "1", Base: "/v1"}, slog.New(slog.DiscardHandler))
	t.Cleanup(m.Close)
	give := func(context.Context, *struct{}) (guarded, error) { return guarded{"x"}, nil }
	m.Add("t", Get("/open", "open", "open", give).In(ScopeNone), Get("/thing", "thing", "thing", give),
		Call("POST", "/thing", "set", "set", func(_ context.Context, in *guardedIn) (guarded, error) {
			return in.Body,
				nil
		}))
	return Local(m, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7072}, testToken)
}

// send is one request; headers are "Name: value", and "Host: " sets its host.
func send(t *testing.T, h http.Handler, method, path, body string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:7072"+path, strings.NewReader(body))
	for _, x := range headers {
		name, value, _ := strings.Cut(x, ": ")
		if r.Header.Set(name, value); name == "Host" {
			r.Host = value
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func code(t *testing.T, resp *http.Response) market.Code {
	t.Helper()
	var p Problem
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 400 {
		err = Strict(strings.NewReader(string(b)), &p)
	}
	if err != nil || strings.Contains(string(b), "hunter2") {
		t.Errorf("%d %s: %v", resp.StatusCode, b, err)
	}
	return p.Code
}

// TestLocal_WhoMayCall: each guard refuses what it is there for, with a code, and lets a caller with the token through.
func TestLocal_WhoMayCall(t *testing.T) {
	t.Parallel()
	h := local(t)
	const bearer = "Authorization: Bearer " + testToken
	for what, c := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
		code               market.Code
	}{
		"token":              {"GET", "/v1/thing", "", []string{bearer}, 200, ""},
		"by name":            {"GET", "/v1/thing", "", []string{bearer, "Host: localhost:7072"}, 200, ""},
		"change":             {"POST", "/v1/thing", `{"schema":"y"}`, []string{bearer}, 200, ""},
		"none, open":         {"GET", "/v1/open", "", nil, 200, ""},
		"none":               {"GET", "/v1/thing", "", nil, 401, market.CodeNoCredentials},
		"none, unknown path": {"GET", "/v1/else", "", nil, 401, market.CodeNoCredentials},
		"wrong token":        {"GET", "/v1/thing", "", []string{bearer + "hunter2"}, 401, market.CodeNoCredentials},
		"empty token": {"GET", "/v1/thing", "", []string{"Authorization: Bearer "}, 401,
			market.CodeNoCredentials},
		"other scheme": {"GET", "/v1/thing", "", []string{"Authorization: Basic hunter2"}, 401,
			market.CodeNoCredentials},
		"token in the query": {"GET", "/v1/thing?token=" + testToken, "", nil, 401, market.CodeNoCredentials},
		"rebound name": {"GET", "/v1/open", "", []string{bearer, "Host: hunter2.example:7072"}, 421,
			market.CodeWrongHost},
		"other port": {"GET", "/v1/open", "", []string{bearer, "Host: 127.0.0.1:80"}, 421,
			market.CodeWrongHost},
		"foreign page reads": {"GET", "/v1/open", "", []string{bearer, "Origin: https://evil.example"}, 403,
			market.CodeCrossSite},
		"foreign page, no origin": {"GET", "/v1/open", "", []string{bearer, "Sec-Fetch-Site: cross-site"}, 403,
			market.CodeCrossSite},
		"page of another port": {"POST", "/v1/thing", "{}", []string{bearer, "Origin: http://127.0.0.1:80"}, 403,
			market.CodeCrossSite},
		"sandboxed page": {"POST", "/v1/thing", "{}", []string{bearer, "Origin: null"}, 403, market.CodeCrossSite},
		"own page":       {"GET", "/v1/thing", "", []string{bearer, "Origin: http://127.0.0.1:7072"}, 200, ""},
		"typed address":  {"GET", "/v1/open", "", []string{"Sec-Fetch-Site: none"}, 200, ""},
		"typed change": {"POST", "/v1/thing", "{}", []string{bearer, "Sec-Fetch-Site: none"}, 403,
			market.CodeCrossSite},
		"preflight of a foreign page": {"OPTIONS", "/v1/thing", "", []string{"Origin: https://evil.example",
			"Access-Control-Request-Method: POST"}, 403, market.CodeCrossSite},
		"a form": {"POST", "/v1/thing", "a=b", []string{bearer, "Content-Type: application/x-www-form-urlencoded"}, 415,
			market.CodeBadUsage},
		"large body": {"POST", "/v1/thing", `{"schema":"` + strings.Repeat("x", MaxBody) + `"}`, []string{bearer}, 413,
			market.CodeTooLarge},
	} {
		resp := send(t, h, c.method, c.path, c.body, c.headers...)
		if got := code(t, resp); resp.StatusCode != c.status || got != c.code {
			t.Errorf("%s: %d %s, want %d %s", what, resp.StatusCode, got, c.status, c.code)
		}
		if resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: another site may read the answer", what)
		}
	}
}

// TestOrigins_AllowList: a page of the list may ask and read, any other may not.
func TestOrigins_AllowList(t *testing.T) {
	t.Parallel()
	const app = "https://app.example"
	g, err := Origins(app)
	if err != nil {
		t.Fatal(err)
	}
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	h := Guarded(ok, g)
	pre := send(t, h, "OPTIONS", "/", "", "Origin: "+app, "Access-Control-Request-Method: POST")
	if pre.StatusCode != http.StatusNoContent || pre.Header.Get("Access-Control-Allow-Origin") != app ||
		!strings.Contains(pre.Header.Get("Access-Control-Allow-Headers"), "Idempotency-Key") ||
		pre.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("preflight: %d %v", pre.StatusCode, pre.Header)
	}
	post := send(t, h, "POST", "/", "{}", "Origin: "+app, "Sec-Fetch-Site: cross-site")
	if post.StatusCode != http.StatusOK || post.Header.Get("Access-Control-Allow-Origin") != app ||
		post.Header.Get("Vary") != "Origin" {
		t.Errorf("post: %d %v", post.StatusCode, post.Header)
	}
	if resp := send(t, h, "GET", "/", "", "Origin: https://app.example.evil"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("another page: %d", resp.StatusCode)
	}
	if _, err := Origins("app.example/path"); err == nil {
		t.Error("an origin that is none was taken")
	}
}

// TestSessions: tokens and cookies open until they end or are dropped; a cookie alone changes nothing.
func TestSessions(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_700_000_000, 0)
	s := NewSessions("gpuai_1", func() time.Time { return at })
	ok := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, Caller(r)) })
	h := Guarded(ok, s.Guard(func(*http.Request) bool { return false }))
	s.Let("short", at.Add(time.Minute))
	c := s.SignIn(time.Hour, true)
	if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.MaxAge != 3600 {
		t.Errorf("cookie %v", c)
	}
	cookie := "Cookie: " + c.Name + "=" + c.Value
	want := func(what string, status int, method string, headers ...string) string {
		resp := send(t, h, method, "/", "", headers...)
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != status {
			t.Errorf("%s: %d, want %d, %v", what, resp.StatusCode, status, err)
		}
		return string(b)
	}
	one := want("token", 200, "GET", "Authorization: Bearer short")
	if two := want("cookie", 200, "GET", cookie); one == two || one == "192.0.2.1" {
		t.Errorf("callers %q and %q", one, two)
	}
	want("change by cookie", 403, "POST", cookie)
	want("change by cookie, with the header", 200, "POST", cookie, "X-GPUAI-Request: 1")
	want("a wrong token beside the cookie", 401, "GET", cookie, "Authorization: Bearer no")
	want("a cookie of another listener", 401, "GET", "Cookie: gpuai_2="+c.Value)
	at = at.Add(time.Minute)
	want("an ended token", 401, "GET", "Authorization: Bearer short")
	s.Drop(c.Value)
	want("a dropped cookie", 401, "GET", cookie)
	s.Let("owner", time.Time{})
	for i := range 2 * maxSessions {
		s.Let(fmt.Sprint("guest", i), at.Add(time.Duration(i+1)*time.Hour))
	}
	want("the owner beside many", 200, "GET", "Authorization: Bearer owner")
	want("the oldest of many", 401, "GET", "Authorization: Bearer guest0")
	want("the newest of many", 200, "GET", fmt.Sprint("Authorization: Bearer guest", 2*maxSessions-1))
	if len(s.open) > maxSessions {
		t.Errorf("%d sessions", len(s.open))
	}
}

// TestLimit: each caller has its own burst, told in the headers; the map of callers is bounded.
func TestLimit(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_700_000_000, 0)
	var mu sync.Mutex
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	h := Guarded(ok, Limit(2, 4, func(r *http.Request) string { return r.Header.Get("Who") },
		func() time.Time { mu.Lock(); defer mu.Unlock(); return at }))
	for i := range 4 {
		resp := send(t, h, "GET", "/", "", "Who: a")
		if want := fmt.Sprintf(`"caller";r=%d;t=%d`, 3-i, (i+2)/2); resp.StatusCode != 200 ||
			resp.Header.Get("RateLimit") != want || resp.Header.Get("RateLimit-Policy") != `"caller";q=4;w=2` {
			t.Errorf("request %d: %d %v, want %s", i, resp.StatusCode, resp.Header, want)
		}
	}
	resp := send(t, h, "GET", "/", "", "Who: a")
	if c := code(t, resp); resp.StatusCode != 429 || c != market.CodeRateLimited ||
		resp.Header.Get("Retry-After") != "1" {
		t.Errorf("one more: %d %s %v", resp.StatusCode, c, resp.Header)
	}
	if resp := send(t, h, "GET", "/", "", "Who: b"); resp.StatusCode != 200 {
		t.Errorf("another caller: %d", resp.StatusCode)
	}
	mu.Lock()
	at = at.Add(time.Second)
	mu.Unlock()
	if resp := send(t, h, "GET", "/", "", "Who: a"); resp.StatusCode != 200 {
		t.Errorf("a second later: %d", resp.StatusCode)
	}
	refused := 0
	for i := range maxCallers + 100 { // more than are known each share one bucket
		if resp := send(t, h, "GET", "/", "", fmt.Sprint("Who: many", i)); resp.StatusCode == 429 {
			refused++
		}
	}
	if refused < 90 {
		t.Errorf("%d of those that are too many were refused", refused)
	}
}

func TestByAddress(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string]string{
		"203.0.113.7:55": "203.0.113.7", "[::ffff:203.0.113.7]:1": "203.0.113.7",
		"[2001:db8:1:2:3::4]:1": "2001:db8:1:2::/64",
		"@":                     "@",
	} {
		if got := ByAddress(&http.Request{RemoteAddr: remote}); got != want {
			t.Errorf("%s is %s, want %s", remote, got, want)
		}
	}
}

// TestTokenFile: made once, for its user only; one that others can read is refused.
func TestTokenFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "api.token")
	one, err := TokenFile(path)
	if err != nil || len(one) < 40 {
		t.Fatalf("%q, %v", one, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if two, err := TokenFile(path); err != nil || two != one {
		t.Errorf("the second time %q, %v", two, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := TokenFile(path); market.CodeOf(err) != market.CodeDataDirOpen {
		t.Errorf("readable by others: %v", err)
	}
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, []byte("short\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := TokenFile(path); err == nil {
		t.Error("a short token was taken")
	}
}

// TestServeOn_Limits: headers that are too large and connections that are too many are refused by the server itself.
func TestServeOn_Limits(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	l, err := Listen(ctx, "api.listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := ServeOn(ctx, l, http.NotFoundHandler()); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	defer wg.Wait()
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+l.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Large", strings.Repeat("x", 32<<10))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%d, %v", resp.StatusCode, err)
	}
	if _, err := Listen(ctx, "api.listen", l.Addr().String()); market.CodeOf(err) != market.CodeConfigInvalid {
		t.Errorf("a taken address: %v", err)
	}
}
