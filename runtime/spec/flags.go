package spec

import "slices"

// Flag is an order flag of the command line; Usage is the key's own text where the row says none.
type Flag struct {
	Name, Short, Usage string
	Place              bool // it says where a job may run: gpuai offers has it, too
	Many               bool // it may be given more than once
	Word               bool // no flag: a word of the command line
}

// OrderFlags are the flags of the keys that have one.
func OrderFlags() (out []Flag) {
	f := blankFile()
	var walk func(keys []key)
	walk = func(keys []key) {
		for _, k := range keys {
			if x := k.flag; x.Name != "" && !x.Word {
				if x.Many = k.value.many; x.Usage == "" {
					x.Usage = k.about
				}
				out = append(out, x)
			}
			walk(k.value.keys)
		}
	}
	walk(f.keys())
	return out
}

// Flags are what was typed, by the names of the flags. "image" is the image, "args" what
// follows --.
type Flags map[string][]string

// Given reports that a flag was typed.
func (f Flags) Given(name string) bool { return len(f[name]) > 0 }

// FromFlags reads flags by the same rules as a job file; faults name the job file's key and have no line.
func FromFlags(f Flags) (File, []Fault) { return f.over(object()) }

// Merge reads a job file and lets flags replace its values.
func Merge(raw []byte, f Flags) (File, []Fault) {
	n, fault := parseTree(raw)
	if fault != nil {
		return File{}, []Fault{*fault}
	}
	return f.over(n)
}

func (f Flags) over(n *node) (File, []Fault) {
	var faults []Fault
	if n.kind == nodeMap {
		blank := blankFile()
		faults = f.enter(n, "", blank.keys())
	}
	if len(faults) > 0 { // a value left out is not the empty one
		return File{}, faults
	}
	return decodeFile(n)
}

// enter writes the flags of keys into a mapping.
func (f Flags) enter(in *node, at string, keys []key) (faults []Fault) {
	for _, k := range keys {
		if words := f[k.flag.Name]; f.Given(k.flag.Name) && k.value.set == nil {
			in.set(k.name, word(words[0]))
		} else if f.Given(k.flag.Name) {
			if fault := k.value.set(in, k.name, words); fault != nil {
				fault.Path = at + k.name
				faults = append(faults, *fault)
			}
		}
		if f.any(k.value.keys) {
			faults = append(faults, f.enter(in.child(k.name, k.value.expand), at+k.name+".", k.value.keys)...)
		}
	}
	return faults
}

// any reports that one of these keys has a flag that is given.
func (f Flags) any(keys []key) bool {
	return slices.ContainsFunc(keys, func(k key) bool { return f.Given(k.flag.Name) })
}

// word is a text, number a number as it is written.
func word(s string) *node   { return &node{kind: nodeScalar, text: s, quoted: true} }
func number(s string) *node { return &node{kind: nodeScalar, text: s} }

// wordOf is nil for an empty text.
func wordOf(s string) *node {
	if s == "" {
		return nil
	}
	return word(s)
}

func wordList(list []string) *node {
	n := &node{kind: nodeList}
	for _, s := range list {
		n.list = append(n.list, word(s))
	}
	return n
}

// object is a mapping of names, each followed by its value.
func object(parts ...any) *node {
	n := &node{kind: nodeMap}
	for i := 0; i+1 < len(parts); i += 2 {
		n.set(parts[i].(string), parts[i+1].(*node))
	}
	return n
}

func (n *node) get(key string) *node {
	for _, p := range n.keys {
		if p.key.text == key {
			return p.value
		}
	}
	return nil
}

// set replaces or adds a key of a mapping.
func (n *node) set(key string, v *node) {
	if i := slices.IndexFunc(n.keys, func(p pair) bool { return p.key.text == key }); i >= 0 {
		n.keys[i].value = v
		return
	}
	n.keys = append(n.keys, pair{word(key), v})
}

// child returns the mapping under key, made anew if it is none: what its word stands for where that stands for one.
func (n *node) child(key string, expand func(string) *node) *node {
	v := n.get(key)
	switch {
	case v != nil && v.kind == nodeMap:
		return v
	case v != nil && v.kind == nodeScalar && expand != nil:
		v = expand(v.text)
	default:
		v = object()
	}
	n.set(key, v)
	return v
}
