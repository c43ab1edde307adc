package public

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/graph"
	"github.com/gpuai/gpuai/node/rest"
)

// GraphAsk is a query of GraphQL.
type GraphAsk struct {
	Query     string   `json:"query" minLength:"1" maxLength:"12000"`
	Operation string   `json:"operationName,omitempty" maxLength:"100" doc:"which of several"`
	Variables rest.Any `json:"variables,omitempty" doc:"an object"`
	More      rest.Any `json:"extensions,omitempty" doc:"not read"`
}

// GraphAnswer has data, errors, or both.
type GraphAnswer struct {
	Data   rest.Any     `json:"data,omitempty"`
	Errors []GraphError `json:"errors,omitempty"`
}

// GraphError is one error. Extensions have the code and the next step of a problem document.
type GraphError struct {
	Message    string       `json:"message"`
	Locations  []GraphPlace `json:"locations,omitempty"`
	Path       []rest.Any   `json:"path,omitempty"`
	Extensions GraphProblem `json:"extensions"`
}

// GraphPlace is one in the query, counted from 1.
type GraphPlace struct {
	Line   int64 `json:"line"`
	Column int64 `json:"column"`
}

// GraphProblem is what an error's code says.
type GraphProblem struct {
	Code market.Code `json:"code"`
	Hint string      `json:"hint,omitempty"`
}

type graphIn struct{ Body GraphAsk }

type graphGet struct {
	Query     string `query:"query" required:"true" minLength:"1" maxLength:"12000" doc:"the query" example:"{ summary { network } }"`
	Operation string `query:"operationName" maxLength:"100" doc:"which of several"`
	Variables string `query:"variables" maxLength:"4000" doc:"an object, as JSON"`
}

// graphs answers GraphQL from the reads of the other routes.
type graphs struct{ schema *graph.Schema }

// links lead from a document to the one that a field of it names.
var links = []graph.Link{
	{Type: "Offer", Field: "seller", Read: "provider", Arg: "peer", From: "peer"},
	{Type: "Offer", Field: "book", Read: "book", Arg: "slug", From: "slug"},
	{Type: "Model", Field: "book", Read: "book", Arg: "slug", From: "slug"},
	{Type: "Lease", Field: "seller", Read: "provider", Arg: "peer", From: "provider"},
	{Type: "Lease", Field: "money", Read: "channel", Arg: "addr", From: "channel"},
	{Type: "ProviderPage", Field: "wallet", Read: "wallet", Arg: "addr", From: "payout"},
	{Type: "Channel", Field: "page", Read: "channel", Arg: "addr", From: "channel"},
}

// newGraphs makes the schema of the reads that m has so far.
func newGraphs(m *rest.Mux) graphs {
	var reads []graph.Read
	for _, r := range m.Reads() {
		reads = append(reads, graph.Read{Name: r.ID, About: r.About, In: r.In, Out: r.Out, Do: r.Do})
	}
	s, err := graph.New(reads, links)
	if err != nil {
		panic(err) // of our own types
	}
	return graphs{s}
}

const graphAbout = "GraphQL, read-only, over the reads of this document: fields of Query are operationIds, arguments " +
	"their parameters, types their schemas. At most 6 fields deep and 1,000 rows, counted before it runs: a " +
	"read costs " +
	"10 and its limit, a list as many as first says. What is wrong with a query is in errors, with status 200."

func (g graphs) routes() []rest.Route {
	return []rest.Route{
		rest.GetCached("/graphql", "graphqlGet", "a query of GraphQL, kept by its address", g.get, "gossip", "probe",
			"chain", "signed", "sums").Says(graphAbout),
		rest.Call("POST", "/graphql", "graphql", "a query of GraphQL", g.post).In(rest.ScopeNone).Says(graphAbout).
			Asks(`{"query": "{ gpus(limit: 5) { models { slug gpus { free { value } } } } }"}`),
	}
}

func (g graphs) get(ctx context.Context, in *graphGet) (GraphAnswer, error) {
	return g.answer(ctx, in.Query, in.Operation, in.Variables)
}

func (g graphs) post(ctx context.Context, in *graphIn) (GraphAnswer, error) {
	return g.answer(ctx, in.Body.Query, in.Body.Operation, string(in.Body.Variables))
}

func (g graphs) answer(ctx context.Context, query, operation, variables string) (out GraphAnswer, err error) {
	q := graph.Request{Query: query, Operation: operation}
	if variables != "" && variables != "null" {
		d := json.NewDecoder(strings.NewReader(variables))
		d.UseNumber()
		if d.Decode(&q.Variables) != nil || d.More() {
			return out, rest.Usage(400, "variables is no JSON object")
		}
	}
	got := g.schema.Do(ctx, q)
	out.Data = rest.Any(got.Data)
	for _, f := range got.Errors {
		out.Errors = append(out.Errors, graphErrorOf(f))
	}
	return out, nil
}

func graphErrorOf(f graph.Fault) GraphError {
	p := rest.ProblemOf(f.Err)
	e := GraphError{Message: f.Message, Extensions: GraphProblem{Code: p.Code}}
	if p.Code == market.CodeInternal {
		e.Message = p.Title // its text is for the log of nobody
	} else if p.Why != "" && !strings.HasPrefix(p.Why, "the query is none") {
		e.Message = p.Why
	}
	if len(p.Fix) > 0 {
		e.Extensions.Hint = p.Fix[0].Text + p.Fix[0].Command
	}
	if f.Line > 0 {
		e.Locations = []GraphPlace{{int64(f.Line), int64(f.Column)}}
	}
	for _, step := range f.Path {
		b, _ := json.Marshal(step) // a name or a number
		e.Path = append(e.Path, b)
	}
	return e
}
