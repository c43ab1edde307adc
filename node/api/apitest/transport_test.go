package apitest

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/node/api"
)

// fixed answers every request alike.
type fixed struct {
	status      int
	media, body string
}

func (f fixed) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: f.status, Header: http.Header{"Content-Type": {f.media}},
		Body: io.NopCloser(strings.NewReader(f.body))}, nil
}

func ask(t *testing.T, path string, f fixed) error {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), "GET", "http://node"+api.Base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := Transport(f).RoundTrip(r)
	if err == nil {
		err = resp.Body.Close()
	}
	return err
}

// TestTransport_WrongAnswer_IsRefusedAndKept: an answer that the document does not have fails its call, and is kept for
// the run's end.
func TestTransport_WrongAnswer_IsRefusedAndKept(t *testing.T) {
	const doc, problem = "application/json", "application/problem+json"
	const good = `{"schema":"gpuai.version/v1","version":"1","min_client":"1"}`
	log := filepath.Join(t.TempDir(), "log")
	t.Setenv(Env, log)
	for what, c := range map[string]struct {
		path   string
		answer fixed
		bad    string // part of what is said, "" = nothing is wrong
	}{
		"good":            {"/version", fixed{200, doc, good}, ""},
		"not ours":        {"/else", fixed{200, "text/html", "<p>"}, ""},
		"unknown field":   {"/version", fixed{200, doc, strings.Replace(good, "{", `{"secret":1,`, 1)}, "secret"},
		"missing field":   {"/version", fixed{200, doc, `{"schema":"gpuai.version/v1","version":"1"}`}, "min_client"},
		"wrong type":      {"/version", fixed{200, doc, strings.Replace(good, `"1"`, "1", 1)}, "got number"},
		"null for a list": {"/orders", fixed{200, doc, `{"schema":"gpuai.orders/v1","orders":null}`}, "got null"},
		"no JSON":         {"/version", fixed{200, doc, "{"}, "no JSON"},
		"unknown status":  {"/version", fixed{204, doc, good}, "answers 204"},
		"another media":   {"/version", fixed{200, "text/plain", good}, "text/plain"},
		"half a problem":  {"/version", fixed{500, problem, `{"code":"internal"}`}, "missing propert"},
		"another code": {"/orders/x", fixed{404, problem, `{"type":"a","title":"t","status":404,"code":"funds-short",` +
			`"fix":[],"fault":"you","retryable":false}`}, "funds-short"},
	} {
		if err := os.WriteFile(log, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		err := ask(t, c.path, c.answer)
		kept, e := os.ReadFile(log)
		if e != nil {
			t.Fatal(e)
		}
		switch {
		case c.bad == "" && (err != nil || len(kept) > 0):
			t.Errorf("%s: %v, kept %q", what, err, kept)
		case c.bad != "" && (err == nil || !strings.Contains(err.Error(), c.bad) ||
			!strings.Contains(string(kept), c.bad)):
			t.Errorf("%s: %v, kept %q", what, err, kept)
		}
	}
}

type run func() int

func (f run) Run() int { return f() }

// TestTests_WrongAnswer_FailsTheRun: also where no test has looked at the error of its call.
func TestTests_WrongAnswer_FailsTheRun(t *testing.T) {
	was, env := api.Transport, os.Getenv(Env)
	t.Cleanup(func() { api.Transport = was })
	t.Setenv(Env, env)
	for want, answer := range map[int]fixed{
		0: {200, "application/json", `{"schema":"gpuai.version/v1","version":"1","min_client":"1"}`},
		1: {200, "application/json", "[]"},
	} {
		code := Tests(run(func() int { _ = ask(t, "/version", answer); return 0 })).Run()
		if code != want {
			t.Errorf("%s ends with %d, want %d", answer.body, code, want)
		}
	}
}
