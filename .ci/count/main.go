// Command count reads the output of `go test -json`, mixed with other lines, from standard input. It prints what
// people read (a line per package, the output of what failed, each skipped test with its reason), and appends one line
// per skipped test and one with the number of those that passed to FILE: "skip NAME: REASON", "pass N".
//
//	make test TESTFLAGS=-json | count FILE
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
)

type event struct{ Action, Package, Test, Output string }

// told is what one test has printed so far.
type told map[string]*strings.Builder

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: count FILE")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "count:", err)
		os.Exit(1)
	}
}

func run(file string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	passed, said := 0, told{}
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadString('\n')
		if line != "" {
			if s := said.line(line, &passed); s != "" {
				if _, err := fmt.Fprintln(f, s); err != nil {
					return err
				}
			}
		}
		if err != nil { // the end
			break
		}
	}
	if _, err := fmt.Fprintln(f, "pass", passed); err != nil {
		return err
	}
	return f.Close()
}

// line takes one line and returns what is to be remembered of it.
func (t told) line(line string, passed *int) string {
	var e event
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &e) != nil || e.Action == "" {
		fmt.Print(line)
		return ""
	}
	key := e.Package + " " + e.Test
	switch {
	case e.Action == "build-output" || e.Action == "output" && e.Test == "":
		if e.Output != "PASS\n" {
			fmt.Print(e.Output)
		}
	case e.Action == "output":
		if t[key] == nil {
			t[key] = &strings.Builder{}
		}
		t[key].WriteString(e.Output)
	case e.Test == "":
	case e.Action == "fail":
		fmt.Print(t.text(key))
	case e.Action == "pass":
		*passed++
		delete(t, key)
	case e.Action == "skip":
		s := "skip " + e.Test + " (" + e.Package + "): " + reason(t.text(key))
		fmt.Println(s)
		return s
	}
	return ""
}

func (t told) text(key string) string {
	b := t[key]
	delete(t, key)
	if b == nil {
		return ""
	}
	return b.String()
}

var place = regexp.MustCompile(`^\s+\S+\.go:\d+: `)

// reason is what a skipped test said last.
func reason(text string) string {
	out := "it says no reason"
	for line := range strings.Lines(text) {
		if m := place.FindString(line); m != "" {
			out = strings.TrimSpace(strings.TrimPrefix(line, m))
		}
	}
	return out
}
