package public_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/node/indexer/indextest"
	"github.com/gpuai/gpuai/node/indexer/public"
	"github.com/gpuai/gpuai/node/rest"
)

// oddities are texts as they stand in an address.
var oddities = []string{"", "%00", "%ff%fe", "%zz", "%", "-1", "0", "1e9", "+1", "9223372036854775807",
	"9223372036854775808", "99999999999999999999999", "0x10", "1;2", "'%20OR%201=1--", "%25", "_", "*", "a%2Fb",
	"..%2F..%2Fetc", "%2e%2e", "%E2%80%AEabc", "%F0%9F%98%80%F0%9F%98%80", "%0d%0aX-A:%20b", "null", "[]", "{}", "true",
	"TRUE", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-02-30T00:00:00Z", "2026-01-01T00:00:00%2B14:00",
	"0000-01-01T00:00:00-23:59", "Infinity", "NaN", strings.Repeat("a", 300), strings.Repeat("%F0%9F%98%80", 600),
	"=cmd%7C'/C%20calc'!A0", "%3Cscript%3Ealert(1)%3C/script%3E"}

// forged are cursors: of no form, of another version, cut, and of rows that are not there.
func forged() (out []string) {
	for _, key := range []string{"1", "2peer", "1 ", "1   ", "1-5 a b c",
		"19223372036854775807 a 9223372036854775807 b",
		"1-9223372036854775808 \x00 0 x", "1a b c d", "1\xff\xfe", "1" + strings.Repeat("x", 5000), "1é", "1~",
		"10 a 0 0"} {
		out = append(out, base64.RawURLEncoding.EncodeToString([]byte(key)))
	}
	return append(out, "M", "MQ", "MQ==", "!!!!", "MTAg")
}

// attack sends a request and judges what comes: never a fault of ours, always of the documented form, and small.
func (s site) attack(t *testing.T, h http.Handler, method, target, body string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, "/", strings.NewReader(body))
	path, query, _ := strings.Cut(target, "?")
	plain, err := url.PathUnescape(path)
	if err != nil {
		return &http.Response{StatusCode: http.StatusBadRequest} // net/http refuses it itself
	}
	r.URL = &url.URL{Path: public.Base + plain, RawPath: public.Base + path, RawQuery: query}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	media, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	got := w.Result()
	what := fmt.Sprintf("%s %.200s", method, target)
	if method == http.MethodGet || method == http.MethodPost {
		if err := s.judge.Check(r, w.Code, media, w.Body.Bytes()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if w.Code >= 500 || w.Body.Len() > 4<<20 {
		t.Errorf("%s: %d, %d bytes: %.300s", what, w.Code, w.Body.Len(), w.Body)
	}
	if w.Code >= 400 && method != http.MethodHead {
		var p rest.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || media != "application/problem+json" ||
			p.Code == "" || len(p.Fix) == 0 || p.Status != w.Code {
			t.Errorf("%s: %d %s %.300s", what, w.Code, media, w.Body)
		}
	}
	return got
}

// places are the addresses of an index that show something, by the path of their route.
func places(s indextest.Story) map[string]string {
	return map[string]string{"/gpus/{slug}": s.Model, "/gpus/{slug}/prices": s.Model, "/book/{slug}": s.Model,
		"/offers/{peer}": s.Provider, "/offers/{peer}/raw": s.Provider, "/providers/{peer}": s.Provider,
		"/leases/{id}": s.Lease, "/gpus/{slug}/cleared": s.Model, "/channels/{addr}": s.Channel,
		"/wallets/{addr}": s.Payer, "/export/{file}": "channels.csv"}
}

// operation is what the test reads of the document.
type operation struct {
	Parameters []struct {
		Name, In string
		Required bool
		Example  any
		Schema   struct{ Example any }
	}
}

// assault is one attack on all routes.
type assault struct {
	site
	story   indextest.Story
	cursors []string
	asked   int
}

// TestHostile_EveryRoute: what is no parameter's value, in each parameter of each route of the document, is refused
// with a code and a next step, or is answered in the documented form.
func TestHostile_EveryRoute(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s site) {
		story, err := indextest.Fill(t.Context(), s.DB, "localnet", start)
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Paths map[string]map[string]operation
		}
		raw, err := s.mux.Document()
		if err == nil {
			err = json.Unmarshal(raw, &doc)
		}
		if err != nil {
			t.Fatal(err)
		}
		a := assault{site: s, story: story, cursors: forged()}
		for _, list := range []string{"/offers", "/providers", "/gpus", "/leases", "/wants",
			"/channels/" + story.Channel, "/wallets/" + story.Payer} {
			var page struct{ Cursor string }
			_ = json.Unmarshal(s.get(t, list+"?limit=1").Body.Bytes(), &page) // one without a next page is fine
			if page.Cursor != "" {
				a.cursors = append(a.cursors, page.Cursor, page.Cursor[:len(page.Cursor)/2])
			}
		}
		for path, methods := range doc.Paths {
			path = strings.TrimPrefix(path, public.Base)
			if op, ok := methods["get"]; ok && path != "/events" {
				a.route(t, path, op)
				a.methods(t, path, methods)
			}
		}
		if a.asked < 1000 {
			t.Errorf("only %d were asked", a.asked)
		}
	})
}

