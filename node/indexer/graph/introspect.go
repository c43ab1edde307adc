package graph

import (
	"maps"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
)

// The schema as its own documents. What leads on is a function: types lead to each other.

func introSchema(s *ast.Schema) map[string]any {
	return map[string]any{
		"description": nil, "queryType": introType(s, s.Query), "mutationType": nil, "subscriptionType": nil,
		"types": func() any {
			out := []any{}
			for _, name := range slices.Sorted(maps.Keys(s.Types)) {
				out = append(out, introType(s, s.Types[name]))
			}
			return out
		},
		"directives": func() any {
			out := []any{}
			for _, name := range slices.Sorted(maps.Keys(s.Directives)) {
				d := s.Directives[name]
				at := []any{}
				for _, l := range d.Locations {
					at = append(at, string(l))
				}
				out = append(out, map[string]any{"name": d.Name, "description": text(d.Description), "locations": at,
					"isRepeatable": d.IsRepeatable, "args": func() any { return introArgs(s, d.Arguments) }})
			}
			return out
		},
	}
}

// introType is nil, which is null, for no type.
func introType(s *ast.Schema, d *ast.Definition) any {
	if d == nil {
		return nil
	}
	out := map[string]any{"kind": string(d.Kind), "name": d.Name, "description": text(d.Description), "fields": nil,
		"interfaces": nil, "possibleTypes": nil, "enumValues": nil, "inputFields": nil, "ofType": nil,
		"specifiedByURL": nil, "isOneOf": nil}
	switch d.Kind {
	case ast.Object:
		out["interfaces"] = []any{}
		out["fields"] = func() any {
			list := []any{}
			for _, f := range d.Fields {
				if isIntro(f.Name) {
					continue
				}
				list = append(list, map[string]any{"name": f.Name, "description": text(f.Description),
					"isDeprecated": false, "deprecationReason": nil,
					"args": func() any { return introArgs(s, f.Arguments) },
					"type": func() any { return introRef(s, f.Type) }})
			}
			return list
		}
	case ast.Enum:
		out["enumValues"] = func() any {
			list := []any{}
			for _, v := range d.EnumValues {
				list = append(list, map[string]any{"name": v.Name, "description": text(v.Description),
					"isDeprecated": false, "deprecationReason": nil})
			}
			return list
		}
	}
	return out
}

func introArgs(s *ast.Schema, list ast.ArgumentDefinitionList) any {
	out := []any{}
	for _, a := range list {
		var preset any
		if a.DefaultValue != nil {
			preset = a.DefaultValue.String()
		}
		out = append(out, map[string]any{"name": a.Name, "description": text(a.Description), "defaultValue": preset,
			"isDeprecated": false, "deprecationReason": nil, "type": func() any { return introRef(s, a.Type) }})
	}
	return out
}

// introRef is a type as it is used: with its lists and its "!".
func introRef(s *ast.Schema, t *ast.Type) any {
	wrap := func(kind string, of any) any {
		return map[string]any{"kind": kind, "name": nil, "description": nil, "fields": nil, "interfaces": nil,
			"possibleTypes": nil, "enumValues": nil, "inputFields": nil, "specifiedByURL": nil, "ofType": of,
			"isOneOf": nil}
	}
	switch {
	case t.NonNull:
		bare := *t
		bare.NonNull = false
		return wrap("NON_NULL", introRef(s, &bare))
	case t.Elem != nil:
		return wrap("LIST", introRef(s, t.Elem))
	}
	return introType(s, s.Types[t.NamedType])
}

func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}
