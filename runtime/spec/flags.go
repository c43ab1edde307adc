package spec

import (
	"slices"
	"strings"
)

// Flags are the order flags of the command line, as typed. Empty = not given. In: SRC:/workspace/…; Out:
// /workspace/…:DST; Env: NAME=VALUE.
// Argv: what follows --, replacing the image's CMD.
type Flags struct {
	Name, Image, VRAM, CUDA, CPU, Memory, Disk, Shm, Egress, Workdir, Where string
	MaxRate, MaxTotal, MaxDuration, StartTimeout, StopGrace, Away           string
	GPU, In, Out, Env, Provider, Exclude, Argv                              []string
}

// FromFlags reads flags by the same rules as a job file; faults name the job file's key and have no line.
func FromFlags(f Flags) (File, []Fault) {
	if bad := f.faults(); len(bad) > 0 {
		return File{}, bad
	}
	return decodeFile(f.tree(&node{kind: nodeMap}))
}

// Merge reads a job file and lets flags replace its values.
func Merge(raw []byte, f Flags) (File, []Fault) {
	if bad := f.faults(); len(bad) > 0 {
		return File{}, bad
	}
	n, fault := parseTree(raw)
	if fault != nil {
		return File{}, []Fault{*fault}
	}
	if n.kind != nodeMap {
		return decodeFile(n)
	}
	return decodeFile(f.tree(n))
}

// faults are those of flags that lack one of their two halves: a value left out is not the empty one.
func (f Flags) faults() (out []Fault) {
	for _, s := range f.Env {
		if !strings.Contains(s, "=") {
			out = append(out, Fault{Code: "spec-format", Path: "env", Got: cut(s, 40), Want: "NAME=VALUE",
				Fix: "write " + cut(s, 40) + "=… with its value"})
		}
	}
	for _, s := range f.In {
		if !strings.Contains(s, ":") {
			out = append(out, Fault{Code: "spec-format", Path: "inputs", Got: cut(s, 80), Want: "SRC:/workspace/…",
				Fix: "write " + cut(s, 80) + ":" + Workspace + "/…"})
		}
	}
	return out
}

func word(s string) *node { return &node{kind: nodeScalar, text: s, quoted: true} }

func words2list(list []string) *node {
	n := &node{kind: nodeList}
	for _, s := range list {
		n.list = append(n.list, word(s))
	}
	return n
}

// set replaces or adds a key of a mapping.
func (n *node) set(key string, v *node) {
	if i := slices.IndexFunc(n.keys, func(p pair) bool { return p.key.text == key }); i >= 0 {
		n.keys[i].value = v
		return
	}
	n.keys = append(n.keys, pair{word(key), v})
}

// child returns the mapping under key, made anew if it is none.
func (n *node) child(key string) *node {
	for _, p := range n.keys {
		if p.key.text == key && p.value.kind == nodeMap {
			return p.value
		}
	}
	c := &node{kind: nodeMap}
	n.set(key, c)
	return c
}

func (f Flags) tree(n *node) *node {
	for _, x := range []struct{ key, v string }{
		{"name", f.Name}, {"image", f.Image}, {"cpu", f.CPU}, {"memory", f.Memory}, {"disk", f.Disk}, {"shm", f.Shm},
		{"egress", f.Egress},
		{"workdir", f.Workdir},
	} {
		if x.v != "" {
			n.set(x.key, word(x.v))
		}
	}
	for _, x := range []struct{ in, key, v string }{
		{"limits", "max_rate", f.MaxRate}, {"limits", "max_total", f.MaxTotal},
		{"limits", "max_duration", f.MaxDuration},
		{"limits", "start_timeout", f.StartTimeout}, {"limits", "away", f.Away}, {"stop", "stop_grace", f.StopGrace},
		{"placement", "where", f.Where},
	} {
		if x.v != "" {
			n.child(x.in).set(x.key, word(x.v))
		}
	}
	if len(f.Provider) > 0 {
		n.child("placement").set("providers", words2list(f.Provider))
	}
	if len(f.Exclude) > 0 {
		n.child("placement").set("exclude", words2list(f.Exclude))
	}
	if len(f.Argv) > 0 {
		n.set("args", words2list(f.Argv))
	}
	f.gpu(n)
	f.files(n)
	return n
}

// gpu turns --gpu, --vram and --cuda into the mapping; one --gpu alone stays "MODEL:COUNT".
func (f Flags) gpu(n *node) {
	if len(f.GPU) == 1 && f.VRAM == "" && f.CUDA == "" {
		n.set("gpu", word(f.GPU[0]))
		return
	}
	if len(f.GPU) == 0 && f.VRAM == "" && f.CUDA == "" {
		return
	}
	g := n.child("gpu")
	if len(f.GPU) > 0 {
		models, count := &node{kind: nodeList}, ""
		for _, s := range f.GPU {
			model, c, _ := strings.Cut(s, ":")
			if c != "" {
				count = c
			}
			if model != "any" {
				models.list = append(models.list, word(model))
			}
		}
		g.set("any_of", models)
		if count != "" {
			g.set("count", word(count))
		}
	}
	if f.VRAM != "" {
		g.set("vram", word(f.VRAM))
	}
	if f.CUDA != "" {
		g.set("cuda", word(f.CUDA))
	}
}

// files turns --in, --out and --env into their lists; the colon that counts is the one before /workspace, since local
// paths may hold colons.
func (f Flags) files(n *node) {
	if len(f.In) > 0 {
		list := &node{kind: nodeList}
		for _, s := range f.In {
			m := &node{kind: nodeMap}
			from, to := s, ""
			if i := strings.LastIndex(s, ":"+Workspace); i >= 0 {
				from, to = s[:i], s[i+1:]
			} else if i := strings.LastIndexByte(s, ':'); i >= 0 {
				from, to = s[:i], s[i+1:]
			}
			m.set("from", word(from))
			m.set("to", word(to))
			list.list = append(list.list, m)
		}
		n.set("inputs", list)
	}
	if len(f.Out) > 0 {
		list := &node{kind: nodeList}
		for _, s := range f.Out {
			m := &node{kind: nodeMap}
			path, to, ok := strings.Cut(s, ":")
			m.set("path", word(path))
			if ok {
				m.set("to", word(to))
			}
			list.list = append(list.list, m)
		}
		n.set("outputs", list)
	}
	if len(f.Env) > 0 {
		env := n.child("env")
		for _, s := range f.Env {
			k, v, _ := strings.Cut(s, "=")
			env.set(k, word(v))
		}
	}
}
