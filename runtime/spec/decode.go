package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpuai/gpuai/market"
)

// ParseFile reads a job file, YAML or equal JSON, and fills defaults. All faults come back, at most 20, in the order of
// their lines; the File is usable only without faults.
func ParseFile(raw []byte) (File, []Fault) {
	n, fault := parseTree(raw)
	if fault != nil {
		return File{}, []Fault{*fault}
	}
	return decodeFile(n)
}

// NewFile is a job of an image with all defaults.
func NewFile(image string) File {
	f := blankFile()
	f.Image = image
	f.complete()
	return f
}

func blankFile() File {
	return File{
		Schema: schemaID, Kind: "batch", Profile: "standard", Init: "supervise", GPU: GPU{None: true},
		CPUMilli: DefaultCPU, Memory: DefaultMemory, Disk: DefaultDisk, Egress: market.EgressWeb,
		StopSignal: "TERM", StopGrace: defaultGrace, Limits: FileLimits{MaxDuration: defaultMax},
	}
}

// decoder collects faults while the keys of a File are read.
type decoder struct{ faults []Fault }

func decodeFile(n *node) (File, []Fault) {
	d, f := &decoder{}, blankFile()
	d.object(n, "", f.keys())
	if f.Image == "" && !d.has("image") {
		d.add(n, "image", &Fault{Code: market.CodeSpecRequired,
			Want: "an image, as in image: pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime"})
	}
	if f.Shm > f.Memory/2 {
		d.add(n, "shm", &Fault{Code: market.CodeSpecConflict, Want: "shm of at most half of memory"})
	}
	if f.Limits.IdleStop > f.Limits.MaxDuration {
		d.add(n, "limits.idle_stop", &Fault{Code: market.CodeSpecConflict, Want: "idle_stop below max_duration"})
	}
	f.complete()
	if len(d.faults) == 0 {
		if raw, err := f.Spec().Encode(); err != nil {
			d.add(n, "", &Fault{Code: market.CodeSpecSize, Got: fmt.Sprintf("%d bytes", len(raw)),
				Want: "command, env, inputs and outputs of at most 32 KiB together"})
		}
	}
	return f, sortFaults(d.faults)
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
func (d *decoder) object(n *node, at string, keys []key) {
	if n.kind != nodeMap {
		d.add(n, at, &Fault{Code: market.CodeSpecType, Got: kindWord(n), Want: "a mapping of keys and values"})
		return
	}
	seen := map[string]bool{}
	for _, p := range n.keys {
		path := strings.TrimPrefix(at+"."+cut(p.key.text, 64), ".")
		i := slices.IndexFunc(keys, func(k key) bool { return k.name == p.key.text })
		switch {
		case i < 0:
			d.add(p.key, path, unknownKey(p.key.text, keys))
		case seen[p.key.text]:
			d.add(p.key, path, &Fault{Code: market.CodeSpecConflict, Want: "this key only once"})
		case p.value.kind != nodeNull: // an empty value keeps the default
			seen[p.key.text] = true
			keys[i].value.read(d, p.value, path)
		}
	}
}

func unknownKey(name string, keys []key) *Fault {
	f := &Fault{Code: market.CodeSpecUnknownKey, Got: cut(name, 40), Want: "a known key"}
	names := make([]string, len(keys))
	for i, k := range keys {
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

// list reads each item; a single value counts as a list of one where one is true.
func (d *decoder) list(n *node, at string, limit int, one bool, read func(*decoder, *node, string)) {
	items := n.list
	switch {
	case n.kind != nodeList && one:
		items = []*node{n}
	case n.kind != nodeList:
		d.add(n, at, &Fault{Code: market.CodeSpecType, Got: kindWord(n), Want: "a list"})
		return
	}
	if len(items) > limit {
		d.add(n, at, &Fault{Code: market.CodeSpecRange, Got: fmt.Sprint(len(items)),
			Want: fmt.Sprintf("at most %d items", limit)})
		return
	}
	for i, x := range items {
		read(d, x, fmt.Sprintf("%s[%d]", at, i))
	}
}

// pairs reads a mapping of free names.
func (d *decoder) pairs(n *node, at string, to *map[string]string, limit int, check func(k, v string) *Fault) {
	if n.kind != nodeMap || len(n.keys) > limit {
		d.add(n, at, &Fault{Code: market.CodeSpecType, Got: kindWord(n),
			Want: fmt.Sprintf("a mapping of at most %d names and values", limit)})
		return
	}
	*to = map[string]string{}
	for _, p := range n.keys {
		path := at + "." + cut(p.key.text, 64)
		_, twice := (*to)[p.key.text]
		switch {
		case p.value.kind != nodeScalar && p.value.kind != nodeNull:
			d.add(p.value, path, &Fault{Code: market.CodeSpecType, Got: kindWord(p.value), Want: "a single value"})
		case twice:
			d.add(p.key, path, &Fault{Code: market.CodeSpecConflict, Want: "this name only once"})
		default:
			(*to)[p.key.text] = p.value.text
			d.add(p.key, path, check(p.key.text, p.value.text))
		}
	}
}
