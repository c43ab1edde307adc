package rest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gpuai/gpuai/market"
)

// everywhere are codes that each operation may answer: about the request, the node, the machine below it, and of a
// guarded listener the caller.
var everywhere = []market.Code{
	market.CodeBadUsage, market.CodeFileError, market.CodeInterrupted, market.CodeInternal,
	market.CodeStoreDead, market.CodeDiskFull, market.CodeConnectionCut, market.CodeTimeout,
	market.CodeNoCredentials, market.CodeWrongHost, market.CodeCrossSite, market.CodeRateLimited,
}

// documented is the operation of a route in the document.
func (m *Mux) documented(rt Route) *huma.Operation {
	p := m.api.OpenAPI().Paths[rt.Path]
	return map[string]*huma.Operation{
		http.MethodGet: p.Get, http.MethodPut: p.Put, http.MethodPost: p.Post, http.MethodPatch: p.Patch,
		http.MethodDelete: p.Delete,
	}[rt.Method]
}

// describe adds to a route's document what its types do not say: scope, key and errors by status.
func (m *Mux) describe(rt *Route, op *huma.Operation) {
	op.Extensions = map[string]any{"x-scope": string(rt.Scope)}
	if rt.example != "" {
		op.RequestBody.Content["application/json"].Example = json.RawMessage(rt.example)
	}
	delete(op.Responses, "default")
	common := byStatus(everywhere)
	said := byStatus(slices.Concat(everywhere, rt.Codes))
	if rt.Keyed {
		said[http.StatusConflict] = append(said[http.StatusConflict], market.CodeBusy, market.CodeKeyReused)
	}
	if op.RequestBody != nil {
		said[http.StatusUnsupportedMediaType] = []market.Code{market.CodeBadUsage}
		if op.RequestBody.Content["application/json"] != nil {
			said[http.StatusRequestEntityTooLarge] = []market.Code{market.CodeTooLarge}
		}
	}
	for status, code := range rt.own {
		said[status] = append(said[status], code)
	}
	shared := m.api.OpenAPI().Components
	if shared.Responses == nil {
		shared.Responses = map[string]*huma.Response{}
	}
	for status, codes := range said {
		codes = slices.Compact(slices.Sorted(slices.Values(codes)))
		resp := &huma.Response{
			Description: strings.Join(words(codes), "; "),
			Extensions:  map[string]any{"x-codes": codes},
			Content: map[string]*huma.MediaType{"application/problem+json": {
				Schema: &huma.Schema{Ref: "#/components/schemas/Problem"}}},
		}
		if name := fmt.Sprint("Error", status); slices.Equal(codes, slices.Sorted(slices.Values(common[status]))) {
			shared.Responses[name] = resp
			resp = &huma.Response{Ref: "#/components/responses/" + name}
		}
		op.Responses[strconv.Itoa(status)] = resp
	}
}

func byStatus(codes []market.Code) map[int][]market.Code {
	out := map[int][]market.Code{}
	for _, code := range codes {
		m, _ := code.Meaning()
		status := ProblemOf(&market.Error{Code: code, Kind: m.Kind}).Status
		out[status] = append(out[status], code)
	}
	return out
}

// keyParam documents the header that a creating request needs.
func keyParam() *huma.Param {
	least, most := 1, maxKey
	return &huma.Param{
		Name: "Idempotency-Key", In: "header", Required: true,
		Description: "the caller's name for what it creates, kept for 24 h: the same body gets the same answer, " +
			"another one key-reused",
		Schema: &huma.Schema{Type: huma.TypeString, MinLength: &least, MaxLength: &most, Pattern: "^[!-~]+$"},
	}
}

// openAnswers lets documents that no request holds get more fields later.
func openAnswers(doc *huma.OpenAPI) {
	asked := map[string]bool{}
	var visit func(s *huma.Schema)
	visit = func(s *huma.Schema) {
		if s == nil || s.Ref != "" && asked[s.Ref] {
			return
		}
		if s.Ref != "" {
			asked[s.Ref] = true
			visit(doc.Components.Schemas.SchemaFromRef(s.Ref))
			return
		}
		visit(s.Items)
		more, _ := s.AdditionalProperties.(*huma.Schema)
		for _, p := range slices.Concat(slices.Collect(maps.Values(s.Properties)), s.OneOf, s.AnyOf, s.AllOf,
			[]*huma.Schema{more}) {
			visit(p)
		}
	}
	for _, p := range doc.Paths {
		for _, op := range operationsOf(p) {
			if op.RequestBody != nil {
				for _, m := range op.RequestBody.Content {
					visit(m.Schema)
				}
			}
		}
	}
	for name, s := range doc.Components.Schemas.Map() {
		if s.AdditionalProperties == false && !asked["#/components/schemas/"+name] {
			s.AdditionalProperties = nil
		}
	}
}

func operationsOf(p *huma.PathItem) []*huma.Operation {
	all := []*huma.Operation{p.Get, p.Put, p.Post, p.Patch, p.Delete}
	return slices.DeleteFunc(all, func(op *huma.Operation) bool { return op == nil })
}

// words are codes and their titles.
func words(codes []market.Code) (out []string) {
	for _, c := range codes {
		m, _ := c.Meaning()
		out = append(out, string(c)+": "+m.Title)
	}
	return out
}
