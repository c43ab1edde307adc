package api

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rest"
)

func TestJob_PageSample(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/reference/api.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```json\n(.*?)```").FindSubmatch(doc)
	if m == nil {
		t.Fatal("the page shows no order")
	}
	f := &fake{order: someOrder}
	c, _ := serve(t, f)
	status, _, text := ask(t, c, "POST", Base+"/orders", string(m[1]), "Idempotency-Key: k")
	got := f.request
	if status != 201 || got.Key != "k" || got.Job.Devices() != 1 || len(got.Job.Classes()) != 1 ||
		got.Job.Limits.MaxTotal != 20_000_000 || got.Job.Args[0] != "nvidia-smi" {
		t.Errorf("%+v, %d %s", got, status, text)
	}
}

func TestJob_FaultsNameNoValue(t *testing.T) {
	t.Parallel()
	for job, code := range map[string]string{
		`{"image":"a","memory":"` + secret + `"}`:        "spec-unit",
		`{"image":"a","memory":"7"}`:                     "spec-unit",
		`{"image":"a","` + secret + `":"x"}`:             "spec-unknown-key",
		`{"image":"a","egress":"` + secret + `"}`:        "spec-format",
		`{"image":"a","env":{"A":{"` + secret + `":1}}}`: "spec-type",
	} {
		_, err := readJob([]byte(job))
		if market.CodeOf(err) == "" || !strings.HasPrefix(string(market.CodeOf(err)), "spec-") ||
			strings.Contains(rest.ProblemOf(err).Why, secret) {
			t.Errorf("%s: %v, want about %s", job, err, code)
		}
	}
}
