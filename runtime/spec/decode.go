package spec

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
)

var jobName = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)

// ParseFile reads a job file, YAML or equal JSON, and fills defaults. All faults come back, at most 20, in the order of
// their lines; the File is usable only without faults.
func ParseFile(raw []byte) (File, []Fault) {
	n, fault := parseTree(raw)
	if fault != nil {
		return File{}, []Fault{*fault}
	}
	return decodeFile(n)
}

// decoder collects faults while it fills a File.
type decoder struct {
	file   File
	faults []Fault
}

type field struct {
	name string
	read func(n *node, at string)
}

func decodeFile(n *node) (File, []Fault) {
	d := &decoder{file: File{
		Kind: "batch", Profile: "standard", Init: "supervise", GPU: GPU{None: true}, CPUMilli: DefaultCPU,
		Memory: DefaultMemory,
		Disk:   DefaultDisk, Egress: market.EgressWeb, StopSignal: "TERM", StopGrace: defaultGrace,
		Limits: FileLimits{MaxDuration: defaultMax},
	}}
	d.object(n, "", d.top())
	f := &d.file
	if f.Image == "" && !d.has("image") {
		d.add(n, "image", &Fault{Code: "spec-required",
			Want: "an image, as in image: pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime"})
	}
	if f.Shm > f.Memory/2 {
		d.add(n, "shm", &Fault{Code: "spec-conflict", Want: "shm of at most half of memory"})
	}
	if f.Limits.IdleStop > f.Limits.MaxDuration {
		d.add(n, "limits.idle_stop", &Fault{Code: "spec-conflict", Want: "idle_stop below max_duration"})
	}
	f.complete()
	if len(d.faults) == 0 {
		if raw, err := f.Spec().Encode(); err != nil {
			d.add(n, "", &Fault{Code: "spec-size", Got: fmt.Sprintf("%d bytes", len(raw)),
				Want: "command, env, inputs and outputs of at most 32 KiB together"})
		}
	}
	return d.file, sortFaults(d.faults)
}

func (d *decoder) has(path string) bool {
	return slices.ContainsFunc(d.faults, func(f Fault) bool { return f.Path == path })
}

func (d *decoder) add(n *node, at string, f *Fault) {
	if f == nil {
		return
	}
	f.Path, f.Line, f.Column = at, n.line, n.column
	d.faults = append(d.faults, *f)
}

// object reads a mapping strictly: each key once, no unknown ones.
func (d *decoder) object(n *node, at string, fields []field) {
	if n.kind != nodeMap {
		d.add(n, at, &Fault{Code: "spec-type", Got: kindWord(n), Want: "a mapping of keys and values"})
		return
	}
	seen := map[string]bool{}
	for _, p := range n.keys {
		path := strings.TrimPrefix(at+"."+cut(p.key.text, 64), ".")
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == p.key.text })
		switch {
		case i < 0:
			d.add(p.key, path, unknownKey(p.key.text, fields))
		case seen[p.key.text]:
			d.add(p.key, path, &Fault{Code: "spec-conflict", Want: "this key only once"})
		case p.value.kind != nodeNull: // an empty value keeps the default
			seen[p.key.text] = true
			fields[i].read(p.value, path)
		}
	}
}

func unknownKey(name string, fields []field) *Fault {
	f := &Fault{Code: "spec-unknown-key", Got: cut(name, 40), Want: "a known key"}
	names := make([]string, len(fields))
	for i, k := range fields {
		names[i] = k.name
	}
	if near := market.Nearest(name, names, 2); near != "" {
		f.Fix = "did you mean " + near + "?"
	}
	return f
}

func kindWord(n *node) string {
	switch n.kind {
	case nodeMap:
		return "a mapping"
	case nodeList:
		return "a list"
	}
	return cut(n.text, 40)
}

// scalar calls f with the text of a single value.
func (d *decoder) scalar(f func(s string) *Fault) func(*node, string) {
	return func(n *node, at string) {
		if n.kind != nodeScalar {
			d.add(n, at, &Fault{Code: "spec-type", Got: kindWord(n), Want: "a single value"})
			return
		}
		d.add(n, at, f(n.text))
	}
}

func (d *decoder) text(to *string, check func(string) *Fault) func(*node, string) {
	return d.scalar(func(s string) *Fault { *to = s; return check(s) })
}

func (d *decoder) size(to *uint64, lo, hi uint64, want string) func(*node, string) {
	return d.scalar(func(s string) *Fault {
		v, err := market.ParseBytes(s)
		switch {
		case err != nil:
			return unitFault(s)
		case v < lo || v > hi:
			return &Fault{Code: "spec-range", Got: cut(s, 40), Want: want}
		}
		*to = v
		return nil
	})
}

func (d *decoder) duration(to *time.Duration, lo, hi time.Duration, want string) func(*node, string) {
	return d.scalar(func(s string) *Fault {
		ms, err := market.ParseMillis(s)
		switch {
		case errors.Is(err, market.ErrUnit) && strings.Trim(s, "0123456789.") == "":
			return &Fault{Code: "spec-unit", Got: s, Want: fmt.Sprintf("%q has no unit", cut(s, 20)),
				Fix: fmt.Sprintf("write %ss or %sm", cut(s, 20), cut(s, 20))}
		case err != nil:
			return &Fault{Code: "spec-format", Got: cut(s, 40), Want: "a duration as in 90s, 2h or 7d"}
		case ms > uint64(hi.Milliseconds()) || ms < uint64(lo.Milliseconds()):
			return &Fault{Code: "spec-range", Got: cut(s, 40), Want: want}
		}
		*to = time.Duration(ms) * time.Millisecond
		return nil
	})
}

// list calls f per item; a single value counts as a list of one where one is true.
func (d *decoder) list(limit int, one bool, f func(n *node, at string)) func(*node, string) {
	return func(n *node, at string) {
		items := n.list
		switch {
		case n.kind != nodeList && one:
			items = []*node{n}
		case n.kind != nodeList:
			d.add(n, at, &Fault{Code: "spec-type", Got: kindWord(n), Want: "a list"})
			return
		}
		if len(items) > limit {
			d.add(n, at, &Fault{Code: "spec-range", Got: fmt.Sprint(len(items)),
				Want: fmt.Sprintf("at most %d items", limit)})
			return
		}
		for i, x := range items {
			f(x, fmt.Sprintf("%s[%d]", at, i))
		}
	}
}

func (d *decoder) words(to *[]string, limit int) func(*node, string) {
	return d.list(limit, false, d.scalar(func(s string) *Fault {
		*to = append(*to, s)
		return checkWords([]string{s})
	}))
}

func (d *decoder) strings(to *map[string]string, limit int, check func(k, v string) *Fault) func(*node, string) {
	return func(n *node, at string) {
		if n.kind != nodeMap || len(n.keys) > limit {
			d.add(n, at, &Fault{Code: "spec-type", Got: kindWord(n),
				Want: fmt.Sprintf("a mapping of at most %d names and values", limit)})
			return
		}
		*to = map[string]string{}
		for _, p := range n.keys {
			path := at + "." + cut(p.key.text, 64)
			_, twice := (*to)[p.key.text]
			switch {
			case p.value.kind != nodeScalar && p.value.kind != nodeNull:
				d.add(p.value, path, &Fault{Code: "spec-type", Got: kindWord(p.value), Want: "a single value"})
			case twice:
				d.add(p.key, path, &Fault{Code: "spec-conflict", Want: "this name only once"})
			default:
				(*to)[p.key.text] = p.value.text
				d.add(p.key, path, check(p.key.text, p.value.text))
			}
		}
	}
}
