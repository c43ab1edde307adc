package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/gpuai/gpuai/runtime/spec"
)

// siteLine finds the command lines that the site's pages show.
var (
	siteLine = regexp.MustCompile("[\"`]gpuai ([a-z][^\"`]*)[\"`]")
	siteHole = regexp.MustCompile(`\$\{[^}]*\}`)
)

// TestSite_LinesParse: what the site tells people to type is a command of this program.
func TestSite_LinesParse(t *testing.T) {
	t.Parallel()
	checked := 0
	err := filepath.WalkDir("../../node/web/src", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".tsx") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range siteLine.FindAllStringSubmatch(string(b), -1) {
			checked++
			if err := parses(siteHole.ReplaceAllString(m[1], "rtx-4090")); err != nil {
				t.Errorf("%s: %q: %v", path, m[0], err)
			}
		}
		return err
	})
	if err != nil || checked < 10 {
		t.Errorf("%d lines checked, %v", checked, err)
	}
}

// TestSite_CopiedLinesAreOrders: the lines that the site makes of its filters mean what the filters ask. The file is
// what node/web/src/lib/cli.test.ts compares them with.
func TestSite_CopiedLinesAreOrders(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../node/web/test/lines.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(lines) < 8 {
		t.Errorf("only %d lines", len(lines))
	}
	for _, line := range lines {
		words := shellWords(strings.TrimPrefix(line, "gpuai "))
		found, rest, err := newRoot(&App{}).Find(words)
		if err == nil {
			err = found.ParseFlags(rest)
		}
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		typed := spec.Flags{}
		found.Flags().Visit(func(f *pflag.Flag) {
			if x, ok := f.Value.(typedFlag); ok {
				typed[x.flag.Name] = x.to[x.flag.Name]
			}
		})
		typed["image"] = []string{"pytorch/pytorch"}
		if _, faults := spec.FromFlags(typed); len(faults) > 0 {
			t.Errorf("%s: %v", line, spec.AsError("", faults))
		}
	}
}

// shellWords splits at spaces that no single quotes hold.
func shellWords(line string) (out []string) {
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			out = append(out, part)
		} else {
			out = append(out, strings.Fields(part)...)
		}
	}
	return out
}
