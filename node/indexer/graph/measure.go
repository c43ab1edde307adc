package graph

import (
	"fmt"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/gpuai/gpuai/market"
)

// Bounds of a query. Introspection reads no rows and is deeper by nature.
const (
	MaxDepth    = 6
	MaxRows     = 1_000
	maxTokens   = 2_000
	maxFields   = 1_000 // fragments written out
	introDepth  = 13
	introTimes  = 2 // a type's fields within fields
	firstPreset = 20
	firstMost   = 200
	readRows    = 10 // what one read costs beside its rows
	pageRows    = 200
	maxValues   = 50_000 // in an answer
)

func usage(detail string) error {
	return &market.Error{Code: market.CodeBadUsage, Kind: market.KindInvalid, Op: "read query", Detail: detail,
		Hint: "the schema can be asked for: { __schema { types { name } } }"}
}

func costly(format string, a ...any) error {
	return &market.Error{Code: market.CodeTooLarge, Kind: market.KindInvalid, Op: "measure query",
		Detail: fmt.Sprintf(format, a...), Hint: "ask for less at a time, with first, limit and cursor"}
}

// size is how large a selection is once its fragments are written out.
type size struct{ fields, depth, intro int }

// sizer measures before anything else looks at a document: rules of validation take long for what is large. Each
// fragment is measured once.
type sizer struct {
	doc    *ast.QueryDocument
	done   map[string]size
	inside map[string]bool
}

func measure(doc *ast.QueryDocument) error {
	z := sizer{doc, map[string]size{}, map[string]bool{}}
	for _, op := range doc.Operations {
		got, err := z.selection(op.SelectionSet)
		if err != nil {
			return err
		}
		if got.depth > MaxDepth {
			return costly("it is %d fields deep, at most %d", got.depth, MaxDepth)
		}
	}
	for _, f := range doc.Fragments { // also those that nobody uses are validated
		if _, err := z.fragment(f.Name); err != nil {
			return err
		}
	}
	return nil
}

func (z *sizer) fragment(name string) (size, error) {
	if got, ok := z.done[name]; ok {
		return got, nil
	}
	def := z.doc.Fragments.ForName(name)
	if def == nil {
		return size{}, usage("a fragment is used that the query does not have")
	}
	if z.inside[name] {
		return size{}, usage("a fragment holds itself")
	}
	z.inside[name] = true
	got, err := z.selection(def.SelectionSet)
	z.done[name] = got
	return got, err
}

func (z *sizer) selection(set ast.SelectionSet) (all size, err error) {
	for _, one := range set {
		var in size
		switch s := one.(type) {
		case *ast.FragmentSpread:
			in, err = z.fragment(s.Name)
		case *ast.InlineFragment:
			in, err = z.selection(s.SelectionSet)
		case *ast.Field:
			if in, err = z.selection(s.SelectionSet); err == nil {
				in, err = z.field(s, in)
			}
		}
		if err != nil {
			return all, err
		}
		all.fields += in.fields
		all.depth, all.intro = max(all.depth, in.depth), max(all.intro, in.intro)
		if all.fields > maxFields {
			return all, costly("it has more than %d fields", maxFields)
		}
	}
	return all, nil
}

// field adds a field around what it holds.
func (z *sizer) field(f *ast.Field, in size) (size, error) {
	in.fields++
	in.depth++
	switch f.Name {
	case "fields", "inputFields", "possibleTypes", "interfaces":
		in.intro++
	case "__schema", "__type":
		if in.depth > introDepth || in.intro > introTimes {
			return in, costly("it asks for the schema within the schema")
		}
		in.depth = 1
	}
	return in, nil
}

// rows counts what a selection of a type may read and show, at the sizes that it asks for. page is the size of a list
// that has no size of its own.
func (r *run) rows(set ast.SelectionSet, page int64) (all int64, err error) {
	for _, one := range set {
		var in int64
		switch s := one.(type) {
		case *ast.FragmentSpread:
			in, err = r.rows(s.Definition.SelectionSet, page)
		case *ast.InlineFragment:
			in, err = r.rows(s.SelectionSet, page)
		case *ast.Field:
			in, err = r.fieldRows(s, page)
		}
		if err != nil {
			return all, err
		}
		if all += in; all > MaxRows { // it grows by at most the square of a bound between two looks
			return all, costly("it may read more than %d rows", MaxRows)
		}
	}
	return all, nil
}

func (r *run) fieldRows(f *ast.Field, page int64) (int64, error) {
	if f.ObjectDefinition == nil || f.Definition == nil || isIntro(f.Name) {
		return 0, nil
	}
	args, err := r.arguments(f)
	if err != nil {
		return 0, err
	}
	read, reads := r.schema.reads[f.ObjectDefinition.Name+"."+f.Name]
	own := int64(0)
	if reads {
		own, page = readRows, pageRows
		if limit, ok := whole(args["limit"]); ok {
			if limit < 1 || limit > pageRows {
				return 0, usage(fmt.Sprintf("limit is 1 to %d", pageRows))
			}
			page = limit
			own += limit
		}
		if f.ObjectDefinition.Name != "Query" {
			args[r.schema.given[f.ObjectDefinition.Name+"."+f.Name].Arg] = "" // the document will say
		}
		if _, err := bind(read.In, args); err != nil && f.ObjectDefinition.Name == "Query" {
			return 0, err
		}
	}
	times := int64(1)
	if f.Definition.Type.Elem != nil {
		if times, err = listSize(f, args, page); err != nil {
			return 0, err
		}
	}
	in, err := r.rows(f.SelectionSet, page)
	if f.Definition.Type.Elem != nil {
		in++
	}
	return own + times*in, err
}

// listSize is how many of a list are asked for.
func listSize(f *ast.Field, args map[string]any, page int64) (int64, error) {
	if f.Definition.Arguments.ForName("first") == nil {
		return page, nil
	}
	first, ok := whole(args["first"])
	if !ok || first < 0 || first > firstMost {
		return 0, usage(fmt.Sprintf("first is 0 to %d", firstMost))
	}
	return first, nil
}

func isIntro(name string) bool { return len(name) > 1 && name[:2] == "__" }
