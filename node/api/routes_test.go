package api_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/rest"
	"github.com/gpuai/gpuai/node/rest/resttest"
)

// TestDocument_EachBodyHasAnExample: it is what the operation takes, by its own schema.
func TestDocument_EachBodyHasAnExample(t *testing.T) {
	t.Parallel()
	doc := resttest.Parsed(t, resttest.Pretty(t, document(t))).(object)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("node.json", doc); err != nil {
		t.Fatal(err)
	}
	n := 0
	for path, item := range in(doc, "paths") {
		for method := range item.(object) {
			media := in(doc, "paths", path, method, "requestBody", "content", "application/json")
			ref, _ := in(media, "schema")["$ref"].(string)
			if media == nil || strings.HasSuffix(ref, "/Nothing") {
				continue
			}
			at := "node.json#/paths/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(path) + "/" + method +
				"/requestBody/content/application~1json/schema"
			s, err := c.Compile(at)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Validate(media["example"]); err != nil {
				t.Errorf("%s %s: %v", method, path, err)
			}
			n++
		}
	}
	if n != 12 {
		t.Errorf("%d operations take a document", n)
	}
}

// deep is a value that is nested too far.
var deep = strings.Repeat("[", 20) + strings.Repeat("]", 20)

// wrongJobs are refused for what the document names, and for nothing else.
var wrongJobs = map[market.Code]string{
	market.CodeSpecSyntax:      `{"image": "a", "image": "b", "limits": {"max_total": 1}}`,
	market.CodeSpecSize:        `{"image": "a", "args": ` + deep + `}`,
	market.CodeSpecUnknownKey:  `{"image": "a", "imagine": "b"}`,
	market.CodeSpecType:        `{"image": ["a"]}`,
	market.CodeSpecUnit:        `{"image": "a", "limits": {"max_duration": 5}}`,
	market.CodeSpecFormat:      `{"image": "a", "limits": {"max_total": "much"}}`,
	market.CodeSpecRange:       `{"image": "a", "limits": {"max_duration": "900d"}}`,
	market.CodeSpecRequired:    `{"args": ["a"]}`,
	market.CodeSpecPath:        `{"image": "a", "workdir": "etc"}`,
	market.CodeSpecEnvReserved: `{"image": "a", "env": {"NVIDIA_VISIBLE_DEVICES": "all"}}`,
	market.CodeSpecConflict:    `{"image": "a", "memory": "2GiB", "shm": "2GiB"}`,
	market.CodeSpecImage:       `{"image": "A B"}`,
}

// TestJobCodes_AreThoseThatCome: each code of a job that the document names comes from a job, and no other is named.
func TestJobCodes_AreThoseThatCome(t *testing.T) {
	t.Parallel()
	m := api.New(api.Config{}, slog.New(slog.DiscardHandler))
	defer m.Close()
	doc := document(t)
	for _, path := range []string{"/plans", "/orders"} {
		var named []string
		for _, r := range in(doc, "paths", path, "post", "responses") {
			codes, _ := r.(object)["x-codes"].([]any)
			for _, c := range codes {
				if strings.HasPrefix(c.(string), "spec-") {
					named = append(named, c.(string))
				}
			}
		}
		var come []string
		for code := range maps.Keys(wrongJobs) {
			come = append(come, string(code))
		}
		slices.Sort(named)
		slices.Sort(come)
		if d := cmp.Diff(come, named); d != "" {
			t.Errorf("%s: %s", path, d)
		}
		for code, job := range wrongJobs {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, api.Base+path,
				strings.NewReader(`{"job": `+job+`}`))
			r.Header.Set("Idempotency-Key", "k")
			w := httptest.NewRecorder()
			m.ServeHTTP(w, r)
			var p rest.Problem
			b, err := io.ReadAll(w.Result().Body)
			if err == nil {
				err = json.Unmarshal(b, &p)
			}
			if err != nil || p.Code != code {
				t.Errorf("%s of %s: %s, %v", path, job, b, err)
			}
		}
	}
}
