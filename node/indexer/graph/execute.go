package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
)

// within is the longest that a query may take.
const within = 5 * time.Second

// Request is one query.
type Request struct {
	Query, Operation string // Operation may be empty if there is one only
	Variables        map[string]any
}

// Answer is data, or an error, or both: what could not be read is null, and Errors says why.
type Answer struct {
	Data   json.RawMessage // nil: nothing was executed
	Errors []Fault
}

// Fault is one error. Err is what our own errors are, nil for a query that GraphQL's rules refuse.
type Fault struct {
	Message      string
	Line, Column int
	Path         []any // names, and places in lists
	Err          error
}

// maxMessage is how much of a message is told: it may repeat the query.
const maxMessage = 300

func fault(err error) Fault {
	f := Fault{Message: err.Error(), Err: err}
	var g *gqlerror.Error
	if errors.As(err, &g) {
		f.Message, f.Err = g.Message, usage("the query is none of the schema")
		if len(g.Locations) > 0 {
			f.Line, f.Column = g.Locations[0].Line, g.Locations[0].Column
		}
	}
	if len(f.Message) > maxMessage {
		f.Message = string([]rune(f.Message[:maxMessage-4])[:maxMessage/4]) + "…"
	}
	return f
}

// run is one execution.
type run struct {
	schema *Schema
	vars   map[string]any
	known  map[string]any // documents that were read, by read and arguments
	values int
	faults []Fault
}

// Do answers a query.
func (s *Schema) Do(ctx context.Context, q Request) (out Answer) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	op, r, faults := s.prepare(q)
	if len(faults) > 0 {
		return Answer{Errors: faults}
	}
	var b bytes.Buffer
	err := r.object(ctx, &b, s.ast.Query, op.SelectionSet, nil, nil)
	if err != nil {
		return Answer{Errors: []Fault{fault(err)}}
	}
	return Answer{b.Bytes(), r.faults}
}

// prepare reads, measures and validates a query.
func (s *Schema) prepare(q Request) (op *ast.OperationDefinition, r *run, faults []Fault) {
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: q.Query}, maxTokens)
	if err == nil {
		err = measure(doc)
	}
	if err != nil {
		return nil, nil, []Fault{fault(err)}
	}
	if list := validator.ValidateWithRules(s.ast, doc, nil); len(list) > 0 {
		for _, e := range list[:min(len(list), 5)] {
			faults = append(faults, fault(e))
		}
		return nil, nil, faults
	}
	if op = doc.Operations.ForName(q.Operation); op == nil || op.Operation != ast.Query {
		return nil, nil, []Fault{fault(usage("there is no such query in it, or several and none is named"))}
	}
	vars, err := validator.VariableValues(s.ast, op, q.Variables)
	if err != nil {
		return nil, nil, []Fault{fault(err)}
	}
	r = &run{schema: s, vars: vars, known: map[string]any{}}
	if _, err := r.rows(op.SelectionSet, pageRows); err != nil {
		return nil, nil, []Fault{fault(err)}
	}
	return op, r, nil
}

// arguments are those of a field, with their presets.
func (r *run) arguments(f *ast.Field) (map[string]any, error) {
	out := map[string]any{}
	for _, d := range f.Definition.Arguments {
		v := d.DefaultValue
		if a := f.Arguments.ForName(d.Name); a != nil {
			if _, set := r.vars[a.Value.Raw]; a.Value.Kind != ast.Variable || set {
				v = a.Value
			}
		}
		if v == nil {
			continue
		}
		got, err := v.Value(r.vars)
		if err != nil {
			return nil, usage(d.Name + " has the wrong type")
		}
		out[d.Name] = got
	}
	return out, nil
}

// collected are fields of one answer's name, in the order of the query.
type collected struct {
	name   string
	fields []*ast.Field
}

func (r *run) collect(set ast.SelectionSet, into []collected) []collected {
	for _, one := range set {
		switch s := one.(type) {
		case *ast.FragmentSpread:
			if r.wanted(s.Directives) {
				into = r.collect(s.Definition.SelectionSet, into)
			}
		case *ast.InlineFragment:
			if r.wanted(s.Directives) {
				into = r.collect(s.SelectionSet, into)
			}
		case *ast.Field:
			if !r.wanted(s.Directives) {
				continue
			}
			i := slices.IndexFunc(into, func(c collected) bool { return c.name == s.Alias })
			if i < 0 {
				into = append(into, collected{name: s.Alias})
				i = len(into) - 1
			}
			into[i].fields = append(into[i].fields, s)
		}
	}
	return into
}

