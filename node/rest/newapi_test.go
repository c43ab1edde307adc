package rest

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
)

// secret is what a caller mistypes into anything: no answer may repeat it.
const secret = "hunter2"

type thing struct {
	Name string            `json:"name"`
	Tags []string          `json:"tags"`
	More map[string]int    `json:"more,omitempty"`
	Deep map[string]string `json:"deep,omitempty"`
}

type thingIn struct {
	ID    string `path:"id"`
	Deep  bool   `query:"deep"`
	Count int    `query:"count" minimum:"1" maximum:"3"`
	Body  thing
}

type shown struct {
	Things []thing  `json:"things"`
	Own    ownThing `json:"own"`
}

type ownThing struct {
	A string `json:"a"`
}

// sample is an API of three routes. It records the last thing that reached it.
func sample(t *testing.T, o Options) (*Mux, *thingIn) {
	t.Helper()
	o.Title, o.Base = "sample", "/v1"
	m, got := New(o, slog.New(slog.DiscardHandler)), &thingIn{}
	m.Add("things",
		Get("/things", "things", "all", func(_ context.Context, in *Paging) (shown, error) {
			return shown{Things: []thing{{Name: "<a&b>", Tags: []string{}}}}, nil
		}).In(ScopeNone),
		Call("PUT", "/things/{id}", "put", "one", func(_ context.Context, in *thingIn) (thing, error) {
			*got = *in
			if in.ID == "gone" {
				return thing{}, &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Detail: "none"}
			}
			return in.Body, nil
		}).In(ScopeJobs).Fails(market.CodeNotFound),
		Create("/things", "create", "new", func(_ context.Context, in *struct{ Body thing }) (thing, string, error) {
			*got = thingIn{Body: in.Body, Count: got.Count + 1}
			return in.Body, "/things/" + in.Body.Name, nil
		}).In(ScopeJobs),
	)
	t.Cleanup(m.Close)
	return m, got
}

func do(h http.Handler, method, path, body string, headers ...string) *http.Response {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req := httptest.NewRequest(method, path, r)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w.Result()
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestTraps_NothingIsRepeated: huma's own error holds the value, and the place of a fault names what the sender named.
func TestTraps_NothingIsRepeated(t *testing.T) {
	t.Parallel()
	m, _ := sample(t, Options{})
	for _, c := range []struct{ path, body, why string }{
		{"/v1/things/x", `{"name":7,"tags":[]}`, "body.name: expected string"},
		{"/v1/things/x", `{"name":"","tags":["a",` + `"b"],"` + secret + `":1}`, "body: unexpected property"},
		{"/v1/things/x", `{"name":"","tags":[],"more":{"` + secret + `":"` + secret + `"}}`,
			"body.more.…: expected integer"},
		{"/v1/things/x", `{"name":"` + secret, "body: it is not the expected JSON"},
		{"/v1/things/x", `{"name":"` + secret + `"}`, "body: expected required property tags to be present"},
		{"/v1/things/x", `["` + secret + `"]`, "body: expected object"},
		{"/v1/things/x?count=" + secret, `{"name":"","tags":[]}`, "count has the wrong type"},
		{"/v1/things/x?count=4", `{"name":"","tags":[]}`, "query.count: expected number <= 3"},
		{"/v1/things/x?deep=1", `{"name":"","tags":[]}`, "deep has the wrong type"},
		{"/v1/things/x?deep=", `{"name":"","tags":[]}`, "deep has the wrong type"},
		{"/v1/things/x?deep=true&deep=true", `{"name":"","tags":[]}`, "more than once"},
		{"/v1/things/x?" + secret + "=1", `{"name":"","tags":[]}`, "an unknown query parameter"},
		{"/v1/things/x", "", "request body is required"},
		{"/v1/things/x", `{"name":"","tags":[]} {"a":"` + secret + `"}`, "not the expected JSON"},
	} {
		r := do(m, "PUT", c.path, c.body)
		var p Problem
		said := text(t, r)
		if err := Strict(strings.NewReader(said), &p); err != nil || r.StatusCode != 400 ||
			p.Code != market.CodeBadUsage ||
			!strings.Contains(p.Why, c.why) || strings.Contains(said, secret) ||
			r.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %d %s %v, want %q", c.path, c.body, r.StatusCode, said, err, c.why)
		}
	}
}

