package customer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/spec"
)

// stays lists the declared outputs that are wanted of a successful job alone, if the job was none, and says why. They
// are brought, checked and signed like all others, and leave this node no more.
func stays(declared []spec.Output, end market.Outcome) (paths []string, why string) {
	if end.ExitCode == 0 && end.Code == market.CodeCompleted {
		return nil, ""
	}
	for _, o := range declared {
		if o.When == spec.WhenSuccess {
			paths = append(paths, o.Path)
		}
	}
	if end.ExitCode != 0 {
		return paths, fmt.Sprintf("when: success, and the job's exit code is %d", end.ExitCode)
	}
	return paths, fmt.Sprintf("when: success, and the job ended as %s", end.Code)
}

// stay notes which outputs stay with the node.
func (t *transfers) stay(ctx context.Context, o *orderRow, end market.Outcome) error {
	paths, why := stays(o.Request.File.Outputs, end)
	if len(paths) == 0 {
		return nil
	}
	o.Files.Stay, o.Files.StayWhy = paths, why
	return t.r.update(ctx, func(o *orderRow) { o.Files.Stay, o.Files.StayWhy = paths, why })
}

// Stays reports that a declared output does not leave the node.
func (f *Files) Stays(o spec.Output) bool {
	return o.When == spec.WhenSuccess && slices.Contains(f.Stay, o.Path)
}

// Comes keeps an entry of the outputs' archive that is to leave the node: the innermost declared output that it lies in
// decides.
func (v *View) Comes(entry string) (string, bool) {
	inner, comes := -1, true
	for _, o := range v.Request.File.Outputs {
		p := strings.TrimPrefix(strings.TrimPrefix(o.Path, spec.Workspace), "/")
		if p != "" && p != entry && !strings.HasPrefix(entry, p+"/") || len(p) < inner {
			continue
		}
		if len(p) > inner {
			inner, comes = len(p), false
		}
		comes = comes || !v.Files.Stays(o)
	}
	return entry, comes
}
