package spec

import (
	"cmp"
	"fmt"
	"path/filepath"
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
	Outcome                     string // OutcomePrivate: neither side tells everybody how a lease of it ended
}

// FileLimits are the customer's limits; zero = not set.
type FileLimits struct {
	MaxRate                                   market.Rate
	MaxTotal                                  market.Amount
	MaxDuration, IdleStop, StartTimeout, Away time.Duration
	TTL                                       time.Duration // of the order, from its placing on
	Wait                                      time.Duration // for a rig that fits; 0: some minutes
}

// Placement narrows the providers. Where: terms of the capability language. Sort: who is taken first of those that fit.
// Want: WantPrivate keeps from the market what the order waits for.
type Placement struct {
	Where              []market.Term
	Providers, Exclude []market.NodeID
	Sort               market.Sort
	Want               string
}

// OutcomePrivate is the Outcome of a job of whose leases nobody is told.
const OutcomePrivate = "private"

// WantPrivate is the Want of an order whose devices the market is not told while it waits.
const WantPrivate = "private"

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

// Order is what the job says of the market's Order; who orders, when, and the pinned image are the customer's.
func (f File) Order() market.Order {
	terms := f.Terms()
	if classes := f.Classes(); len(classes) > 0 {
		terms = append(terms, market.Term{Classes: classes})
	}
	return market.Order{
		Kind: market.KindBatch, Constraints: terms, Devices: f.Devices(), CPUMilli: f.CPUMilli, RAM: f.Memory,
		Disk: f.Disk, Shm: f.Shm, Egress: f.Egress,
		// no top price: the cheapest rig is taken, and the cap bounds what it costs
		MaxRate: cmp.Or(f.Limits.MaxRate, market.MaxRate),
		Budget:  f.Limits.MaxTotal, MaxDuration: f.Limits.MaxDuration, StartTimeout: f.Limits.StartTimeout,
		StopGrace: f.StopGrace, Private: f.Outcome == OutcomePrivate,
	}
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