// TestTraps_Document: lists are never null; answers may get fields, requests may not; no link to a schema is added.
func TestTraps_Document(t *testing.T) {
	t.Parallel()
	m, _ := sample(t, Options{})
	raw, err := m.Document()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		OpenAPI    string
		Components struct{ Schemas map[string]map[string]any }
	}
	if err := json.Unmarshal(raw, &doc); err != nil || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatalf("OpenAPI %q, %v", doc.OpenAPI, err)
	}
	if strings.Contains(string(raw), `"null"`) || strings.Contains(string(raw), "$schema") {
		t.Errorf("null or $schema in %s", raw)
	}
	for name, closed := range map[string]bool{"Thing": true, "Shown": false, "OwnThing": false, "Problem": false} {
		more, has := doc.Components.Schemas[name]["additionalProperties"]
		if has != closed || closed && more != false || doc.Components.Schemas[name] == nil {
			t.Errorf("%s: additionalProperties %v, want closed: %v", name, more, closed)
		}
	}
	r := do(m, "GET", "/v1/things", "", "Accept", "application/xml, application/cbor")
	if got := text(t, r); r.StatusCode != 200 || got != `{"things":[{"name":"<a&b>","tags":[]}],"own":{"a":""}}`+"\n" ||
		r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Link") != "" {
		t.Errorf("%d %s %v", r.StatusCode, got, r.Header)
	}
}

// TestTraps_NothingElseIsServed: no page of documentation, no text/plain or HTML of the mux.
func TestTraps_NothingElseIsServed(t *testing.T) {
	t.Parallel()
	m, _ := sample(t, Options{})
	for path, want := range map[string]int{
		"/docs": 404, "/v1/docs": 404, "/openapi.json": 404, "/v1/openapi.json": 404, "/openapi.yaml": 404,
		"/schemas/Thing.json": 404, "/v1/schemas/Thing.json": 404, "/v1//things": 404, "/v1/things/": 404,
		"/v1/things/x": 405,
	} {
		r := do(m, "GET", path, "")
		if r.StatusCode != want || r.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", path, r.StatusCode, r.Header.Get("Content-Type"))
		}
	}
	if r := do(m, "GET", "/v1/things/x", ""); r.Header.Get("Allow") != "PUT" {
		t.Errorf("Allow %q", r.Header.Get("Allow"))
	}
}

// slow is a connection that notes the deadlines which a handler sets for reading.
type slow struct {
	*httptest.ResponseRecorder
	until []time.Time
}

func (s *slow) SetReadDeadline(t time.Time) error {
	s.until = append(s.until, t)
	return nil
}

// TestTraps_NoReadDeadline: huma would cut a request whose body takes more than five seconds.
func TestTraps_NoReadDeadline(t *testing.T) {
	t.Parallel()
	m, _ := sample(t, Options{})
	w := &slow{ResponseRecorder: httptest.NewRecorder()}
	m.ServeHTTP(w, httptest.NewRequest("PUT", "/v1/things/x", strings.NewReader(`{"name":"","tags":[]}`)))
	for _, at := range w.until {
		if !at.IsZero() {
			t.Errorf("a deadline at %v", at)
		}
	}
	if w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestCreate_OnceForAKey(t *testing.T) {
	t.Parallel()
	m, got := sample(t, Options{})
	const body = `{"name":"n","tags":[]}`
	first := do(m, "POST", "/v1/things", body, "Idempotency-Key", "k")
	again := do(m, "POST", "/v1/things", ` {"tags":[],"name":"n"}`, "Idempotency-Key", "k")
	if a, b := text(t, first), text(t, again); a != b || first.StatusCode != 201 || again.StatusCode != 201 ||
		again.Header.Get("Location") != "/v1/things/n" || got.Count != 1 {
		t.Errorf("%d %s, %d %s, %d times", first.StatusCode, a, again.StatusCode, b, got.Count)
	}
	for name, r := range map[string]*http.Response{
		"another body":        do(m, "POST", "/v1/things", `{"name":"m","tags":[]}`, "Idempotency-Key", "k"),
		"no key":              do(m, "POST", "/v1/things", body),
		"a key with a space":  do(m, "POST", "/v1/things", body, "Idempotency-Key", "a b"),
		"a body of any media": do(m, "POST", "/v1/things", body, "Idempotency-Key", "l", "Content-Type", "text/plain"),
	} {
		if r.StatusCode < 400 || got.Count != 1 {
			t.Errorf("%s: %d, %d times", name, r.StatusCode, got.Count)
		}
	}
	// a failure leaves its key free
	bad := do(m, "POST", "/v1/things", `{"name":1}`, "Idempotency-Key", "f")
	good := do(m, "POST", "/v1/things", body, "Idempotency-Key", "f")
	if bad.StatusCode != 400 || good.StatusCode != 201 || got.Count != 2 {
		t.Errorf("%d then %d, %d times", bad.StatusCode, good.StatusCode, got.Count)
	}
}

// TestObserve_NamesRoutes: paths hold ids, and may hold anything.
func TestObserve_NamesRoutes(t *testing.T) {
	t.Parallel()
	var seen []string
	m, _ := sample(t, Options{Observe: func(route string, status int) {
		seen = append(seen, route+" "+http.StatusText(status))
	}})
	do(m, "PUT", "/v1/things/gone", `{"name":"","tags":[]}`)
	do(m, "GET", "/v1/"+secret, "")
	do(m, "GET", "/v1/things", "")
	if got := strings.Join(seen, "; "); got != "PUT /things/{id} Not Found; none Not Found; GET /things OK" {
		t.Error(got)
	}
}
