package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

// Read is a field of Query: a read of another interface. In is a struct whose fields have the tags path or query, Out
// the struct of its document; Do takes a pointer to an In.
type Read struct {
	Name, About string
	In, Out     reflect.Type
	Do          func(ctx context.Context, in any) (any, error)
}

// Link is a field that leads from a document of a type to a read: Arg of it is the document's field From.
type Link struct{ Type, Field, Read, Arg, From string }

// Schema is what can be asked. Use New.
type Schema struct {
	sdl   string
	ast   *ast.Schema
	reads map[string]Read // by "Type.field"
	given map[string]Link // of links, by "Type.field"
}

// New makes the schema of reads and of links between them. Error: a type that GraphQL has no form for, or a link to
// nowhere.
func New(reads []Read, links []Link) (*Schema, error) {
	s := &Schema{reads: map[string]Read{}, given: map[string]Link{}}
	b := builder{types: map[string]reflect.Type{}, text: map[string]string{}}
	byName, at := map[string]Read{}, map[string][]Link{}
	for _, r := range reads {
		byName[r.Name] = r
		s.reads["Query."+r.Name] = r
	}
	for _, l := range links {
		r, ok := byName[l.Read]
		if !ok {
			return nil, fmt.Errorf("link %s.%s leads to no read", l.Type, l.Field)
		}
		s.reads[l.Type+"."+l.Field], s.given[l.Type+"."+l.Field] = r, l
		at[l.Type] = append(at[l.Type], l)
	}
	var query strings.Builder
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		query.WriteString(b.root(byName[name], name, ""))
	}
	var out strings.Builder
	out.WriteString("scalar Long\n\nscalar Time\n\ntype Query {\n" + query.String() + "}\n")
	for _, name := range slices.Sorted(maps.Keys(b.text)) {
		out.WriteString("\ntype " + name + " {\n" + b.text[name])
		for _, l := range at[name] {
			out.WriteString(b.root(byName[l.Read], l.Field, l.Arg))
		}
		out.WriteString("}\n")
	}
	s.sdl = out.String()
	parsed, err := gqlparser.LoadSchema(&ast.Source{Name: "schema", Input: s.sdl})
	if b.err == nil && err != nil {
		b.err = fmt.Errorf("read own schema: %w", err)
	}
	s.ast = parsed
	return s, b.err
}

// SDL is the schema in GraphQL's own language.
func (s *Schema) SDL() string { return s.sdl }

// builder writes types.
type builder struct {
	types map[string]reflect.Type
	text  map[string]string
	err   error
}

// root is a field that reads; without is an argument that the document gives.
func (b *builder) root(r Read, name, without string) string {
	var args []string
	for _, p := range params(r.In) {
		if p.name == without {
			continue
		}
		a := p.name + ": " + p.kind
		if p.required {
			a += "!"
		}
		if p.preset != "" {
			if p.kind == "String" || p.kind == "Time" {
				a += fmt.Sprintf(" = %q", p.preset)
			} else {
				a += " = " + p.preset
			}
		}
		args = append(args, a)
	}
	list := ""
	if len(args) > 0 {
		list = "(" + strings.Join(args, ", ") + ")"
	}
	return fmt.Sprintf("  %q\n  %s%s: %s\n", r.About, name, list, b.object(r.Out))
}

// object writes a struct's type and returns its name.
func (b *builder) object(t reflect.Type) string {
	name := t.Name()
	if old, known := b.types[name]; known {
		if old != t {
			b.err = fmt.Errorf("two types are named %s: %s and %s", name, old, t)
		}
		return name
	}
	b.types[name] = t
	var out strings.Builder
	own := columns(t)
	page := slices.ContainsFunc(own, func(c column) bool { return c.name == "cursor" })
	for _, c := range own {
		out.WriteString("  " + c.name)
		kind := b.kind(c.t)
		if strings.HasPrefix(kind, "[") && !page {
			fmt.Fprintf(&out, "(first: Long = %d)", firstPreset)
		}
		out.WriteString(": " + kind)
		if !c.absent {
			out.WriteString("!")
		}
		out.WriteString("\n")
	}
	b.text[name] = out.String()
	return name
}

