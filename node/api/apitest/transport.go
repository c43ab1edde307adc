// Package apitest holds every answer that a test gets from the node's API against the document of the API.
//
// Invariants: what the document does not name is an error: a status, a media type, a field.
// Concurrency: safe for any goroutine. Persistence: none. Next: docs/reference/openapi-node.json.
package apitest

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"os"
	"sync"

	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/rest/resttest"
)

// Env names the file where programs that tests start write answers that the document does not allow.
const Env = "GPUAI_TEST_ANSWERS"

// Runner is a *testing.M.
type Runner interface{ Run() int }

// Tests holds every answer that these tests get against the document, also those of programs that they start with Env.
// A wrong one fails its call, and the run: a test may ignore the call.
func Tests(m Runner) Runner {
	api.Transport = Transport
	return tests{m}
}

type tests struct{ Runner }

// Run implements Runner.
func (t tests) Run() int {
	f, err := os.CreateTemp("", "answers")
	if err == nil {
		defer os.Remove(f.Name())
		err = f.Close()
	}
	if err == nil {
		err = os.Setenv(Env, f.Name())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "keep wrong answers:", err)
		return 1
	}
	code := t.Runner.Run()
	if wrong, err := os.ReadFile(f.Name()); err != nil || len(wrong) > 0 {
		fmt.Fprintf(os.Stderr, "FAIL: answers are not as the API's document says (%v):\n%s", err, wrong)
		return max(code, 1)
	}
	return code
}

// Transport is a round tripper that fails a call whose answer the document does not allow.
func Transport(next http.RoundTripper) http.RoundTripper { return &checked{next: next} }

// checker is made once.
var checker = sync.OnceValues(func() (*resttest.Checker, error) {
	m := api.New(api.Config{}, slog.New(slog.DiscardHandler))
	defer m.Close()
	return resttest.New(m, api.Base)
})

type checked struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t *checked) RoundTrip(r *http.Request) (*http.Response, error) {
	c, err := checker()
	if err != nil {
		return nil, err
	}
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	var body []byte
	if resttest.IsJSON(media) {
		body, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close() // read to its end, or its error counts
		if err != nil {
			return nil, err
		}
		resp.Body = io.NopCloser(bytes.NewReader(body))
	}
	if err := c.Check(r, resp.StatusCode, media, body); err != nil {
		_ = resp.Body.Close() // nobody reads it
		err = fmt.Errorf("the answer is not as the API's document says: %w", err)
		return nil, keep(err)
	}
	return resp, nil
}

// keep tells a wrong answer to the run that this process is part of.
func keep(wrong error) error {
	fmt.Fprintln(os.Stderr, wrong) // a command has words of its own for a call that fails
	f, err := os.OpenFile(os.Getenv(Env), os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("%w; it is not kept: %w", wrong, err)
	}
	defer f.Close()
	_, _ = fmt.Fprintln(f, wrong) // the call fails all the same
	return wrong
}
