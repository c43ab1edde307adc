package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets the test binary be the program: a script's commands are links to it, as in the image.
func TestMain(m *testing.M) {
	if name := filepath.Base(os.Args[0]); name == "sh" || libraryCommands[name] != nil || ownCommands[name] != nil {
		os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func TestShell_ScriptsRun(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, n := range names() {
		if err := os.Symlink(self, filepath.Join(dir, n)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	t.Setenv("GREETING", "hello")
	file := filepath.Join(t.TempDir(), "job.sh")
	if err := os.WriteFile(file, []byte("echo \"$0 $1 $#\"; exit 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	for _, c := range []struct {
		args []string
		in   string
		code int
		out  string
	}{
		{[]string{"-c", "for i in 1 2; do echo step $i; done; exit 7"}, "", 7, "step 1\nstep 2\n"},
		{[]string{"-c", "echo $0 $2", "name", "a", "b"}, "", 0, "name b\n"},
		{[]string{file, "x"}, "", 3, file + " x 1\n"},
		{nil, "echo from the input\n", 0, "from the input\n"},
		{[]string{"-c", "seq 3 6 | tail -n 2; seq 3 | head -1; seq 10 | wc -l"}, "", 0, "5\n6\n1\n10\n"},
		{[]string{"-c", "mkdir " + work + "/a; echo x >" + work + "/a/f; cat " + work + "/a/f; ls " + work + "/a"}, "",
			0, "x\nf\n"},
		{[]string{"-c", "env | head -n 1 >/dev/null; echo $GREETING; sleep 0; true && false || echo no"}, "", 0,
			"hello\nno\n"},
		{[]string{"-c", "seq 3 & wait; nothing-here"}, "", 127, "1\n2\n3\n"},
		{[]string{"-e", "-c", "false; echo not reached"}, "", 1, ""},
	} {
		var out, errs bytes.Buffer
		if code := run(append([]string{"/bin/sh"}, c.args...), strings.NewReader(c.in), &out, &errs); code != c.code ||
			out.String() != c.out {
			t.Errorf("%q: code %d, %q, want %d, %q (%s)", c.args, code, out.String(), c.code, c.out, errs.String())
		}
	}
}

func TestShell_UnknownName_SaysWhatThereIs(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run([]string{"/bin/vim"}, nil, &out, &errs); code != 127 || !strings.Contains(errs.String(), "sleep") {
		t.Errorf("code %d, %s", code, errs.String())
	}
	if code := run([]string{"shell", "--names"}, nil, &out, &errs); code != 0 ||
		len(strings.Fields(out.String())) != len(names()) {
		t.Errorf("code %d, %s", code, out.String())
	}
}
