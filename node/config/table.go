package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/gpuai/gpuai/market"
)

// Key is one row of the table of settings.
type Key struct {
	Name    string // "node.network"
	Env     string // "GPUAI_NODE_NETWORK"
	Default string // as text, "" = empty or by system
	Help    string
	Hot     bool // a running node takes it at once
	secret  bool // its addresses hold keys: Text shows scheme and host
	index   [2]int
}

// Keys returns the table in the order of the file.
func Keys() (out []Key) {
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		section := t.Field(i)
		for j := range section.Type.NumField() {
			f := section.Type.Field(j)
			name := section.Tag.Get("toml") + "." + f.Tag.Get("toml")
			out = append(out, Key{
				Name: name, Env: "GPUAI_" + strings.ToUpper(strings.ReplaceAll(name, ".", "_")),
				Default: f.Tag.Get("default"), Help: f.Tag.Get("help"), Hot: f.Tag.Get("hot") != "",
				secret: f.Tag.Get("secret") != "", index: [2]int{i, j},
			})
		}
	}
	return out
}

func find(name string) (Key, bool) {
	keys := Keys()
	i := slices.IndexFunc(keys, func(k Key) bool { return k.Name == name })
	if i < 0 {
		return Key{}, false
	}
	return keys[i], true
}

func (k Key) value(c *Config) reflect.Value {
	return reflect.ValueOf(c).Elem().Field(k.index[0]).Field(k.index[1])
}

// Text shows the key's value in c, as Set takes it but for endpoints, which hide their keys; lists are joined by
// commas, mappings are k=v pairs.
func (k Key) Text(c *Config) string {
	v := k.value(c)
	switch x := v.Interface().(type) {
	case fmt.Stringer:
		return x.String()
	case string:
		if scheme, _, ok := strings.Cut(x, "://"); ok && k.secret {
			return scheme + "://…"
		}
	case []string:
		if k.secret {
			return Shown(x)
		}
		return strings.Join(x, ",")
	case map[string]string:
		pairs := make([]string, 0, len(x))
		for name, s := range x {
			pairs = append(pairs, name+"="+s)
		}
		sort.Strings(pairs)
		return strings.Join(pairs, ",")
	}
	return fmt.Sprint(v.Interface())
}

// set parses text into the key's field.
func (k Key) set(c *Config, text string) error {
	v := k.value(c)
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch p := v.Addr().Interface().(type) {
	case *string:
		*p = text
	case *bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		*p = b
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is no whole number", text)
		}
		*p = n
	case *[]string:
		*p = split(text)
	case *map[string]string:
		*p = map[string]string{}
		for _, pair := range split(text) {
			name, s, ok := strings.Cut(pair, "=")
			if !ok {
				return fmt.Errorf("%q is no pair, write name=value", pair)
			}
			(*p)[strings.TrimSpace(name)] = strings.TrimSpace(s)
		}
	default:
		return fmt.Errorf("field of type %s has no text form", v.Type())
	}
	return nil
}

func split(text string) []string {
	out := []string{}
	text = strings.TrimSpace(text)
	if text == "[]" || strings.HasPrefix(text, `["`) && strings.HasSuffix(text, `"]`) { // as the file writes a list
		text = text[1 : len(text)-1]
	}
	for s := range strings.SplitSeq(text, ",") {
		if s = strings.Trim(strings.TrimSpace(s), `"`); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// literal writes the key's value in c as TOML.
func (k Key) literal(c *Config) string {
	switch x := k.value(c).Interface().(type) {
	case bool, int:
		return fmt.Sprint(x)
	case []string:
		quoted := make([]string, len(x))
		for i, s := range x {
			quoted[i] = quote(s)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	case map[string]string:
		pairs := make([]string, 0, len(x))
		for name, s := range x {
			pairs = append(pairs, quote(name)+" = "+quote(s))
		}
		sort.Strings(pairs)
		return "{ " + strings.Join(pairs, ", ") + " }"
	}
	return quote(k.Text(c))
}

// quote writes a TOML basic string; strconv.Quote would write \x escapes, which TOML lacks.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// Example returns a commented file with every key at its default.
func Example() string {
	var c Config
	_ = c.defaults() // tested: every default parses
	var b strings.Builder
	b.WriteString("# Settings of a GPU AI node. Every line that starts with #key is a default; remove the # to " +
		"change it.\n")
	section := ""
	for _, k := range Keys() {
		s, name, _ := strings.Cut(k.Name, ".")
		if s != section {
			fmt.Fprintf(&b, "\n[%s]\n", s)
			section = s
		}
		fmt.Fprintf(&b, "# %s\n#%s = %s\n", k.Help, name, k.literal(&c))
	}
	return b.String()
}

// DidYouMean is "; did you mean KEY?" for a name that is near to a key, else empty.
func DidYouMean(name string) string {
	if n := nearest(name); n != "" {
		return "; did you mean " + n + "?"
	}
	return ""
}

// nearest returns the known key that a misspelt one probably means, "" if none is near.
func nearest(name string) string {
	var names []string
	for _, k := range Keys() {
		names = append(names, k.Name)
	}
	return market.Nearest(name, names, len(name)/2)
}