func (b *builder) kind(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	text := reflect.TypeFor[interface{ MarshalText() ([]byte, error) }]()
	switch {
	case t.ConvertibleTo(reflect.TypeFor[time.Time]()) || t.Name() == "Time" && t.Kind() == reflect.Struct:
		return "Time"
	case t == reflect.TypeFor[[]byte](), t.Kind() == reflect.String, t.Implements(text):
		return "String"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "Boolean"
	case reflect.Int64, reflect.Int, reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return "Long"
	case reflect.Float64:
		return "Float"
	case reflect.Slice:
		return "[" + b.kind(t.Elem()) + "!]"
	case reflect.Struct:
		return b.object(t)
	}
	b.err = fmt.Errorf("a field of type %s has no form in GraphQL", t)
	return "String"
}

// column is a field of a document.
type column struct {
	name   string
	t      reflect.Type
	absent bool // it may be
}

// columns are the fields of a document as encoding/json writes them.
func columns(t reflect.Type) (out []column) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			out = append(out, columns(f.Type)...)
		case name != "" && name != "-":
			out = append(out, column{name, f.Type,
				strings.Contains(rest, "omit") || f.Type.Kind() == reflect.Pointer})
		}
	}
	return out
}

// param is an argument of a read.
type param struct {
	name, kind, preset string
	required           bool
	field              reflect.StructField
	index              []int
}

func params(t reflect.Type) (out []param) {
	for _, f := range reflect.VisibleFields(t) {
		p := param{name: f.Tag.Get("query"), preset: f.Tag.Get("default"), field: f, index: f.Index,
			required: f.Tag.Get("required") == "true"}
		if path := f.Tag.Get("path"); path != "" {
			p.name, p.required = path, true
		}
		if p.name == "" {
			continue
		}
		switch {
		case f.Type == reflect.TypeFor[time.Time]():
			p.kind = "Time"
		case f.Type.Kind() == reflect.Bool:
			p.kind = "Boolean"
		case f.Type.Kind() == reflect.Int64 || f.Type.Kind() == reflect.Int:
			p.kind = "Long"
		default:
			p.kind = "String"
		}
		out = append(out, p)
	}
	return out
}

// bind makes the input of a read of arguments, by the rules that its tags say.
func bind(t reflect.Type, args map[string]any) (any, error) {
	in := reflect.New(t)
	for _, p := range params(t) {
		v, given := args[p.name]
		if !given || v == nil {
			if p.required {
				return nil, usage(p.name + " is missing")
			}
			if p.preset == "" {
				continue
			}
			v = json.Number(p.preset)
		}
		if err := p.set(in.Elem().FieldByIndex(p.index), v); err != nil {
			return nil, err
		}
	}
	return in.Interface(), nil
}

func (p param) set(to reflect.Value, v any) error {
	wrong := usage(p.name + " has the wrong type")
	switch p.kind {
	case "Long":
		n, ok := whole(v)
		if !ok {
			return wrong
		}
		if least, ok := whole(json.Number(p.field.Tag.Get("minimum"))); ok && n < least {
			return usage(fmt.Sprintf("%s is at least %d", p.name, least))
		}
		if most, ok := whole(json.Number(p.field.Tag.Get("maximum"))); ok && n > most {
			return usage(fmt.Sprintf("%s is at most %d", p.name, most))
		}
		to.SetInt(n)
	case "Boolean":
		b, ok := v.(bool)
		if !ok {
			return wrong
		}
		to.SetBool(b)
	default:
		s, ok := v.(string)
		if !ok {
			return wrong
		}
		if p.kind == "Time" {
			at, err := time.Parse(time.RFC3339, s)
			if err != nil {
				return wrong
			}
			to.Set(reflect.ValueOf(at))
			return nil
		}
		least, _ := whole(json.Number(p.field.Tag.Get("minLength"))) // none is 0
		most, bounded := whole(json.Number(p.field.Tag.Get("maxLength")))
		if !bounded {
			most = 256
		}
		if n := int64(len([]rune(s))); n < least || n > most {
			return usage(fmt.Sprintf("%s has %d to %d characters", p.name, least, most))
		}
		to.SetString(s)
	}
	return nil
}

// whole is a number without a fraction, in 64 bits.
func whole(v any) (int64, bool) {
	switch n := v.(type) {
	case int64:
		return n, true
	case json.Number:
		i, err := n.Int64()
		return i, err == nil
	case float64:
		i := int64(n)
		return i, float64(i) == n && n < 1<<53 && n > -(1<<53)
	}
	return 0, false
}
