package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
)

// outputsBed is a node whose order made /workspace/out/a, not /workspace/none, and a pipe that was left out. exit is
// the job's code.
func outputsBed(t *testing.T, exit int) *bed {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "out/a", Typeflag: tar.TypeReg, Mode: 0o644, Size: 4}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "data"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	bed := newBed(t)
	code := "completed"
	if exit != 0 {
		code = "job-failed"
	}
	o := ended(market.Code(code), &exit)
	o.OutputsReady = true
	o.Outputs = []api.Output{{Path: "/workspace/out", To: filepath.Join(bed.dir, "home", "o")}}
	bed.node.order, bed.node.outputs = o, b.Bytes()
	return bed
}

func (b *bed) runJob(flags ...string) (code int, errOut string, report runReport) {
	b.t.Helper()
	status := filepath.Join(b.dir, "status.json")
	code, _, errOut = b.run("",
		append(append([]string{"run", "-y", "--max-total", "0.02", "--status-file", status}, flags...), "alpine:3")...)
	raw, err := os.ReadFile(status)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &report); err != nil {
		b.t.Fatal(err)
	}
	return code, errOut, report
}

func says(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in:\n%s", w, text)
		}
	}
}

// TestRun_MissingOrLeftOut_IsNamedAndNotZero: on the screen, in the status file, and by the exit code, unless it may be
// or the job failed itself.
func TestRun_MissingOrLeftOut_IsNamedAndNotZero(t *testing.T) {
	t.Parallel()
	missing := func(o *api.Order) { o.MissingOutputs = []string{"/workspace/none"} }
	left := func(o *api.Order) {
		o.LeftOut, o.LeftOutMore = []api.LeftOut{{Direction: "output", Path: "/workspace/out/pipe",
			Reason: "it is a named pipe"}}, 2
	}
	for _, x := range []struct {
		name  string
		exit  int
		flags []string
		set   func(*api.Order)
		want  int
		code  market.Code
		words []string
	}{
		{"whole", 0, nil, func(*api.Order) {}, 0, "", []string{"1 file"}},
		{"missing", 0, nil, missing, 125, market.CodeOutputMissing,
			[]string{"output /workspace/none does not exist", "error[output-missing]", "--allow-missing-outputs"}},
		{"missing, allowed", 0, []string{"--allow-missing-outputs"}, missing, 0, "",
			[]string{"output /workspace/none does not exist"}},
		{"missing, job failed", 3, nil, missing, 3, "", []string{"output /workspace/none does not exist"}},
		{"left out", 0, nil, left, 125, market.CodeOutputLeftOut,
			[]string{"output /workspace/out/pipe: it is a named pipe", "2 more", "error[output-left-out]"}},
		{"left out, allowed", 0, []string{"--allow-missing-outputs"}, left, 0, "",
			[]string{"/workspace/out/pipe: it is a named pipe"}},
		{"too big", 0, nil, func(o *api.Order) {
			o.OutputsReady, o.OutputsCode, o.OutputsDetail = false, market.CodeOutputTooBig, "more than 5 bytes"
		}, 125, market.CodeOutputTooBig, []string{"more than 5 bytes"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			b := outputsBed(t, x.exit)
			x.set(&b.node.order)
			code, errOut, report := b.runJob(x.flags...)
			if code != x.want || report.Exit != x.want || report.Order == nil ||
				len(report.Order.MissingOutputs) != len(b.node.order.MissingOutputs) ||
				len(report.Order.LeftOut) != len(b.node.order.LeftOut) {
				t.Errorf("exit %d, want %d; report %+v", code, x.want, report)
			}
			if got := problemCode(report); got != x.code {
				t.Errorf("problem %q, want %q", got, x.code)
			}
			says(t, errOut, x.words...)
			if b.node.order.OutputsReady {
				reads(t, filepath.Join(b.dir, "home", "o", "a"), "data")
			}
		})
	}
}

func problemCode(r runReport) market.Code {
	if r.Problem == nil {
		return ""
	}
	return r.Problem.Code
}

func reads(t *testing.T, name, want string) {
	t.Helper()
	if b, err := os.ReadFile(name); err != nil || string(b) != want {
		t.Errorf("%s holds %q, %v", name, b, err)
	}
}

