package solana

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestErrors_ShowNoKey: whatever goes wrong with an endpoint, its error names scheme and host, and nothing else of its
// address.
func TestErrors_ShowNoKey(t *testing.T) {
	t.Parallel()
	const secret = "/v2/PATH-SECRET-1/?api-key=QUERY%20SECRET-2"
	answers := map[string]http.HandlerFunc{
		"not found": http.NotFound,
		"too many":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) },
		"redirects": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.String()+"&again=1", http.StatusFound)
		},
		"breaks off": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"hangs": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then the server sees that the client is gone
			<-r.Context().Done()
		},
		"repeats it": func(w http.ResponseWriter, r *http.Request) {
			text := fmt.Sprintf("key %s of %s is not valid", r.URL.Query().Get("api-key"), r.URL)
			_ = json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": 1,
				"error": map[string]any{"code": -32000, "message": text}})
		},
	}
	check := func(t *testing.T, endpoint string) {
		c := newRPC([]string{endpoint})
		c.http.Timeout = 300 * time.Millisecond
		var out string
		err := c.call(t.Context(), &out, "getGenesisHash")
		if err == nil {
			t.Fatal("no error")
		}
		for e := err; e != nil; e = unwrapOnce(e) {
			if s := e.Error(); strings.Contains(s, "SECRET") || strings.Contains(s, "alice") {
				t.Fatalf("shows the key: %s", s)
			}
		}
		if name := EndpointName(endpoint); !strings.Contains(err.Error(), name) {
			t.Errorf("%q does not name %s", err, name)
		}
	}
	for name, h := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(h)
			t.Cleanup(s.Close)
			check(t, strings.Replace(s.URL, "http://", "http://alice:PASS-SECRET-3@", 1)+secret)
		})
	}
	for _, endpoint := range []string{"http://127.0.0.1:1" + secret, "http://no-such-host.invalid" + secret,
		"http://[::1%25lo]:bad" + secret, "http://127.0.0.1:1/%zz-SECRET"} {
		check(t, endpoint)
	}
}

func unwrapOnce(err error) error {
	u, ok := err.(interface{ Unwrap() error })
	if !ok {
		return nil
	}
	return u.Unwrap()
}
