// Package demo runs a whole market on this machine and proves each step of one paid job: local ledger with the real
// program, a bootstrap node, two providers, a customer, an indexer; each node a process of this binary with its own
// keys.
//
// Invariants: nothing is faked, a missing part is an error; each check prints what it saw; the first failure stops;
// what was started is stopped, by pid, and what the engine got is removed, also on Ctrl-C. Concurrency: one goroutine,
// beside the processes and the image registry. Persistence: a temporary folder, kept on failure or by Keep. Next: Run,
// world.go, checks.go.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/gpuai/gpuai/cmd/gpuai/demo/check"
)

// stopWait bounds the end of all that was started.
const stopWait = 40 * time.Second

// Options of a demo. Exe: the gpuai binary. Env: of the nodes. Scene: the job's input, nil = the built-in one. Keep:
// leave the folder.
// Weak: the engine is below the safe versions, which is allowed on a local network.
type Options struct {
	Exe   string
	Env   []string
	Scene []byte
	Keep  bool
	JSON  bool
	Weak  bool
	Out   io.Writer
}

// Check is one proven step.
type Check struct {
	Number   int    `json:"check"`
	Title    string `json:"title"`
	Evidence string `json:"evidence"`
	MS       int64  `json:"ms"`
}

// run is one demo in progress; state is what later checks need of earlier ones.
type run struct {
	o     Options
	dir   string
	start time.Time
	w     *world
	n     int
	s     state
}

// Run runs the demo. Errors: the first check that fails; *market.Error needs-checkout, needs-build.
func Run(ctx context.Context, o Options) (err error) {
	if o.Scene == nil {
		o.Scene = check.DefaultScene
	}
	dir, err := os.MkdirTemp("", "gpuai-demo-")
	if err != nil {
		return fmt.Errorf("make demo folder: %w", err)
	}
	r := &run{o: o, dir: dir, start: time.Now(), w: &world{dir: dir, o: o}}
	if err := r.w.openEngine(ctx); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWait)
		defer cancel()
		err = errors.Join(err, r.w.stop(ctx, err == nil))
		if err == nil && !o.Keep {
			err = os.RemoveAll(dir)
		} else {
			r.say("logs and data are in %s", dir)
		}
	}()
	if o.Weak {
		r.say("this engine is below the safe versions: allowed only because the network is a local one " +
			"(--allow-weak-runtime)")
	}
	for _, step := range []func(context.Context) error{r.program, r.network, r.plan, r.fund, r.lease, r.meter,
		r.outputs, r.refund, r.index} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("check %d: %w", r.n+1, err)
		}
	}
	r.say("all %d checks passed in %s", r.n, time.Since(r.start).Round(100*time.Millisecond))
	return nil
}

func (r *run) say(format string, args ...any) {
	if !r.o.JSON {
		fmt.Fprintf(r.o.Out, format+"\n", args...)
	}
}

// ok reports a check that held.
func (r *run) ok(title, format string, args ...any) {
	r.n++
	c := Check{Number: r.n, Title: title, Evidence: fmt.Sprintf(format, args...),
		MS: time.Since(r.start).Milliseconds()}
	if r.o.JSON {
		b, _ := json.Marshal(c) // strings and numbers only
		fmt.Fprintln(r.o.Out, string(b))
		return
	}
	fmt.Fprintf(r.o.Out, "%5.1fs  ok %d  %-9s %s\n", float64(c.MS)/1000, c.Number, title, c.Evidence)
}
