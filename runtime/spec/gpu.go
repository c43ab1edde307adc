package spec

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/gpuai/gpuai/market"
)

// GPU says which devices: none, any of some classes, or any with minimums. Terms hold vram, cuda and cc.
type GPU struct {
	None  bool
	AnyOf []string // classes, empty = any
	Count int
	Terms []market.Term
}

// value is "rtx-4090:2" or a mapping.
func (g *GPU) value() value {
	v := mapping(g.keys()...)
	one := scalar("none, any, MODEL or MODEL:COUNT", schema{"type": "string", "minLength": 1}, g.word,
		func(s string) (fault *Fault) { *g, fault = parseGPU(s); return fault })
	all := v
	v.want = one.want + ", or a mapping"
	v.many = true
	v.schema = func() schema { return schema{"anyOf": []schema{one.schema(), all.schema()}} }
	v.read = func(d *decoder, n *node, at string) {
		if n.kind == nodeScalar {
			one.read(d, n, at)
			return
		}
		*g = GPU{Count: 1}
		all.read(d, n, at)
	}
	v.write = func() *node {
		if n := one.write(); n != nil {
			return n
		}
		return all.write()
	}
	v.expand = expandGPU
	v.set = func(in *node, name string, flags []string) *Fault {
		if len(flags) == 1 {
			in.set(name, word(flags[0]))
			return nil
		}
		m, models := in.child(name, expandGPU), &node{kind: nodeList}
		for _, s := range flags {
			one := expandGPU(s)
			for _, p := range one.keys {
				if p.key.text == "any_of" {
					models.list = append(models.list, p.value.list...)
					continue
				}
				m.set(p.key.text, p.value)
			}
		}
		m.set("any_of", models)
		return nil
	}
	return v
}

// word is the short form; nil where it does not say all.
func (g *GPU) word() *node {
	switch {
	case g.None:
		return word("none")
	case len(g.Terms) > 0 || len(g.AnyOf) > 1:
		return nil
	}
	s := "any"
	if len(g.AnyOf) == 1 {
		s = g.AnyOf[0]
	}
	if g.Count > 1 {
		s += ":" + strconv.Itoa(g.Count)
	}
	return word(s)
}

// expandGPU is the mapping that "rtx-4090:2" stands for.
func expandGPU(s string) *node {
	model, n, _ := strings.Cut(s, ":")
	m := object()
	if model != "any" {
		m.set("any_of", wordList([]string{model}))
	}
	if n != "" {
		m.set("count", word(n))
	}
	return m
}

// parseGPU reads "none", "any", "MODEL" or "MODEL:COUNT".
func parseGPU(s string) (GPU, *Fault) {
	model, n, counted := strings.Cut(s, ":")
	g := GPU{Count: 1}
	if counted {
		count, ok := parseCount(n, 1, market.MaxDevices)
		if !ok {
			return g, &Fault{Code: market.CodeSpecRange, Got: cut(n, 20), Want: "1 to 64 GPUs",
				Fix: "write it as in rtx-4090:2"}
		}
		g.Count = count
	}
	switch model {
	case "none":
		if counted {
			return g, &Fault{Code: market.CodeSpecConflict, Got: s, Want: "none without a count"}
		}
		return GPU{None: true}, nil
	case "any":
		return g, nil
	case "":
		return g, &Fault{Code: market.CodeSpecFormat, Got: s, Want: "none, any, or a model as in rtx-4090:2"}
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

// shortUnit is a size as Docker and Kubernetes write it: 4g, 512Mi.
var shortUnit = regexp.MustCompile(`^([0-9]{1,9})([kKmMgGtT])(?:i|b)?$`)

func unitFault(text string) *Fault {
	if strings.Trim(text, "0123456789.") == "" && text != "" {
		return &Fault{Code: market.CodeSpecUnit, Got: text, Want: fmt.Sprintf("%q has no unit", cut(text, 20)),
			Fix: fmt.Sprintf("write %sGB or %sGiB", cut(text, 20), cut(text, 20))}
	}
	f := &Fault{Code: market.CodeSpecFormat, Got: cut(text, 40), Want: "a size as in 24GiB"}
	if m := shortUnit.FindStringSubmatch(text); m != nil {
		f.Fix = "write " + m[1] + strings.ToUpper(m[2]) + "iB"
	}
	return f
}