// needed are the parameters that a route must have, as a query.
func (op operation) needed() (out string) {
	for _, p := range op.Parameters {
		if p.In == "query" && p.Required {
			out += "&" + p.Name + "=" + map[string]string{"q": "rtx", "slot": "18000",
				"query": "%7Bsummary%7Bnetwork%7D%7D"}[p.Name]
		}
	}
	return out
}

// route attacks each parameter.
func (a *assault) route(t *testing.T, path string, op operation) {
	t.Helper()
	good, needed := place(path, a.story), op.needed()
	status := func(target string) int { return a.attack(t, a.mux, "GET", target, "").StatusCode }
	for _, p := range op.Parameters {
		values := oddities
		if p.Name == "cursor" {
			values = slices.Concat(oddities, a.cursors)
		}
		for _, v := range values {
			switch p.In {
			case "path":
				status(strings.Replace(path, "{"+p.Name+"}", v, 1) + "?" + strings.TrimPrefix(needed, "&"))
			case "query":
				status(good + "?" + p.Name + "=" + v + needed)
			}
			a.asked++
		}
		if p.In == "query" {
			twice, broken := status(good+"?"+p.Name+"=1&"+p.Name+"=1"+needed), status(good+"?"+p.Name+"=%zz"+needed)
			if twice != 400 || broken != 400 {
				t.Errorf("%s: %s twice: %d, unreadable: %d", path, p.Name, twice, broken)
			}
		}
	}
	if n, odd := status(good+"?"+strings.TrimPrefix(needed, "&")), status(good+"?nothing=1"+needed); n != 200 ||
		odd != 400 {
		t.Errorf("%s: %d, with an unknown parameter %d", path, n, odd)
	}
}

// methods asks with those that the route does not have.
func (a *assault) methods(t *testing.T, path string, have map[string]operation) {
	t.Helper()
	good := place(path, a.story)
	for _, m := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get"} {
		if _, ok := have[strings.ToLower(m)]; ok && m != "get" {
			continue
		}
		if got := a.attack(t, a.mux, m, good, ""); got.StatusCode != 405 || got.Header.Get("Allow") == "" {
			t.Errorf("%s %s: %d", m, path, got.StatusCode)
		}
	}
	head := a.attack(t, a.mux, "HEAD", good+"?"+strings.TrimPrefix(have["get"].needed(), "&"), "")
	if head.StatusCode != 200 {
		t.Errorf("HEAD %s: %d", path, head.StatusCode)
	}
}

// place is an address of a route that shows something.
func place(path string, s indextest.Story) string {
	i, j := strings.Index(path, "{"), strings.Index(path, "}")
	if i < 0 {
		return path
	}
	return path[:i] + places(s)[path] + path[j+1:]
}
