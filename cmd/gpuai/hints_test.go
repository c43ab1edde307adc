package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/spec"
)

var (
	hintText  = regexp.MustCompile("(?:Hint: |, |\\{)\"(gpuai [^\"]*)\"")
	readmeRun = regexp.MustCompile(`(?m)^\$ gpuai ([^#\n]*)`)
	readmeFix = regexp.MustCompile("`gpuai ([^`]*)`")
)

// parses reports whether words are a command of this program with flags that it knows.
func parses(words string) error {
	root := newRoot(&App{})
	root.InitDefaultHelpCmd()
	found, rest, err := root.Find(strings.Fields(words))
	if err == nil && found.Name() == "help" {
		if len(rest) == 1 {
			if _, ok := explain(market.Code(rest[0])); ok {
				return nil
			}
		}
		found, rest, err = root.Find(rest)
	}
	if err == nil && !found.HasParent() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return usage(rest[0]+" is no command", "")
	}
	if err == nil {
		err = found.ParseFlags(rest)
	}
	if err != nil && strings.Contains(err.Error(), "help requested") {
		return nil
	}
	return err
}

// TestHints_Parse checks that each command that the source, the README or a page of docs tells people to type exists.
func TestHints_Parse(t *testing.T) {
	t.Parallel()
	checked := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") &&
			len(d.Name()) > 2) {
			return fs.SkipDir
		}
		source := strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go")
		if d.IsDir() || !source && !strings.HasSuffix(path, ".md") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var found [][]string
		if source {
			for _, m := range hintText.FindAllStringSubmatch(string(b), -1) {
				found = append(found, []string{m[0], strings.TrimPrefix(m[1], "gpuai ")})
			}
		} else {
			found = append(readmeRun.FindAllStringSubmatch(string(b), -1),
				readmeFix.FindAllStringSubmatch(string(b), -1)...)
		}
		for _, m := range found {
			words := strings.NewReplacer("COMMAND ", "run ", "[MODEL] ", "").Replace(m[1])
			if i := strings.Index(words, " (gpuai"); i >= 0 {
				words = words[:i]
			}
			checked++
			if err := parses(words); err != nil {
				t.Errorf("%s: %q: %v", path, m[0], err)
			}
		}
		return nil
	})
	if err != nil || checked < 50 {
		t.Errorf("%d commands checked, %v", checked, err)
	}
	if parses("frobnicate") == nil || parses("run --no-such-flag") == nil {
		t.Error("a wrong command passes")
	}
}

// TestProblems_FixParses: whatever code an error has, what is printed names a next step that can be typed, and help
// knows the code.
func TestProblems_FixParses(t *testing.T) {
	t.Parallel()
	for _, m := range market.Meanings() {
		code := m.Code
		if e, ok := explain(code); !ok || e.Means == "" || e.Fix == "" || e.Why == "" {
			t.Errorf("gpuai help %s explains %+v", code, e)
		}
		if code == market.CodeInternal {
			continue // the error itself is printed instead
		}
		p, exit := (&App{}).judge(&market.Error{Code: market.Code(code), Kind: market.KindConflict, Op: "try"})
		if len(p.Fix) == 0 || exit == 0 || p.Title == "" {
			t.Errorf("%s: exit %d, title %q, fixes %v", code, exit, p.Title, p.Fix)
		}
		for _, f := range p.Fix {
			if words, ok := strings.CutPrefix(f.Command, "gpuai "); ok && parses(words) != nil {
				t.Errorf("%s: %q is no command: %v", code, f.Command, parses(words))
			}
		}
	}
}

// TestCI_RunsReadmeCommand: what the README says to run is a target, and .ci/run runs it.
func TestCI_RunsReadmeCommand(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	readme, makefile, ci := read("README.md"), read("Makefile"), read(".ci/run")
	targets := regexp.MustCompile(`(?m)^make ([a-z]+)`).FindAllStringSubmatch(readme, -1)
	if len(targets) < 2 {
		t.Fatalf("the README names %d targets", len(targets))
	}
	for _, m := range targets {
		if !strings.Contains(makefile, "\n"+m[1]+":") {
			t.Errorf("make %s is no target", m[1])
		}
		if !regexp.MustCompile(`(?m)^step [a-z]+ [0-9]+ make ` + m[1] + `$`).MatchString(ci) {
			t.Errorf(".ci/run does not run make %s", m[1])
		}
	}
}

func TestHelp_JobFileParses(t *testing.T) {
	t.Parallel()
	f, faults := spec.ParseFile([]byte(spec.Example()))
	if err := spec.AsError("example", faults); err != nil {
		t.Fatal(err)
	}
	if f.Limits.MaxTotal != 20_000_000 || len(f.Outputs) != 1 || len(f.GPU.AnyOf) != 2 {
		t.Errorf("%+v", f)
	}
}
