package api

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/market"
)

func TestFromJob_PageSample(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/reference/api.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```json\n(.*?)```").FindSubmatch(doc)
	if m == nil {
		t.Fatal("the page shows no order")
	}
	var r OrderRequest
	if err := strict(strings.NewReader(string(m[1])), &r); err != nil {
		t.Fatal(err)
	}
	r.Key = "k"
	got, err := r.FromJob()
	if err != nil || got.Key != "k" || got.Devices != 1 || len(got.Classes) != 1 || got.MaxTotal != 20_000_000 ||
		got.Spec.Args[0] != "nvidia-smi" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestFromJob_FaultsNameNoValue(t *testing.T) {
	t.Parallel()
	for job, code := range map[string]string{
		`{"image":"a","memory":"` + secret + `"}`:        "spec-unit",
		`{"image":"a","memory":"7"}`:                     "spec-unit",
		`{"image":"a","` + secret + `":"x"}`:             "spec-unknown-key",
		`{"image":"a","egress":"` + secret + `"}`:        "spec-format",
		`{"image":"a","env":{"A":{"` + secret + `":1}}}`: "spec-type",
	} {
		_, err := OrderRequest{Job: json.RawMessage(job)}.FromJob()
		if market.CodeOf(err) == "" || !strings.HasPrefix(market.CodeOf(err), "spec-") ||
			strings.Contains(ProblemOf(err).Why, secret) {
			t.Errorf("%s: %v, want about %s", job, err, code)
		}
	}
}
