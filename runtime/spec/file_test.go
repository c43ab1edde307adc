package spec

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuai/gpuai/market"
)

const example = `schema: gpuai.job/v1
name: train
image: pytorch/pytorch:2.6
command: [python, src/train.py]
env:
  EPOCHS: 3
  EMPTY:
gpu: {any_of: [rtx-4090, RTX 3090], count: 2, vram: 24GB, cuda: 12.4}
cpu: 4
memory: 16GiB
disk: 100GB
inputs:
  - from: ./src
    to: /workspace/src
    exclude: ["*.log"]
outputs:
  - {path: /workspace/out, to: ./out, when: success}
egress: none
stop: {signal: INT, stop_grace: 10s}
limits:
  max_rate: 0.003/h
  max_total: 0.02
  max_duration: 10h
placement:
  where: country not in (DE), disk_read >= 1GB/s ?
labels: {team: vision}
`

func TestParseFile_Example_FillsAll(t *testing.T) {
	t.Parallel()
	got, faults := ParseFile([]byte(example))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	where, err := market.ParseTerms("country not in (DE), disk_read >= 1GB/s ?")
	if err != nil {
		t.Fatal(err)
	}
	want := File{
		Schema: "gpuai.job/v1", Name: "train", Kind: "batch", Profile: "standard", Image: "pytorch/pytorch:2.6",
		Command: []string{"python", "src/train.py"}, Env: map[string]string{"EPOCHS": "3", "EMPTY": ""},
		Init: "supervise",
		GPU: GPU{AnyOf: []string{"rtx-4090", "rtx-3090"}, Count: 2, Terms: []market.Term{
			{Field: market.FieldVRAM, Lo: 22889}, {Field: market.FieldCUDA, Lo: 12040}}},
		CPUMilli: 4000, Memory: 16 << 30, Disk: 100e9, Shm: 4 << 30,
		Inputs:  []Source{{From: "./src", To: "/workspace/src", Exclude: []string{"*.log"}}},
		Outputs: []Output{{Path: "/workspace/out", To: "./out", When: "success"}},
		Egress:  market.EgressNone, StopSignal: "INT", StopGrace: 10 * time.Second,
		Limits:    FileLimits{MaxRate: 3_000_000, MaxTotal: 20_000_000, MaxDuration: 10 * time.Hour},
		Placement: Placement{Where: where}, Labels: map[string]string{"team": "vision"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	raw, err := got.Spec().Encode()
	if err != nil {
		t.Fatal(err)
	}
	if s := string(raw); strings.Contains(s, "./src") || strings.Contains(s, "./out") {
		t.Errorf("local paths leave the customer: %s", s)
	}
	back, err := ParseSpec(raw)
	if err != nil || back.StopSignal != "INT" || back.Inputs[0].To != "/workspace/src" {
		t.Errorf("spec %+v, %v", back, err)
	}
}

func TestParseFile_Minimal_Defaults(t *testing.T) {
	t.Parallel()
	f, faults := ParseFile([]byte(`{"image": "127.0.0.1:5000/gpuai/sample:v1"}`))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if f.Name != "sample" || !f.GPU.None || f.Shm != 1<<30 || f.Devices() != 1 || f.Classes()[0] != "cpu" ||
		f.Egress != market.EgressWeb {
		t.Errorf("%+v", f)
	}
}

func TestParseFile_Faults_NamePlaceCodeAndFix(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"image: a\ngpu:\n  vram: 24\n":                     `job.yaml:3:9: gpu.vram: "24" has no unit; write 24GB or 24GiB [spec-unit]`,
		"image: a\nmemroy: 4GiB\n":                         `job.yaml:2:1: memroy: "memroy" is not allowed; want a known key; did you mean memory? [spec-unknown-key]`,
		"gpu: none\n":                                      `job.yaml:1:1: image: an image, as in image: pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime [spec-required]`,
		"image: a\nenv: {NVIDIA_VISIBLE_DEVICES: all}\n":   `job.yaml:2:7: env.NVIDIA_VISIBLE_DEVICES: "NVIDIA_VISIBLE_DEVICES" is not allowed; want another name: this one is set by the provider [spec-env-reserved]`,
		"image: a\nworkdir: /proc/self/fd/8\n":             `job.yaml:2:10: workdir: "/proc/self/fd/8" is not allowed; want a directory that is not under /proc, /sys or /dev [spec-path]`,
		"image: a\noutputs: [{path: /etc}]\n":              `job.yaml:2:18: outputs[0].path: "/etc" is not allowed; want a path under /workspace; write /workspace/etc [spec-path]`,
		"image: a\noutputs: [{path: /workspace/../etc}]\n": `job.yaml:2:18: outputs[0].path: "/workspace/../etc" is not allowed; want an absolute path without .. or double slashes, at most 1024 bytes [spec-path]`,
		"image: &x a\nname: *x\n":                          `job.yaml:1:8: "&" is not allowed; want the value itself: anchors, aliases and merge keys are not read [spec-alias]`,
		"image: a\nkind: service\n":                        `job.yaml:2:7: kind: "service" is not allowed; want one of batch [spec-range]`,
		"image: a\nmemory: 1GiB\nshm: 1GiB\n":              `job.yaml:1:1: shm: shm of at most half of memory [spec-conflict]`,
		"image: a\nlimits: {max_duration: 90}\n":           `job.yaml:2:24: limits.max_duration: "90" has no unit; write 90s or 90m [spec-unit]`,
		"image: [a]\n":                                     `job.yaml:1:8: image: "a list" is not allowed; want a single value [spec-type]`,
		"image: UPPER\n":                                   `job.yaml:1:8: image: "UPPER" is not allowed; want an image name as in pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime [spec-image]`,
		"image: a\ngpu: {vram: '24GiB ?'}\n":               `job.yaml:2:13: gpu.vram: "24GiB ?" is not allowed; want a size as in 24GiB [spec-format]`,
	} {
		_, faults := ParseFile([]byte(text))
		if len(faults) != 1 {
			t.Errorf("%q: %d faults: %v", text, len(faults), faults)
			continue
		}
		if got := faults[0].In("job.yaml"); got != want {
			t.Errorf("%q:\n got %s\nwant %s", text, got, want)
		}
	}
}

func TestParseFile_ManyFaults_InLineOrderAtMost20(t *testing.T) {
	t.Parallel()
	_, faults := ParseFile([]byte("egress: lan\nimage: a\ncpu: 0\nzzz: 1\n" + strings.Repeat("\n", 3) + "memory: 1\n"))
	for i := 1; i < len(faults); i++ {
		if faults[i].Line < faults[i-1].Line {
			t.Errorf("faults out of order: %v", faults)
		}
	}
	if len(faults) != 4 {
		t.Errorf("faults %v", faults)
	}
	var b strings.Builder
	b.WriteString("image: a\nargs:\n")
	for range 30 {
		b.WriteString("  - [x]\n")
	}
	if _, faults := ParseFile([]byte(b.String())); len(faults) != maxFaults {
		t.Errorf("%d faults", len(faults))
	}
	if err := AsError("job.yaml", faults); market.CodeOf(err) != faults[0].Code {
		t.Errorf("error %v", err)
	}
}

func TestParseFile_Bombs_AreRefusedQuickly(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"flow":   "image: " + strings.Repeat("[", 200_000),
		"dashes": "args: \n" + strings.Repeat("- ", 100_000),
		"keys":   strings.Repeat("? ", 100_000),
		"size":   strings.Repeat("a", MaxFileBytes+1),
		"merge":  "a: &a {x: 1}\nb: {<<: *a}\n",
		"tags":   "image: !!binary aGk=\n",
		"docs":   "image: a\n---\nimage: b\n",
		"empty":  "",
		"twice":  "image: a\nimage: b\n",
		"text":   "hello",
	} {
		start := time.Now()
		_, faults := ParseFile([]byte(text))
		if len(faults) == 0 {
			t.Errorf("%s: accepted", name)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s took %s", name, d)
		}
	}
}

