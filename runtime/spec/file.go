package spec

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
)

// File is a job file or its flags, complete with defaults. Sizes are bytes. What goes into the Spec stays in the signed
// Lease; the rest fills the Order or stays with the customer's node.
type File struct {
	Schema, Name, Kind, Profile string
	Image                       string
	Command, Args               []string
	Workdir                     string
	Env                         map[string]string
	Init                        string
	GPU                         GPU
	CPUMilli                    uint32
	Memory, Disk, Shm           uint64
	Inputs                      []Source
	Outputs                     []Output
	Egress                      uint8 // one of market.Egress…
	StopSignal                  string
	StopGrace                   time.Duration
	Limits                      FileLimits
	Placement                   Placement
	Retry                       int
	Labels                      map[string]string
}

// GPU says which devices: none, any of some classes, or any with minimums. Terms hold vram, cuda and cc.
type GPU struct {
	None  bool
	AnyOf []string // classes, empty = any
	Count int
	Terms []market.Term
}

// FileLimits are the customer's limits; zero = not set.
type FileLimits struct {
	MaxRate                                   market.Rate
	MaxTotal                                  market.Amount
	MaxDuration, IdleStop, StartTimeout, Away time.Duration
}

// Placement narrows the providers. Where: terms of the capability language.
type Placement struct {
	Where              []market.Term
	Providers, Exclude []market.NodeID
}

// Defaults of the job file: milli-cores and bytes.
const (
	DefaultCPU    = 2000
	DefaultMemory = 4 << 30
	DefaultDisk   = 20 << 30
	defaultGrace  = 30 * time.Second
	defaultMax    = 24 * time.Hour
)

// Locate makes the local paths of a job file relative to its folder, dir; those of flags stay relative to the shell's.
func (f *File) Locate(dir string, inFlags, outFlags bool) {
	for i := range f.Inputs {
		if inFlags {
			break
		}
		in := &f.Inputs[i]
		in.Key = fmt.Sprintf("inputs[%d].from", i)
		if !filepath.IsAbs(in.From) {
			in.From = filepath.Join(dir, in.From)
		}
	}
	for i := range f.Outputs {
		to := f.Outputs[i].To
		if outFlags || to == "" || filepath.IsAbs(to) {
			continue
		}
		f.Outputs[i].To = filepath.Join(dir, to)
		if strings.HasSuffix(to, "/") {
			f.Outputs[i].To += "/"
		}
	}
}

// Spec returns what goes into the Lease.
func (f File) Spec() Spec {
	s := Spec{
		Command: f.Command, Args: f.Args, Workdir: f.Workdir, Env: f.Env, Init: f.Init, StopSignal: f.StopSignal,
		Outputs: slices.Clone(f.Outputs),
	}
	for _, in := range f.Inputs {
		s.Inputs = append(s.Inputs, Input{From: in.From, To: in.To})
	}
	return s.withDefaults()
}

// Classes returns the classes to match: "cpu" for a job without GPU, empty for any GPU (Terms then leaves out the CPU
// slots).
func (f File) Classes() []string {
	if f.GPU.None {
		return []string{market.ClassCPU}
	}
	return f.GPU.AnyOf
}

// Devices returns how many devices the job needs; a CPU job needs one CPU slot.
func (f File) Devices() int { return max(f.GPU.Count, 1) }

// Terms returns the constraints of GPU and placement; the caller adds cores, memory and disk as the Order states them.
func (f File) Terms() []market.Term {
	t := append(slices.Clone(f.GPU.Terms), f.Placement.Where...)
	if !f.GPU.None && len(f.GPU.AnyOf) == 0 {
		t = append(t, market.Term{Classes: []string{market.ClassCPU}, Not: true})
	}
	return market.MergeTerms(t)
}

// complete fills defaults that depend on other values.
func (f *File) complete() {
	if f.Shm == 0 {
		f.Shm = f.Memory / 4
	}
	if f.Name == "" {
		f.Name = nameOf(f.Image)
	}
}

// nameOf makes a job name from an image: the last part of its repository.
func nameOf(image string) string {
	r, err := ParseReference(image)
	if err != nil {
		return "job"
	}
	s := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' {
			return c
		}
		return '-'
	}, r.Repo[strings.LastIndexByte(r.Repo, '/')+1:])
	return cut(s, 40)
}

// parseGPU reads "none", "any", "MODEL" or "MODEL:COUNT".
func parseGPU(s string) (GPU, *Fault) {
	model, n, counted := strings.Cut(s, ":")
	g := GPU{Count: 1}
	if counted {
		count, ok := parseCount(n, 1, market.MaxDevices)
		if !ok {
			return g, &Fault{Code: "spec-range", Got: cut(n, 20), Want: "1 to 64 GPUs",
				Fix: "write it as in rtx-4090:2"}
		}
		g.Count = count
	}
	switch model {
	case "none":
		if counted {
			return g, &Fault{Code: "spec-conflict", Got: s, Want: "none without a count"}
		}
		return GPU{None: true}, nil
	case "any":
		return g, nil
	case "":
		return g, &Fault{Code: "spec-format", Got: s, Want: "none, any, or a model as in rtx-4090:2"}
	}
	g.AnyOf = []string{market.Slug(model)}
	return g, nil
}

func parseCount(s string, lo, hi int) (int, bool) {
	n := 0
	if s == "" || len(s) > 6 {
		return 0, false
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, n >= lo && n <= hi
}

// minimum makes a term ">= value" of a device field.
func minimum(field market.FieldID, text string) (market.Term, *Fault) {
	terms, err := market.ParseTerms(field.String() + " >= " + text)
	if err != nil || len(terms) != 1 || terms[0].Soft {
		f := &Fault{Code: "spec-format", Got: cut(text, 40), Want: "a version as in 12.4"}
		if field == market.FieldVRAM {
			f = unitFault(text)
		}
		return market.Term{}, f
	}
	return terms[0], nil
}

// shortUnit is a size as Docker and Kubernetes write it: 4g, 512Mi.
var shortUnit = regexp.MustCompile(`^([0-9]{1,9})([kKmMgGtT])(?:i|b)?$`)

func unitFault(text string) *Fault {
	if strings.Trim(text, "0123456789.") == "" && text != "" {
		return &Fault{Code: "spec-unit", Got: text, Want: fmt.Sprintf("%q has no unit", cut(text, 20)),
			Fix: fmt.Sprintf("write %sGB or %sGiB", cut(text, 20), cut(text, 20))}
	}
	f := &Fault{Code: "spec-format", Got: cut(text, 40), Want: "a size as in 24GiB"}
	if m := shortUnit.FindStringSubmatch(text); m != nil {
		f.Fix = "write " + m[1] + strings.ToUpper(m[2]) + "iB"
	}
	return f
}
