package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
)

// TestLabels_OfFileAndFlags_AreOrderedShownAndFound: a flag adds to the labels of a file.
func TestLabels_OfFileAndFlags_AreOrderedShownAndFound(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	exit := 0
	b.node.order = ended(market.CodeCompleted, &exit)
	job := filepath.Join(b.dir, "job.yaml")
	if err := os.WriteFile(job, []byte("image: alpine:3\nlabels: {project: demo, team: red}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errOut := b.run("", "run", "-y", "-d", "--max-total", "0.02", "--label", "team=blue", job)
	if code != 0 {
		t.Fatal(errOut)
	}
	labels := b.node.request.Job.Labels
	if len(labels) != 2 || labels["project"] != "demo" || labels["team"] != "blue" {
		t.Errorf("labels %v", labels)
	}
	b.node.order.Labels = labels
	if _, out, _ := b.run("", "show", "-"); !strings.Contains(out, "project=demo team=blue") {
		t.Errorf("show: %s", out)
	}
	for filter, want := range map[string]int{"": 1, "team=blue": 1, "team=red": 0, "nobody=": 0} {
		args := []string{"ps", "-a", "--json"}
		if filter != "" {
			args = append(args, "--label", "project=demo", "--label", filter)
		}
		_, out, errOut := b.run("", args...)
		var doc struct{ Orders []api.Order }
		if err := json.Unmarshal([]byte(out), &doc); err != nil || len(doc.Orders) != want ||
			want == 1 && doc.Orders[0].Labels["team"] != "blue" {
			t.Errorf("--label %q: %s %s, %v", filter, out, errOut, err)
		}
	}
	for _, args := range [][]string{{"ps", "--label", "x"}, {"run", "--label", "x", "alpine:3"}} {
		if code, _, errOut := b.run("", args...); code != 2 || !strings.Contains(errOut, "NAME=VALUE") {
			t.Errorf("%v: %d %s", args, code, errOut)
		}
	}
}
