package spec

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
)

// value is how the value of a key is read, written and described. Reading keeps what it understood also where it adds
// a fault: a row of the store may hold what a later version refuses.
type value struct {
	want   string // what it may be, for people
	schema func() schema
	read   func(d *decoder, n *node, at string)
	write  func() *node // nil: it has none

	keys   []key                                              // of a mapping, or of each item of a list
	many   bool                                               // its flag may be given more than once
	set    func(in *node, name string, flags []string) *Fault // nil: the flag's word is the value
	expand func(text string) *node                            // the mapping that a single word stands for
}

// scalar is a value of one word; parse gets it as written.
func scalar(want string, s schema, write func() *node, parse func(string) *Fault) value {
	return value{want: want, write: write, schema: func() schema { return s }, read: each(parse)}
}

// each reads a single word.
func each(parse func(string) *Fault) func(*decoder, *node, string) {
	return func(d *decoder, n *node, at string) {
		if n.kind != nodeScalar {
			d.add(n, at, &Fault{Code: market.CodeSpecType, Got: kindWord(n), Want: "a single value"})
			return
		}
		d.add(n, at, parse(n.text))
	}
}

func text(to *string, want, pattern string, check func(string) *Fault) value {
	s := schema{"type": "string", "minLength": 1}
	if pattern != "" {
		s = schema{"type": "string", "pattern": pattern}
	}
	return scalar(want, s, func() *node { return wordOf(*to) }, func(s string) *Fault { *to = s; return check(s) })
}

func oneOf(to *string, list ...string) value {
	return scalar(strings.Join(list, ", "), schema{"enum": list}, func() *node { return wordOf(*to) },
		func(s string) *Fault { *to = s; return checkOneOf(s, list...) })
}

func outOf(got, want string) *Fault {
	return &Fault{Code: market.CodeSpecRange, Got: cut(got, 40), Want: want}
}

func size(to *uint64, lo, hi uint64, want string) value {
	s := schema{"type": "string", "pattern": `^[0-9]+(\.[0-9]+)?(KiB|MiB|GiB|TiB|kB|KB|MB|GB|TB|B)$`}
	return scalar(want, s, func() *node { return exactly(*to, bytesScale) }, func(s string) *Fault {
		v, err := market.ParseBytes(s)
		if err != nil {
			return unitFault(s)
		}
		if *to = v; v < lo || v > hi {
			return outOf(s, want)
		}
		return nil
	})
}

// unit is a step of a scale: so many of the one before.
type unit struct {
	of   uint64
	name string
}

var (
	bytesScale = []unit{{1, "B"}, {1024, "KiB"}, {1024, "MiB"}, {1024, "GiB"}, {1024, "TiB"}}
	timeScale  = []unit{{1, "ms"}, {1000, "s"}, {60, "m"}, {60, "h"}, {24, "d"}}
)

// exactly writes a number in the largest unit of its scale that stays exact, as in 16GiB or 90s.
func exactly(v uint64, scale []unit) *node {
	name := ""
	for _, u := range scale {
		if v == 0 && name != "" || v%u.of != 0 {
			break
		}
		v, name = v/u.of, u.name
	}
	return word(strconv.FormatUint(v, 10) + name)
}

func duration(to *time.Duration, lo, hi time.Duration, want string) value {
	s := schema{"type": "string", "pattern": `^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$`}
	write := func() *node { return exactly(uint64(max(to.Milliseconds(), 0)), timeScale) }
	return scalar(want, s, write, func(s string) *Fault {
		ms, err := market.ParseMillis(s)
		switch {
		case errors.Is(err, market.ErrUnit) && strings.Trim(s, "0123456789.") == "":
			return &Fault{Code: market.CodeSpecUnit, Got: s, Want: fmt.Sprintf("%q has no unit", cut(s, 20)),
				Fix: fmt.Sprintf("write %ss or %sm", cut(s, 20), cut(s, 20))}
		case err != nil:
			return &Fault{Code: market.CodeSpecFormat, Got: cut(s, 40), Want: "a duration as in 90s, 2h or 7d"}
		case ms > maxMillis:
			return outOf(s, want)
		}
		if *to = time.Duration(ms) * time.Millisecond; *to < lo || *to > hi {
			return outOf(s, want)
		}
		return nil
	})
}

const maxMillis = uint64(1<<63-1) / uint64(time.Millisecond)

func count(to *int, lo, hi int, want string) value {
	s := schema{"type": []string{"integer", "string"}, "minimum": lo, "maximum": hi, "pattern": "^[0-9]{1,6}$"}
	return scalar(want, s, func() *node { return number(strconv.Itoa(max(*to, lo))) }, func(s string) *Fault {
		n, ok := parseCount(s, lo, hi)
		if *to = n; !ok {
			return outOf(cut(s, 20), want)
		}
		return nil
	})
}

