//go:build integration

package docker

import (
	"strings"
	"testing"

	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/runtimetest"
)

// TestExec_Terminal_HasItsKindAndSize: what vim, htop and tmux look at.
func TestExec_Terminal_HasItsKindAndSize(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{Env: []string{"TERM=dumb"}})
	f.until(t, job.Want{Phase: job.WantRunning, Plan: f.plan("forever")}, is(job.Running))
	for _, c := range []struct {
		spec job.ExecSpec
		want string
	}{
		{job.ExecSpec{TTY: true, Cols: 120, Rows: 40, Term: "screen-256color"}, "TERM=screen-256color\r\n120x40\r\n"},
		{job.ExecSpec{TTY: true}, "TERM=xterm\r\n80x24\r\n"},
		{job.ExecSpec{TTY: true, Cols: 1, Rows: 1, Term: "x\nLD_PRELOAD=/y"}, "TERM=xterm\r\n1x1\r\n"},
		{job.ExecSpec{}, "TERM=dumb\n"},
	} {
		c.spec.Argv = []string{runtimetest.TestJob, "env=TERM", "size"}
		x, err := f.e.Exec(t.Context(), f.k, c.spec)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if _, err := x.Output(func(stream uint8, b []byte) error {
			if stream == 1 {
				out.Write(b)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		if out.String() != c.want {
			t.Errorf("%+v: %q, want %q", c.spec, out.String(), c.want)
		}
		_ = x.Close()
	}
}

// TestExec_Resized_ProgramsSeeIt waits for a line, which comes after the new size on the same stream.
func TestExec_Resized_ProgramsSeeIt(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	f.until(t, job.Want{Phase: job.WantRunning, Plan: f.plan("forever")}, is(job.Running))
	x, err := f.e.Exec(t.Context(), f.k, job.ExecSpec{Argv: []string{runtimetest.TestJob, "size", "line", "size"},
		TTY: true, Cols: 80, Rows: 24})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	err = x.Resize(200, 50)
	if _, werr := x.Write([]byte("go\n")); err != nil || werr != nil {
		t.Fatal(err, werr)
	}
	var out strings.Builder
	if _, err := x.Output(func(_ uint8, b []byte) error { out.Write(b); return nil }); err != nil ||
		!strings.HasSuffix(out.String(), "200x50\r\n") {
		t.Errorf("%q, %v", out.String(), err)
	}
}