func TestFromFlags_EqualsFile(t *testing.T) {
	t.Parallel()
	got, faults := FromFlags(Flags{
		"image": {"pytorch:2.6"}, "gpu": {"rtx-4090:2"}, "in": {"./a:b:/workspace/src"},
		"out": {"/workspace/out:./out"}, "env": {"A=b=c"}, "max-rate": {"0.003/h"}, "max-total": {"0.02"},
		"max-duration": {"10h"}, "args": {"python", "src/train.py"},
	})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	want, faults := ParseFile(
		[]byte("image: 'pytorch:2.6'\ngpu: rtx-4090:2\ninputs: [{from: './a:b', to: /workspace/src}]\n" +
			"outputs: [{path: /workspace/out, to: ./out}]\nenv: {A: b=c}\nlimits: {max_rate: 0.003/h, " +
			"max_total: 0.02, " +
			"max_duration: 10h}\n" +
			"args: [python, src/train.py]\n"))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	merged, faults := Merge([]byte(example), Flags{"gpu": {"h100:8"}, "max-rate": {"0.01/h"}})
	if len(faults) > 0 || merged.GPU.AnyOf[0] != "h100" || merged.GPU.Count != 8 ||
		merged.Limits.MaxRate != 10_000_000 || merged.Name != "train" {
		t.Errorf("merged %+v, %v", merged, faults)
	}
	if _, faults := FromFlags(Flags{"image": {"a"}, "vram": {"24"}}); len(faults) != 1 ||
		faults[0].String() != `gpu.vram: "24" has no unit; write 24GB or 24GiB [spec-unit]` {
		t.Errorf("faults %v", faults)
	}
}

