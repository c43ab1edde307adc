package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestRun_PathsOfAJobFile_AreRelativeToIt: those of flags are relative to the shell's folder, which is another one
// here.
func TestRun_PathsOfAJobFile_AreRelativeToIt(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	exit := 0
	b.node.order = ended("completed", &exit)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	job := filepath.Join(dir, "job.yaml")
	for path, text := range map[string]string{
		"data/a": "12345", "job.yaml": "image: alpine:3\ninputs: [{from: ./data, to: /workspace/data}]\n" +
			"outputs: [{path: /workspace/out, to: ./out/}, {path: /workspace/log, to: /abs/log}, {path: " +
			"/workspace/x}]\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if code, _, errOut := b.run("", "run", "-y", "-d", "--max-total", "0.02", job); code != 0 {
		t.Fatal(errOut)
	}
	f := b.node.request.Job
	if b.node.request.InputBytes != 5 || b.node.inputs.Size() != 5 || f.Inputs[0].From != filepath.Join(dir, "data") ||
		f.Outputs[0].To != filepath.Join(dir, "out")+"/" || f.Outputs[1].To != "/abs/log" || f.Outputs[2].To != "" {
		t.Errorf("%d bytes, %+v, %+v", b.node.request.InputBytes, f.Inputs, f.Outputs)
	}
	code, _, errOut := b.run("", "run", "-y", "-d", "--max-total", "0.02", "--in", "main.go:/workspace/main.go",
		"--out",
		"/workspace/out:out", job)
	f = b.node.request.Job
	if code != 0 || len(f.Inputs) != 1 || f.Inputs[0].From != filepath.Join(here, "main.go") ||
		f.Outputs[0].To != filepath.Join(here, "out") {
		t.Errorf("%s %+v, %+v", errOut, f.Inputs, f.Outputs)
	}
}
