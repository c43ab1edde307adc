package main

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
)

// sourceNode is the stream of the node's own markers in a job's log.
const sourceNode = 3

func newLogsCmd(a *App) *cobra.Command {
	var follow, exit bool
	var since, source string
	cmd := &cobra.Command{
		Use: "logs ID", Short: "A job's output", Args: exact(1, "an order, a lease, a name, or - for the last"), Example: "  gpuai logs -f -",
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := parseSince(since, time.Now())
			if err != nil {
				return err
			}
			if source != "all" && source != "job" && source != "node" {
				return usage("--source "+source+" is none of all, job, node", "--source job")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			err = c.Logs(cmd.Context(), args[0], from, follow, func(stream uint8, _ time.Time, b []byte) error {
				if source == "job" && stream == sourceNode || source == "node" && stream != sourceNode {
					return nil
				}
				return a.output(stream, b)
			})
			if err != nil || !exit {
				return err
			}
			o, err := c.Order(cmd.Context(), args[0])
			if err != nil {
				return attached{err}
			}
			return jobExit(o)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&follow, "follow", "f", false, "wait for more until the job has ended")
	f.StringVar(&since, "since", "", "a time span back from now, as in 10m, or a time")
	f.StringVar(&source, "source", "all", "all, job or node")
	f.BoolVar(&exit, "exit-code", false, "exit with the job's code")
	return cmd
}

// parseSince reads "10m" or a time of RFC 3339; empty is the beginning.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if ms, err := market.ParseMillis(s); err == nil {
		return now.Add(-time.Duration(ms) * time.Millisecond), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, usage("--since "+s+" is neither a time span nor a time", "--since 10m")
	}
	return t, nil
}

// output writes a job's bytes: as they are into pipes, without what could harm a terminal otherwise.
func (a *App) output(stream uint8, b []byte) error {
	w := a.out
	if stream != 1 {
		w = a.err
	}
	if terminal(w) {
		b = printable(b)
	}
	_, err := w.Write(b)
	return err
}

func newExecCmd(a *App) *cobra.Command {
	var interactive, tty bool
	cmd := &cobra.Command{
		Use: "exec ID -- COMMAND...", Short: "Run a command beside a job", Example: "  gpuai exec - -- nvidia-smi\n  gpuai exec -it - -- sh",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 || len(args) == 2 && args[1] == "--" {
				return usage("exec takes an order and a command", "gpuai exec - -- nvidia-smi")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return attached{err}
			}
			argv := args[1:]
			if argv[0] == "--" { // flags end at the order, so this is left
				argv = argv[1:]
			}
			code, err := a.exec(cmd.Context(), c, args[0], argv, interactive, tty)
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
		return c.Exec(ctx, id, argv, true, in, func(_ uint8, b []byte) error { _, err := a.out.Write(b); return err })
	}
	return c.Exec(ctx, id, argv, false, in, a.output)
}

// printable keeps text, line ends, tabs and colours; it drops other escapes (some write the clipboard or the title).
func printable(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == 0x1b:
			end, colour := escape(b[i:])
			if colour {
				out = append(out, b[i:i+end]...)
			}
			i += end - 1
		case c == '\n' || c == '\r' || c == '\t' || c >= 0x20 && c != 0x7f:
			out = append(out, c)
		}
	}
	return out
}

// escape measures an escape sequence and tells colours (SGR) from the rest.
func escape(b []byte) (length int, colour bool) {
	if len(b) < 2 {
		return len(b), false
	}
	switch b[1] {
	case '[':
		for i := 2; i < len(b); i++ {
			if b[i] >= 0x40 && b[i] <= 0x7e {
				return i + 1, b[i] == 'm'
			}
		}
		return len(b), false
	case ']', 'P', '^', '_', 'X': // strings up to BEL or ESC \
		for i := 2; i < len(b); i++ {
			if b[i] == 0x07 {
				return i + 1, false
			}
			if b[i] == 0x1b && i+1 < len(b) && b[i+1] == '\\' {
				return i + 2, false
			}
		}
		return len(b), false
	}
	return 2, false
}
