package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/u-root/u-root/pkg/core"
	"github.com/u-root/u-root/pkg/core/base64"
	"github.com/u-root/u-root/pkg/core/cat"
	"github.com/u-root/u-root/pkg/core/chmod"
	"github.com/u-root/u-root/pkg/core/cp"
	"github.com/u-root/u-root/pkg/core/find"
	"github.com/u-root/u-root/pkg/core/gzip"
	"github.com/u-root/u-root/pkg/core/ls"
	"github.com/u-root/u-root/pkg/core/mkdir"
	"github.com/u-root/u-root/pkg/core/mktemp"
	"github.com/u-root/u-root/pkg/core/mv"
	"github.com/u-root/u-root/pkg/core/rm"
	"github.com/u-root/u-root/pkg/core/shasum"
	"github.com/u-root/u-root/pkg/core/tar"
	"github.com/u-root/u-root/pkg/core/touch"
	"github.com/u-root/u-root/pkg/core/xargs"
	"golang.org/x/term"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

func main() { os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr)) }

// libraryCommands come from u-root; the rest is in commands.go.
var libraryCommands = map[string]func() core.Command{
	"base64": func() core.Command { return base64.New() },
	"cat":    func() core.Command { return cat.New() },
	"chmod":  func() core.Command { return chmod.New() },
	"cp":     func() core.Command { return cp.New() },
	"find":   func() core.Command { return find.New() },
	"gunzip": func() core.Command { return gzip.New("gunzip") },
	"gzip":   func() core.Command { return gzip.New("gzip") },
	"ls":     func() core.Command { return ls.New() },
	"mkdir":  func() core.Command { return mkdir.New() },
	"mktemp": func() core.Command { return mktemp.New() },
	"mv":     func() core.Command { return mv.New() },
	"rm":     func() core.Command { return rm.New() },
	"shasum": func() core.Command { return shasum.New() },
	"tar":    func() core.Command { return tar.New() },
	"touch":  func() core.Command { return touch.New() },
	"xargs":  func() core.Command { return xargs.New() },
}

// names are the commands that this program answers to, sorted.
func names() []string {
	out := []string{"sh"}
	for n := range libraryCommands {
		out = append(out, n)
	}
	for n := range ownCommands {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// run does what args[0] names and returns the exit code. Called as "shell --names" it lists its names, one a line.
func run(args []string, in io.Reader, out, errs io.Writer) int {
	name := filepath.Base(args[0])
	if len(args) == 2 && args[1] == "--names" && name != "sh" {
		fmt.Fprintln(out, strings.Join(names(), "\n"))
		return 0
	}
	var err error
	switch {
	case name == "sh":
		err = shell(args[1:], in, out, errs)
	case libraryCommands[name] != nil:
		c := libraryCommands[name]()
		c.SetIO(in, out, errs)
		err = c.RunContext(context.Background(), args[1:]...)
	case ownCommands[name] != nil:
		err = ownCommands[name](args[1:], in, out)
	default:
		fmt.Fprintf(errs, "%s is none of: %s\n", name, strings.Join(names(), " "))
		return 127
	}
	var code interp.ExitStatus
	if errors.As(err, &code) {
		return int(code)
	}
	if err != nil {
		fmt.Fprintf(errs, "%s: %v\n", name, err)
		return 1
	}
	return 0
}

// shell is sh: -c SCRIPT [NAME ARG…], FILE [ARG…], or the standard input, line by line on a terminal.
func shell(args []string, in io.Reader, out, errs io.Writer) error {
	set := []string{}
	for len(args) > 0 && len(args[0]) == 2 && args[0][0] == '-' && strings.ContainsAny(args[0], "eux") {
		set, args = append(set, args[0]), args[1:]
	}
	script, name, err := in, "sh", error(nil)
	switch {
	case len(args) > 0 && args[0] == "-c":
		if len(args) < 2 {
			return errors.New("-c wants a script")
		}
		script, args = strings.NewReader(args[1]), args[2:]
		if len(args) > 0 {
			name, args = args[0], args[1:]
		}
	case len(args) > 0:
		var f *os.File
		if f, err = os.Open(args[0]); err != nil {
			return err
		}
		defer f.Close()
		script, name, args = f, args[0], args[1:]
	}
	made := func() (*interp.Runner, error) {
		return interp.New(interp.StdIO(in, out, errs), interp.Params(append(append(set, "--"), args...)...))
	}
	if f, ok := script.(*os.File); ok && name == "sh" && term.IsTerminal(int(f.Fd())) {
		r, err := made()
		if err != nil {
			return err
		}
		return prompt(r, f, out)
	}
	// The script is read before the interpreter takes its input: both may be the same stream.
	prog, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(script, name)
	if err != nil {
		return err
	}
	r, err := made()
	if err != nil {
		return err
	}
	return r.Run(context.Background(), prog)
}

// prompt reads commands from a terminal until its end, or until exit.
func prompt(r *interp.Runner, in io.Reader, out io.Writer) error {
	parser := syntax.NewParser(syntax.Variant(syntax.LangPOSIX))
	fmt.Fprint(out, "$ ")
	for stmts, err := range parser.InteractiveSeq(in) {
		if err != nil {
			return err
		}
		if parser.Incomplete() {
			fmt.Fprint(out, "> ")
			continue
		}
		for _, stmt := range stmts {
			err := r.Run(context.Background(), stmt)
			if r.Exited() {
				return err
			}
		}
		fmt.Fprint(out, "$ ")
	}
	return nil
}
