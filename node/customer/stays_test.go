package customer

import (
	"slices"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/spec"
)

// TestStays_ByTheSignedEnd: outputs with when: success stay unless the job ended by itself with exit code 0, by what
// its provider signed; the innermost declared output that an entry lies in decides for it.
func TestStays_ByTheSignedEnd(t *testing.T) {
	t.Parallel()
	declared := []spec.Output{
		{Path: "/workspace/out"}, {Path: "/workspace/out/model", When: spec.WhenSuccess},
		{Path: "/workspace/out/model/log", When: "always"}, {Path: "/workspace/best", When: spec.WhenSuccess},
		{Path: "/workspace/both", When: spec.WhenSuccess}, {Path: "/workspace/both", When: "always"},
	}
	all := []string{"out/a", "out/model", "out/model/w", "out/model/log", "out/model/log/1", "out/models", "best",
		"best/w", "both/x"}
	failed := []string{"out/a", "out/model/log", "out/model/log/1", "out/models", "both/x"}
	for _, x := range []struct {
		code market.Code
		exit int32
		why  string
		want []string
	}{
		{market.CodeCompleted, 0, "", all},
		{market.CodeJobFailed, 3, "the job's exit code is 3", failed},
		{market.CodeStopped, 143, "the job's exit code is 143", failed},
		{market.CodeStopped, 0, "the job ended as stopped", failed},
	} {
		paths, why := stays(declared, market.Outcome{Code: x.code, ExitCode: x.exit})
		v := View{Request: Request{File: spec.File{Outputs: declared}}, Files: Files{Stay: paths, StayWhy: why}}
		got := slices.DeleteFunc(slices.Clone(all), func(entry string) bool {
			name, comes := v.Comes(entry)
			return !comes || name != entry
		})
		if !slices.Equal(got, x.want) || !strings.Contains(why, x.why) || (x.why == "") != (why == "") {
			t.Errorf("%s, exit %d: %q come; why %q", x.code, x.exit, got, why)
		}
	}
	whole := View{Request: Request{File: spec.File{Outputs: []spec.Output{{Path: spec.Workspace,
		When: spec.WhenSuccess}, {Path: "/workspace/a"}}}}, Files: Files{Stay: []string{spec.Workspace}}}
	for entry, want := range map[string]bool{"b": false, "a": true, "a/b": true} {
		if _, comes := whole.Comes(entry); comes != want {
			t.Errorf("%s comes: %v", entry, comes)
		}
	}
}