func cores(to *uint32) value {
	const want = "0.1 to 1024 cores, without a unit"
	s := schema{"type": []string{"number", "string"}, "minimum": 0.1, "maximum": 1024,
		"pattern": `^[0-9]+(\.[0-9]+)?$`}
	write := func() *node { return number(market.FormatValue(market.FieldCPU, uint64(*to))) }
	return scalar(want, s, write, func(s string) *Fault {
		v, err := market.ParseValue(market.FieldCPU, s)
		if err != nil || v > 1024_000 {
			return outOf(cut(s, 20), want)
		}
		if *to = uint32(v); v < minCPU {
			return outOf(cut(s, 20), want)
		}
		return nil
	})
}

func egress(to *uint8) value {
	info, _ := market.FieldEgress.Info()
	var list []string
	for _, w := range info.Words {
		list = append(list, w.Name)
	}
	write := func() *node {
		if *to == 0 {
			return nil
		}
		return word(market.FormatValue(market.FieldEgress, uint64(*to)))
	}
	return scalar(strings.Join(list, ", "), schema{"enum": list}, write, func(s string) *Fault {
		v, err := market.ParseValue(market.FieldEgress, s)
		if err != nil {
			return checkOneOf(s, list...)
		}
		*to = uint8(v)
		return nil
	})
}

// money is a number of SOL; as text it keeps all its places.
func money(pattern string) schema {
	return schema{"type": []string{"string", "number"}, "pattern": pattern}
}

func rate(to *market.Rate) value {
	const want = "SOL per GPU hour as in 0.003/h"
	write := func() *node {
		if *to == 0 {
			return nil
		}
		return word(market.Amount(*to).SOL() + "/h")
	}
	return scalar(want, money(`^[0-9]*(\.[0-9]*)?(/h)?$`), write, func(s string) *Fault {
		v, err := market.ParseRateSOL(s)
		if *to = v; err != nil || v == 0 {
			return &Fault{Code: market.CodeSpecFormat, Got: cut(s, 40), Want: want}
		}
		return nil
	})
}

func amount(to *market.Amount) value {
	const want = "SOL as in 0.02"
	write := func() *node {
		if *to == 0 {
			return nil
		}
		return word(to.SOL())
	}
	return scalar(want, money(`^[0-9]*(\.[0-9]*)?$`), write, func(s string) *Fault {
		v, err := market.ParseSOL(s)
		if *to = v; err != nil || v == 0 {
			return &Fault{Code: market.CodeSpecFormat, Got: cut(s, 40), Want: want}
		}
		return nil
	})
}

func localPath(to *string) value {
	const want = "a local path of at most 1024 bytes"
	s := schema{"type": "string", "minLength": 1, "maxLength": maxPathBytes}
	return scalar(want, s, func() *node { return wordOf(*to) }, func(v string) *Fault {
		if *to = v; v == "" || len(v) > maxPathBytes {
			return &Fault{Code: market.CodeSpecPath, Got: cut(v, 64), Want: want}
		}
		return nil
	})
}

func inWorkspace(to *string) value {
	return text(to, "a path under /workspace", "^"+Workspace+"(/|$)", checkWorkspace)
}

func terms(to *[]market.Term) value {
	write := func() *node {
		texts := make([]string, len(*to))
		for i, t := range *to {
			texts[i] = t.String()
		}
		return wordOf(strings.Join(texts, ", "))
	}
	return scalar("terms as in vram >= 24GiB", schema{"type": "string"}, write, func(s string) *Fault {
		list, err := market.ParseTerms(s)
		if err != nil {
			return &Fault{Code: market.CodeSpecFormat,
				Want: fmt.Sprintf("terms as in vram >= 24GiB (%s)", cut(err.Error(), 160))}
		}
		*to = list
		return nil
	})
}

// ranking is what rigs are sorted by; by price goes without saying.
func ranking(to *market.Sort) value {
	write := func() *node {
		if *to == (market.Sort{}) {
			return nil
		}
		return word(to.String())
	}
	return scalar(market.WantSort, schema{"type": "string", "minLength": 1}, write, func(s string) *Fault {
		by, err := market.ParseSort(s)
		if *to = by; err != nil {
			var e *market.Error
			errors.As(err, &e) // it always is one
			return &Fault{Code: market.CodeSpecFormat, Got: cut(s, 40), Want: market.WantSort, Fix: e.Hint}
		}
		return nil
	})
}

// minimum is a term ">= value" of a device field.
func minimum(to *[]market.Term, field market.FieldID) value {
	is := func(t market.Term) bool { return t.Field == field }
	write := func() *node {
		i := slices.IndexFunc(*to, is)
		if i < 0 {
			return nil
		}
		return word(market.FormatValue(field, (*to)[i].Lo))
	}
	want, s := "a version as in 12.4", schema{"type": []string{"string", "number"}}
	if field == market.FieldVRAM {
		want, s = "a size as in 24GiB", schema{"type": "string"}
	}
	return scalar(want, s, write, func(s string) *Fault {
		list, err := market.ParseTerms(field.String() + " >= " + s)
		if err != nil || len(list) != 1 || list[0].Soft {
			if field == market.FieldVRAM {
				return unitFault(s)
			}
			return &Fault{Code: market.CodeSpecFormat, Got: cut(s, 40), Want: want}
		}
		*to = append(slices.DeleteFunc(*to, is), list[0])
		return nil
	})
}

