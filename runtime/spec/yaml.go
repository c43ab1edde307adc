package spec

import (
	"errors"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/gpuai/gpuai/market"
)

const maxNesting = 16

// node is a job file's tree without YAML: scalars as written, with their place. Flags make the same tree without
// places.
type node struct {
	kind         nodeKind
	text         string // scalar
	quoted       bool
	list         []*node
	keys         []pair
	line, column int
}

type nodeKind uint8

const (
	nodeScalar nodeKind = iota + 1
	nodeList
	nodeMap
	nodeNull
)

type pair struct {
	key   *node
	value *node
}

// parseTree reads YAML or JSON. Aliases, anchors, tags and merge keys are refused before anything is expanded, and
// nesting before anything recurses.
func parseTree(raw []byte) (*node, *Fault) {
	if len(raw) > MaxFileBytes {
		return nil, &Fault{Code: market.CodeSpecSize, Want: "the file is larger than 256 KiB"}
	}
	tokens := lexer.Tokenize(string(raw))
	if f := checkTokens(tokens); f != nil {
		return nil, f
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		return nil, syntaxFault(err)
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return nil, &Fault{Code: market.CodeSpecSyntax, Want: "the file must be one document with the job's keys"}
	}
	return convert(file.Docs[0].Body, 0)
}

func checkTokens(tokens token.Tokens) *Fault {
	flow, line, dashes := 0, 0, 0
	for _, t := range tokens {
		if t.Position == nil {
			continue
		}
		at := func(code market.Code, want string) *Fault {
			return &Fault{Code: code, Line: t.Position.Line, Column: t.Position.Column, Got: cut(t.Value, 40),
				Want: want}
		}
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			return at(market.CodeSpecAlias, "the value itself: anchors, aliases and merge keys are not read")
		case token.TagType, token.DirectiveType:
			return at(market.CodeSpecSyntax, "plain YAML without tags and directives")
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType:
			if t.Position.Line != line {
				line, dashes = t.Position.Line, 0
			}
			dashes++
		}
		if flow > maxNesting || dashes > maxNesting {
			return at(market.CodeSpecSize, "at most 16 levels")
		}
	}
	return nil
}

func syntaxFault(err error) *Fault {
	f := &Fault{Code: market.CodeSpecSyntax, Want: cut(strings.ToValidUTF8(firstLine(err.Error()), "?"), 200)}
	var e yaml.Error
	if errors.As(err, &e) {
		f.Want = cut(e.GetMessage(), 200)
		t := e.GetToken()
		if strings.HasPrefix(f.Want, "mapping value is not allowed") && t != nil && t.Next != nil {
			t = t.Next // the words before a misplaced colon may have begun lines above it
		}
		if t != nil && t.Position != nil {
			f.Line, f.Column = t.Position.Line, t.Position.Column
		}
	}
	return f
}

func firstLine(s string) string { s, _, _ = strings.Cut(s, "\n"); return s }

func convert(n ast.Node, depth int) (*node, *Fault) {
	out := &node{line: 1, column: 1}
	if t := n.GetToken(); t != nil && t.Position != nil {
		out.line, out.column = t.Position.Line, t.Position.Column
	}
	if depth > maxNesting {
		return nil, &Fault{Code: market.CodeSpecSize, Line: out.line, Column: out.column, Want: "at most 16 levels"}
	}
	switch v := n.(type) {
	case *ast.MappingNode:
		return out.mapping(v.Values, depth)
	case *ast.MappingValueNode:
		return out.mapping([]*ast.MappingValueNode{v}, depth)
	case *ast.SequenceNode:
		out.kind = nodeList
		for _, x := range v.Values {
			c, f := convert(x, depth+1)
			if f != nil {
				return nil, f
			}
			out.list = append(out.list, c)
		}
		return out, nil
	case *ast.NullNode:
		out.kind = nodeNull
		return out, nil
	case *ast.StringNode:
		out.kind, out.text = nodeScalar, v.Value
		out.quoted = v.Token != nil && (v.Token.Type == token.SingleQuoteType || v.Token.Type == token.DoubleQuoteType)
		return out, nil
	case *ast.LiteralNode:
		out.kind, out.quoted = nodeScalar, true
		if v.Value != nil {
			out.text = v.Value.Value
		}
		return out, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		out.kind, out.text = nodeScalar, n.GetToken().Value // as written: 2.60 stays 2.60
		return out, nil
	}
	return nil, &Fault{Code: market.CodeSpecSyntax, Line: out.line, Column: out.column,
		Want: "a plain value, list or mapping"}
}

func (out *node) mapping(values []*ast.MappingValueNode, depth int) (*node, *Fault) {
	out.kind = nodeMap
	for i, mv := range values {
		k, f := convert(mv.Key, depth+1)
		if f != nil {
			return nil, f
		}
		if k.kind != nodeScalar {
			return nil, &Fault{Code: market.CodeSpecSyntax, Line: k.line, Column: k.column, Want: "a plain key"}
		}
		v := &node{kind: nodeNull, line: k.line, column: k.column}
		if mv.Value != nil {
			if v, f = convert(mv.Value, depth+1); f != nil {
				return nil, f
			}
		}
		if i == 0 {
			out.line, out.column = k.line, k.column // goccy places a block mapping at its first colon
		}
		if v.kind == nodeNull {
			v.line, v.column = k.line, k.column
		}
		out.keys = append(out.keys, pair{k, v})
	}
	return out, nil
}