// wanted asks the directives skip and include.
func (r *run) wanted(list ast.DirectiveList) bool {
	is := func(name string) (value, has bool) {
		d := list.ForName(name)
		if d == nil || d.Arguments.ForName("if") == nil {
			return false, false
		}
		v, err := d.Arguments.ForName("if").Value.Value(r.vars)
		b, ok := v.(bool)
		return b, err == nil && ok
	}
	skip, has := is("skip")
	include, has2 := is("include")
	return !(has && skip) && (!has2 || include)
}

// object writes the fields of a document.
func (r *run) object(ctx context.Context, b *bytes.Buffer, t *ast.Definition, set ast.SelectionSet,
	doc map[string]any, path []any) error {
	b.WriteByte('{')
	for i, c := range r.collect(set, nil) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(quoted(c.name) + ":")
		if err := r.field(ctx, b, t, c, doc, append(path[:len(path):len(path)], c.name)); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}

func (r *run) field(ctx context.Context, b *bytes.Buffer, t *ast.Definition, c collected, doc map[string]any,
	path []any) error {
	f := c.fields[0]
	if f.Name == "__typename" {
		return r.value(ctx, b, c, t.Name, path)
	}
	args, err := r.arguments(f)
	if err != nil {
		return err
	}
	var v any
	read, reads := r.schema.reads[t.Name+"."+f.Name]
	switch {
	case f.Name == "__schema":
		v = introSchema(r.schema.ast)
	case f.Name == "__type":
		name, _ := args["name"].(string)
		v = introType(r.schema.ast, r.schema.ast.Types[name])
	case reads:
		if link, ok := r.schema.given[t.Name+"."+f.Name]; ok {
			args[link.Arg] = doc[link.From]
		}
		if v, err = r.read(ctx, read, args); err != nil {
			if ctx.Err() != nil {
				return err
			}
			g := fault(err)
			g.Path = slices.Clone(path)
			if f.Position != nil {
				g.Line, g.Column = f.Position.Line, f.Position.Column
			}
			r.faults = append(r.faults, g)
			v = nil
		}
	default:
		v = doc[f.Name]
		if lazy, ok := v.(func() any); ok {
			v = lazy()
		}
	}
	if list, ok := v.([]any); ok && f.Definition.Arguments.ForName("first") != nil {
		if first, ok := whole(args["first"]); ok && int64(len(list)) > first {
			v = list[:first]
		}
	}
	return r.value(ctx, b, c, v, path)
}

// read asks once for each document of a query.
func (r *run) read(ctx context.Context, read Read, args map[string]any) (any, error) {
	key := read.Name
	for _, k := range slices.Sorted(maps.Keys(args)) {
		key += fmt.Sprintf(" %s=%q", k, fmt.Sprint(args[k]))
	}
	if doc, ok := r.known[key]; ok {
		return doc, nil
	}
	in, err := bind(read.In, args)
	if err != nil {
		return nil, err
	}
	doc, err := read.Do(ctx, in)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("tell a document: %w", err)
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("read a document: %w", err)
	}
	r.known[key] = v
	return v, nil
}

// value writes what a field has. A list's places are part of the path.
func (r *run) value(ctx context.Context, b *bytes.Buffer, c collected, v any, path []any) error {
	if r.values++; r.values > maxValues {
		return costly("its answer has more than %d values", maxValues)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("answer query: %w", ctx.Err())
	}
	switch v := v.(type) {
	case map[string]any:
		var set ast.SelectionSet
		for _, f := range c.fields {
			set = append(set, f.SelectionSet...)
		}
		return r.object(ctx, b, r.schema.ast.Types[c.fields[0].Definition.Type.Name()], set, v, path)
	case []any:
		b.WriteByte('[')
		for i, one := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := r.value(ctx, b, c, one, append(path[:len(path):len(path)], i)); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	default:
		text, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("tell a value: %w", err)
		}
		b.Write(text)
	}
	return nil
}

func quoted(s string) string { return `"` + s + `"` } // names have letters, digits and _ only
