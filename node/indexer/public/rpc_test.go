package public_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/solana"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/public"
	"github.com/gpuai/gpuai/node/rest/resttest"
)

// relay says what a test wants.
type relay func(method string, params []json.RawMessage) (json.RawMessage, error)

func (f relay) Call(_ context.Context, method string, params []json.RawMessage) (json.RawMessage, error) {
	return f(method, params)
}

func relaying(t *testing.T, f relay) site {
	t.Helper()
	d, err := db.Open(t.Context(), t.TempDir()+"/index.db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	m := public.New(public.Config{Index: d, Network: "localnet", Since: time.Now(), RPC: f},
		slog.New(slog.DiscardHandler))
	t.Cleanup(m.Close)
	judge, err := resttest.New(m, public.Base)
	if err != nil {
		t.Fatal(err)
	}
	return site{d, m, judge}
}

func (s site) call(t *testing.T, h http.Handler, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest("POST", public.Base+"/rpc", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	media, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	if err := s.judge.Check(r, w.Code, media, w.Body.Bytes()); err != nil {
		t.Errorf("%.100s: %v", body, err)
	}
	return w
}

// TestRPC_Envelope: an id comes back as it was sent, an error of the endpoint as it said it, one of ours with its code
// and next step; what is no call is a problem.
func TestRPC_Envelope(t *testing.T) {
	t.Parallel()
	s := relaying(t, func(method string, params []json.RawMessage) (json.RawMessage, error) {
		switch method {
		case "sendTransaction":
			return nil, &solana.Refused{Code: -32002, Message: "no", Data: json.RawMessage(`{"logs":[]}`)}
		case "getBlockHeight":
			if len(params) == 1 {
				return params[0], nil
			}
			return json.RawMessage("7"), nil
		case "getFeeForMessage":
			return nil, errors.Join(escrow.ErrUnreachable, errors.New("https://host/secretkey"))
		}
		return nil, &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Detail: "no", Hint: "see"}
	})
	for body, want := range map[string]string{
		`{"jsonrpc":"2.0","id":9007199254740993,"method":"getBlockHeight"}`: `"id":9007199254740993,"result":7`,
		`{"jsonrpc":"2.0","id":"a\"b","method":"getBlockHeight","params":[{"a":18446744073709551615}]}`: `"id":"a\"b",` +
			`"result":{"a":18446744073709551615}`,
		`{"jsonrpc":"2.0","id":1,"method":"sendTransaction","params":[]}`: `"error":{"code":-32002,"message":"no",` +
			`"data":{"logs":[]}}`,
		`{"jsonrpc":"2.0","id":1,"method":"other"}`:            `"code":-32601`,
		`{"jsonrpc":"2.0","id":1,"method":"getFeeForMessage"}`: `"code":-32000`,
	} {
		w := s.call(t, s.mux, body)
		if w.Code != 200 || !strings.Contains(w.Body.String(), want) || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: %d %s, want %s", body, w.Code, w.Body, want)
		}
	}
	one := `{"jsonrpc":"2.0","id":1,"method":"getBlockHeight"}`
	for body, want := range map[string]int{
		"[" + one + "]": 400, "[" + one + "," + one + "]": 400, "[[" + one + "]]": 400, "": 400, "x": 400, "null": 400,
		one + one: 400, `{"jsonrpc":"1.0","id":1,"method":"getBlockHeight"}`: 400,
		`{"jsonrpc":"2.0","method":"getBlockHeight"}`:                                                400,
		`{"jsonrpc":"2.0","id":null,"method":"getBlockHeight"}`:                                      400,
		`{"jsonrpc":"2.0","id":[1],"method":"getBlockHeight"}`:                                       400,
		`{"jsonrpc":"2.0","id":{},"method":"getBlockHeight"}`:                                        400,
		`{"jsonrpc":"2.0","id":"` + strings.Repeat("a", 64) + `","method":"getBlockHeight"}`:         400,
		`{"jsonrpc":"2.0","id":1,"method":"` + strings.Repeat("a", 41) + `"}`:                        400,
		`{"jsonrpc":"2.0","id":1,"method":"getBlockHeight","params":{}}`:                             400,
		`{"jsonrpc":"2.0","id":1,"method":"getBlockHeight","params":[1,2,3]}`:                        400,
		`{"jsonrpc":"2.0","id":1,"method":"getBlockHeight","else":1}`:                                400,
		`{"jsonrpc":"2.0","id":1,"method":7}`:                                                        400,
		`{"jsonrpc":"2.0","id":1,"method":"a","params":["` + strings.Repeat("[", 12_000) + `"]}`:     200,
		`{"jsonrpc":"2.0","id":1,"method":"a","params":[` + strings.Repeat("[", 12_000) + "1" + `]}`: 400,
	} {
		if w := s.call(t, s.mux, body); w.Code != want {
			t.Errorf("%.120s: %d %s", body, w.Code, w.Body)
		}
	}
}

// TestRPC_Guards: calls that are relayed have a smaller share; a body that is too large is refused.
func TestRPC_Guards(t *testing.T) {
	t.Parallel()
	s := relaying(t, func(string, []json.RawMessage) (json.RawMessage, error) { return json.RawMessage("7"), nil })
	h := public.Guarded(s.mux)
	large := `{"jsonrpc":"2.0","id":1,"method":"a","params":["` + strings.Repeat("a", 17<<10) + `"]}`
	if w := s.call(t, h, large); w.Code != 413 {
		t.Errorf("%d", w.Code)
	}
	n := 0
	for range 30 {
		w := s.call(t, h, `{"jsonrpc":"2.0","id":1,"method":"getBlockHeight"}`)
		if w.Code == 429 && w.Header().Get("Retry-After") != "" {
			break
		}
		n++
	}
	if n < 8 || n > 20 {
		t.Errorf("%d calls at once", n)
	}
	if w := s.ask(t, h, "/summary"); w.Code != 200 || w.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("other routes: %d", w.Code)
	}
	none := serve(t, s.DB)
	if w := none.call(t, none.mux, `{"jsonrpc":"2.0","id":1,"method":"getBlockHeight"}`); w.Code != 200 ||
		!strings.Contains(w.Body.String(), "-32601") {
		t.Errorf("without a ledger: %d %s", w.Code, w.Body)
	}
}