func TestFile_Terms_AnyGPULeavesOutCPUSlots(t *testing.T) {
	t.Parallel()
	f, faults := FromFlags(Flags{"image": {"a"}, "vram": {"24GB"}, "where": {"vram <= 48GB"}})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	terms := f.Terms()
	if len(terms) != 2 || terms[0].Hi != 45776 || terms[1].FitsClass("cpu") || !terms[1].FitsClass("t4") {
		t.Errorf("terms %v", terms)
	}
}

func TestParseSpec_Hostile_IsRefused(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		"", "null x", `{"unknown":1}`, `{"env":{"GPUAI_X":"1"}}`, `{"workdir":"/proc/self"}`, `{"init":"pid1"}`,
		`{"stop_signal":"KILL"}`,
		`{"inputs":[{"to":"/etc"}]}`, `{"outputs":[{"path":"/workspace/../x"}]}`, `{"inputs":[{"to":"relative"}]}`,
		`{"args":["a\u0000"]}`, `{"args":["` + strings.Repeat("x", MaxSpecBytes) + `"]}`, `{} {}`, `[]`,
	} {
		if _, err := ParseSpec([]byte(raw)); market.CodeOf(err) != market.CodeSpecRefused {
			t.Errorf("%.40q: %v", raw, err)
		}
	}
	if s, err := ParseSpec([]byte(`{}`)); err != nil || s.Init != "supervise" || s.StopSignal != "TERM" {
		t.Errorf("empty spec: %+v, %v", s, err)
	}
}

func FuzzParseFile(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte(`{"image":"a","gpu":{"any_of":"t4"},"args":["x"]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		file, faults := ParseFile(raw)
		if len(faults) > 0 {
			if len(faults) > maxFaults {
				t.Fatalf("%d faults", len(faults))
			}
			return
		}
		enc, err := file.Spec().Encode()
		if err != nil {
			t.Fatalf("a file without faults has no spec: %v", err)
		}
		if _, err := ParseSpec(enc); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzParseSpec(f *testing.F) {
	f.Add([]byte(`{"command":["a"],"env":{"A":"b"},"inputs":[{"to":"/workspace/x"}],"outputs":[{"path":"/workspace/y","when":"success"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := ParseSpec(raw)
		if err != nil {
			return
		}
		if len(s.check()) > 0 {
			t.Fatalf("%q passes and is faulty", raw)
		}
	})
}
