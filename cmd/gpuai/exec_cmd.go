package main

import (
	"context"
	"io"
	"math"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gpuai/gpuai/node/api"
)

func newExecCmd(a *App) *cobra.Command {
	var interactive, tty bool
	cmd := &cobra.Command{
		Use: "exec ID -- COMMAND...", Short: "Run a command beside a job",
		Example: "  gpuai exec - -- nvidia-smi\n  gpuai exec -it - -- sh",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 || len(args) == 2 && args[1] == "--" {
				return usage("exec takes an order and a command", "gpuai exec - -- nvidia-smi")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.reached(cmd.Context())
			if err != nil {
				return attached{err}
			}
			argv := args[1:]
			if argv[0] == "--" { // flags end at the order, so this is left
				argv = argv[1:]
			}
			id, err := a.ref(cmd.Context(), c, args[0])
			if err != nil {
				return attached{err}
			}
			code, err := a.exec(cmd.Context(), c, id, argv, interactive, tty)
			if err != nil {
				return attached{err}
			}
			if code != 0 {
				return exitCode(code)
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&interactive, "interactive", "i", false, "give it this command's standard input")
	cmd.Flags().BoolVarP(&tty, "tty", "t", false, "give it a terminal")
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func (a *App) exec(ctx context.Context, c *api.Client, id string, argv []string, interactive, tty bool) (int, error) {
	var in io.Reader
	if interactive {
		in = a.in
	}
	if tty {
		if !terminal(a.in) || !terminal(a.out) {
			return 0, usage("-t needs a terminal", "leave it out")
		}
		restore, err := rawTerminal()
		if err != nil {
			return 0, err
		}
		defer restore()
		screen, done := a.screenOf(a.out)
		defer done()
		return c.Exec(ctx, id, argv, screen, in, func(_ uint8, b []byte) error { _, err := a.out.Write(b); return err })
	}
	return c.Exec(ctx, id, argv, nil, in, a.output)
}

// screenOf is the user's terminal as a remote program sees it: its size now and later, and its kind. done ends the
// watching.
func (a *App) screenOf(stream any) (t *api.Terminal, done func()) {
	f, ok := stream.(*os.File)
	if !ok {
		return &api.Terminal{}, func() {}
	}
	size := func() (s [2]uint16) {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil {
			s = [2]uint16{uint16(min(max(w, 0), math.MaxUint16)), uint16(min(max(h, 0), math.MaxUint16))}
		}
		return s
	}
	changed, stop := resizes()
	sizes, over := make(chan [2]uint16), make(chan struct{})
	var watching sync.WaitGroup
	last := size()
	t = &api.Terminal{Cols: last[0], Rows: last[1], Resized: sizes}
	for _, kv := range a.env {
		if v, ok := strings.CutPrefix(kv, "TERM="); ok {
			t.Term = v
		}
	}
	watching.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-changed:
			}
			now := size()
			if now == last || now[0] == 0 || now[1] == 0 {
				continue
			}
			select {
			case <-over:
				return
			case sizes <- now:
				last = now
			}
		}
	})
	return t, func() { stop(); close(over); watching.Wait() }
}
