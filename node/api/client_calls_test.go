package api_test

import (
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
)

// withoutMethod are operations that the Go client has no method for, and why.
var withoutMethod = map[string]string{
	"version": "the client and the node of a release are one program", "devices": "part of the provider's document",
	"channel":       "the list has it",
	"jobSchema":     "gpuai job schema prints it without a node",
	"pauseProvider": "ProviderSell(false)", "resumeProvider": "ProviderSell(true)",
}

// called notes which operation a call goes to, and answers nothing.
type called struct {
	mu  sync.Mutex
	mux *http.ServeMux
	ops []string
}

// RoundTrip implements http.RoundTripper.
func (c *called) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, name := c.mux.Handler(r)
	c.ops = append(c.ops, name)
	return nil, io.ErrUnexpectedEOF
}

// TestClient_OneMethodPerOperation calls each method of the client and looks where it goes, and whether its result is
// of the type that the document names there.
func TestClient_OneMethodPerOperation(t *testing.T) {
	doc := document(t)
	seen := &called{mux: http.NewServeMux()}
	ids := map[string]object{} // by operationId, as a method's name begins
	names := map[string]string{}
	for path, item := range in(doc, "paths") {
		for method, op := range item.(object) {
			id := op.(object)["operationId"].(string)
			pattern := strings.ToUpper(method) + " " + api.Base + path
			ids[id], names[pattern] = op.(object), id
			seen.mux.HandleFunc(pattern, func(http.ResponseWriter, *http.Request) {})
		}
	}
	c := clientThrough(seen)
	v, methods := reflect.ValueOf(c), map[string]string{}
	for i := range v.NumMethod() {
		m := v.Type().Method(i)
		if m.Name == "Exec" || m.Name == "ProviderSell" {
			continue // another transport; two operations
		}
		before := len(seen.ops)
		v.Method(i).Call(arguments(t, m.Type))
		if len(seen.ops) != before+1 {
			t.Errorf("%s makes %d calls", m.Name, len(seen.ops)-before)
			continue
		}
		id := names[seen.ops[before]]
		if methods[id] != "" || !strings.EqualFold(id, m.Name) {
			t.Errorf("%s calls %q, which also %q calls", m.Name, id, methods[id])
		}
		methods[id] = m.Name
		if got, want := m.Type.Out(0), answer(ids[id]); !sameType(got, want) {
			t.Errorf("%s gives %v, the document says %s", m.Name, got, want)
		}
	}
	methods["exec"] = "Exec"
	for id := range ids {
		if has, without := methods[id] != "", withoutMethod[id] != ""; has == without {
			t.Errorf("operation %s: method %q, reason for none %q", id, methods[id], withoutMethod[id])
		}
	}
}

// sameType compares what a method gives with what the document names: lists come whole, operations with their result,
// and what is only done is an error or none.
func sameType(got reflect.Type, want string) bool {
	want = strings.TrimPrefix(strings.TrimPrefix(want, "201 "), "202 ")
	switch {
	case want == "Done" || strings.HasPrefix(want, "application/x-tar"), want == "application/x-gpuai-frames",
		want == "text/event-stream":
		return true
	case want == "Operation":
		return got.Kind() == reflect.Struct
	case strings.HasSuffix(want, "List"):
		item := map[string]string{"ReceiptList": "LeaseReceipt"}[want]
		if item == "" {
			item = strings.TrimSuffix(want, "List")
		}
		return got.Kind() == reflect.Slice && got.Elem().Name() == item
	case want == "Settings":
		return got.Name() == want || got == reflect.TypeFor[[]string]() // PatchConfig gives its restart
	case want == "Provider":
		return got.Name() == want || got == reflect.TypeFor[error]() // PatchProvider
	}
	return got.Name() == want
}

func arguments(t *testing.T, m reflect.Type) (out []reflect.Value) {
	t.Helper()
	for i := range m.NumIn() - 1 {
		a := reflect.New(m.In(i + 1)).Elem()
		switch {
		case i == 0:
			a.Set(reflect.ValueOf(t.Context()))
		case a.Kind() == reflect.String:
			a.SetString("x")
		case a.Type() == reflect.TypeFor[market.Amount]():
			a.SetUint(1)
		case a.Type() == reflect.TypeFor[io.Reader]():
			a.Set(reflect.ValueOf(strings.NewReader("")))
		case a.Type() == reflect.TypeFor[io.Writer]():
			a.Set(reflect.ValueOf(io.Discard))
		}
		out = append(out, a)
	}
	return out
}

// clientThrough is a client whose calls go to rt.
func clientThrough(rt http.RoundTripper) *api.Client {
	was := api.Transport
	defer func() { api.Transport = was }()
	api.Transport = func(http.RoundTripper) http.RoundTripper { return rt }
	return api.Dial("nowhere")
}