// list is a list of single words; one word alone stands for a list of one where one is true.
func list(limit int, one bool, item value, write func() []string) value {
	v := value{
		want: fmt.Sprintf("at most %d, each %s", limit, item.want), many: true,
		schema: func() schema {
			s := schema{"type": "array", "maxItems": limit, "items": item.schema()}
			if one {
				s = schema{"anyOf": []schema{s, item.schema()}}
			}
			return s
		},
		read: func(d *decoder, n *node, at string) { d.list(n, at, limit, one, item.read) },
		write: func() *node {
			if w := write(); len(w) > 0 {
				return wordList(w)
			}
			return nil
		},
	}
	v.set = func(in *node, name string, flags []string) *Fault { in.set(name, wordList(flags)); return nil }
	return v
}

func phrase(to *[]string, limit int) value {
	item := scalar("a word of at most 8 KiB", schema{"type": []string{"string", "number", "boolean"}}, nil,
		func(s string) *Fault { *to = append(*to, s); return checkWords([]string{s}) })
	return list(limit, false, item, func() []string { return *to })
}

func models(to *[]string) value {
	const want = "a model without a count"
	item := scalar(want, schema{"type": "string"}, nil, func(s string) *Fault {
		one, fault := parseGPU(s)
		if fault == nil && (one.None || one.Count != 1) {
			fault = &Fault{Code: market.CodeSpecFormat, Got: cut(s, 40), Want: want}
		}
		*to = append(*to, one.AnyOf...)
		return fault
	})
	return list(market.MaxTermValues, true, item, func() []string { return *to })
}

func nodes(to *[]market.NodeID, limit int) value {
	const want = "a node id, 12D3KooW…"
	item := scalar(want, schema{"type": "string"}, nil, func(s string) *Fault {
		id, err := market.ParseNodeID(s)
		if err != nil {
			return &Fault{Code: market.CodeSpecFormat, Got: cut(s, 64), Want: want}
		}
		*to = append(*to, id)
		return nil
	})
	return list(limit, true, item, func() (out []string) {
		for _, id := range *to {
			out = append(out, id.String())
		}
		return out
	})
}

// pairs is a mapping of free names and values.
func pairs(to *map[string]string, limit int, check func(k, v string) *Fault) value {
	return value{
		want: fmt.Sprintf("at most %d names and values", limit), many: true,
		schema: func() schema {
			return schema{"type": "object", "maxProperties": limit,
				"additionalProperties": schema{"type": []string{"string", "number", "boolean", "null"}}}
		},
		read: func(d *decoder, n *node, at string) { d.pairs(n, at, to, limit, check) },
		write: func() *node {
			if len(*to) == 0 {
				return nil
			}
			n := object()
			for _, k := range slices.Sorted(maps.Keys(*to)) {
				n.set(k, word((*to)[k]))
			}
			return n
		},
		set: func(in *node, name string, flags []string) *Fault {
			for _, s := range flags {
				k, v, ok := strings.Cut(s, "=")
				if !ok {
					return &Fault{Code: market.CodeSpecFormat, Got: cut(s, 40), Want: "NAME=VALUE",
						Fix: "write " + cut(s, 40) + "=… with its value"}
				}
				in.child(name, nil).set(k, word(v))
			}
			return nil
		},
	}
}

// mapping is a value of keys of its own.
func mapping(keys ...key) value {
	return value{
		want: "a mapping", keys: keys,
		schema: func() schema { return objectSchema(keys) },
		read:   func(d *decoder, n *node, at string) { d.object(n, at, keys) },
		write:  func() *node { return writeKeys(keys) },
	}
}

// items is a list of mappings. Each starts as blank and has the keys of need; split reads one from the word of a flag.
func items[T any](to *[]T, limit int, blank T, keys func(*T) []key, split func(string) (*node, *Fault),
	need ...string) value {
	shown := blank
	return value{
		want: fmt.Sprintf("at most %d", limit), many: true, keys: keys(&shown),
		schema: func() schema {
			one := objectSchema(keys(&shown))
			one["required"] = need
			return schema{"type": "array", "maxItems": limit, "items": one}
		},
		read: func(d *decoder, n *node, at string) {
			d.list(n, at, limit, false, func(d *decoder, n *node, at string) {
				x := blank
				table := keys(&x)
				d.object(n, at, table)
				if slices.ContainsFunc(table, func(k key) bool {
					return slices.Contains(need, k.name) && k.value.write() == nil && !d.has(at+"."+k.name)
				}) {
					d.add(n, at, &Fault{Code: market.CodeSpecRequired, Want: strings.Join(need, " and ")})
				}
				*to = append(*to, x)
			})
		},
		write: func() *node {
			if len(*to) == 0 {
				return nil
			}
			out := &node{kind: nodeList}
			for i := range *to {
				out.list = append(out.list, writeKeys(keys(&(*to)[i])))
			}
			return out
		},
		set: func(in *node, name string, flags []string) *Fault {
			out := &node{kind: nodeList}
			for _, s := range flags {
				n, fault := split(s)
				if fault != nil {
					return fault
				}
				out.list = append(out.list, n)
			}
			in.set(name, out)
			return nil
		},
	}
}