// TestRun_InputThatCannotTravel_IsNamedFirst: before anything costs; the job runs without it, and the exit code says
// so.
func TestRun_InputThatCannotTravel_IsNamedFirst(t *testing.T) {
	t.Parallel()
	b := outputsBed(t, 0)
	src := filepath.Join(b.dir, "src")
	if err := os.MkdirAll(src, 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(src, "s"))
	if err != nil {
		t.Skipf("no sockets here: %v", err)
	}
	defer l.Close()
	code, errOut, report := b.runJob("--in", src+":/workspace/src")
	if code != 125 || problemCode(report) != market.CodeInputLeftOut || len(report.LeftOut) != 1 ||
		report.LeftOut[0].Path != filepath.Join(src, "s") {
		t.Errorf("exit %d, %+v", code, report)
	}
	says(t, errOut, filepath.Join(src, "s")+": it is a socket")
	if strings.Index(errOut, "it is a socket") > strings.Index(errOut, "plan ") {
		t.Errorf("named after the plan:\n%s", errOut)
	}
	if code, _, report = b.runJob("--in", src+":/workspace/src", "--allow-missing-outputs"); code != 0 ||
		len(report.LeftOut) != 1 {
		t.Errorf("allowed: exit %d, %+v", code, report)
	}
}

// TestOutputs_DetachedRun_ComeHomeWhereTheyWereToldTo.
func TestOutputs_DetachedRun_ComeHomeWhereTheyWereToldTo(t *testing.T) {
	t.Parallel()
	b := outputsBed(t, 0)
	code, out, errOut := b.run("", "run", "-d", "-y", "--max-total", "0.02", "--out", "/workspace/out:./o", "alpine:3")
	if code != 0 || strings.TrimSpace(out) != "order_7" {
		t.Fatalf("exit %d: %q %s", code, out, errOut)
	}
	says(t, errOut, "gpuai outputs order_7")
	if o := b.node.request.Job.Outputs; len(o) != 1 || !filepath.IsAbs(o[0].To) || filepath.Base(o[0].To) != "o" {
		t.Errorf("the node remembers %q", o)
	}
	code, _, errOut = b.run("", "outputs", "-")
	if code != 0 {
		t.Errorf("exit %d", code)
	}
	says(t, errOut, "1 file")
	reads(t, filepath.Join(b.dir, "home", "o", "a"), "data")
	b.node.order.MissingOutputs = []string{"/workspace/none"}
	code, _, errOut = b.run("", "outputs", "-", filepath.Join(b.dir, "all"))
	if code == 0 {
		t.Error("a missing output is exit 0")
	}
	says(t, errOut, "1 file, 4 B in", "output-missing")
	reads(t, filepath.Join(b.dir, "all", "out", "a"), "data")
	b.node.order.MissingOutputs, b.node.order.Outputs = nil, nil
	if code, _, errOut = b.run("", "outputs", "-"); code != 2 {
		t.Errorf("no place is known: exit %d", code)
	}
	says(t, errOut, "gpuai outputs order_7 DIR")
}

// TestRun_JobFile_PathsBeginInItsFolder, inputs and outputs; errors name the key and where it was looked for.
func TestRun_JobFile_PathsBeginInItsFolder(t *testing.T) {
	t.Parallel()
	b := outputsBed(t, 0)
	dir := filepath.Join(b.dir, "jf")
	if err := os.MkdirAll(filepath.Join(dir, "src"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "src", "f"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	job := func(from string) string {
		name := filepath.Join(dir, "job.yaml")
		text := "image: alpine:3\nlimits: {max_total: 0.02}\ninputs:\n  - {from: " + from +
			", to: /workspace/src}\noutputs:\n  - {path: /workspace/out, to: ./o/}\n"
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	if code, _, errOut := b.run("", "run", "-y", "-d", job("./src")); code != 0 {
		t.Fatalf("exit %d: %s", code, errOut)
	}
	if b.node.request.InputBytes != 1 || b.node.request.Job.Outputs[0].To != filepath.Join(dir, "o")+"/" {
		t.Errorf("asked for %+v", b.node.request)
	}
	code, _, errOut := b.run("", "run", "-y", job("./nothing"))
	if code != 2 {
		t.Errorf("exit %d", code)
	}
	says(t, errOut, "error[spec-path]", "inputs[0].from", filepath.Join(dir, "nothing"))
	code, _, errOut = b.run("", "run", "-y", "--max-total", "0.02", "--in", "nothing:/workspace/x", "alpine:3")
	if code != 2 {
		t.Errorf("exit %d", code)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	says(t, errOut, "--in", filepath.Join(here, "nothing"))
}
