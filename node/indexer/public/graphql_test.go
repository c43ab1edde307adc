package public_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/public"
)

// graph posts a query.
func (s site) graph(t *testing.T, query, variables string) (out public.GraphAnswer) {
	t.Helper()
	ask := map[string]any{"query": query}
	if variables != "" {
		ask["variables"] = json.RawMessage(variables)
	}
	body, err := json.Marshal(ask)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", public.Base+"/graphql", strings.NewReader(string(body)))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	media, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	if err := s.judge.Check(r, w.Code, media, w.Body.Bytes()); err != nil {
		t.Errorf("%.200s: %v", query, err)
	}
	if w.Code != 200 {
		t.Fatalf("%.200s: %d %s", query, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestGraphQL_Reads: the same figures as the other routes, with aliases, fragments, variables, links and pages.
func TestGraphQL_Reads(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s site) {
		filled(t, s)
		const query = `query all($slug: String!, $n: Long = 2, $skip: Boolean!) {
			one: gpu(slug: $slug) { __typename slug ...free asks { value { median { amount symbol decimals per } } } }
			two: gpu(slug: "h100") { ...free slug @skip(if: $skip) }
			offers(slug: $slug, limit: $n) { cursor offers { peer rate { amount }
				seller { peer uptime(first: 1) { day reached } } } }
			nothing: gpu(slug: "none") { slug }
		}
		fragment free on ModelPage { gpus { free { value as_of { at } n src } } }`
		got := s.graph(t, query, `{"slug":"rtx-4090","skip":true}`)
		for _, want := range []string{`"one":{"__typename":"ModelPage","slug":"rtx-4090"`, `"amount":"120"`,
			`"two":{"gpus":{"free":{"value":4`, `"nothing":null`, `"peer":"peer001"`, `"reached":1`, `"n":5`} {
			if !strings.Contains(string(got.Data), want) {
				t.Errorf("no %s in %s", want, got.Data)
			}
		}
		if strings.Contains(string(got.Data), "h100") || len(got.Errors) != 1 ||
			got.Errors[0].Extensions.Code != "not-found" || fmt.Sprintf("%s", got.Errors[0].Path) != `["nothing"]` {
			t.Errorf("%+v %s", got.Errors, got.Data)
		}
		var page struct {
			Offers struct {
				Cursor string
				Offers []struct{ Peer string }
			}
		}
		if err := json.Unmarshal(got.Data, &page); err != nil || len(page.Offers.Offers) != 2 {
			t.Fatalf("%+v %v", page, err)
		}
		next := s.graph(t, `query($c: String) { offers(limit: 200, cursor: $c, slug: "rtx-4090") { offers { peer } } }`,
			`{"c":"`+page.Offers.Cursor+`"}`)
		if strings.Count(string(next.Data), "peer0") != 3 {
			t.Errorf("%s", next.Data)
		}
	})
}

// TestGraphQL_GET: a query by GET has the tag of its sources' state.
func TestGraphQL_GET(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s site) {
		filled(t, s)
		path := "/graphql?query=" +
			url.QueryEscape(`query a($s:String!){gpu(slug:$s){slug}} query b{summary{network}}`) +
			"&operationName=a&variables=" + url.QueryEscape(`{"s":"h100"}`)
		w := s.get(t, path)
		tag := w.Header().Get("ETag")
		if w.Code != 200 || strings.TrimSpace(w.Body.String()) != `{"data":{"gpu":{"slug":"h100"}}}` || tag == "" {
			t.Fatalf("%d %s %q", w.Code, w.Body, tag)
		}
		if again := s.get(t, path, "If-None-Match", tag); again.Code != 304 {
			t.Errorf("%d", again.Code)
		}
		next := rig(9, "h100", "DE", 1, 1, 1)
		s.apply(t, start, db.Change{Rigs: []db.Rig{next}})
		if again := s.get(t, path, "If-None-Match", tag); again.Code != 200 {
			t.Errorf("after a change: %d", again.Code)
		}
		for _, p := range []string{"/graphql", "/graphql?query=", "/graphql?query=a&variables=1",
			"/graphql?query=a&variables=%7B%7D%7B%7D", "/graphql?query=a&else=1"} {
			if w := s.get(t, p); w.Code != 400 {
				t.Errorf("%s: %d %s", p, w.Code, w.Body)
			}
		}
	})
}

// hostile is a query that must not run.
type hostile struct{ query, variables, code string }

// hostiles cost too much, or are no queries of the schema.
func hostiles() map[string]hostile {
	var aliases, same, schemas, chain, wide, deepType strings.Builder
	for i := range 300 {
		fmt.Fprintf(&aliases, "a%d: summary { network } ", i)
		if i < 200 {
			same.WriteString("summary{network rigs{n}}")
		}
		if i < 40 {
			fmt.Fprintf(&schemas, "s%d:__schema{types{name fields{name args{name}}}}", i)
		}
	}
	chain.WriteString("{ summary { ...f0 } } ")
	for i := range 60 {
		fmt.Fprintf(&chain, "fragment f%d on Summary { ...f%d ...f%d } ", i, i+1, i+1)
	}
	chain.WriteString("fragment f60 on Summary { network }")
	wide.WriteString("{ summary { ")
	for range 1100 {
		wide.WriteString("network ")
	}
	wide.WriteString("} }")
	deepType.WriteString(`{ __schema { types ` + strings.Repeat("{ fields { type ", 8) + "{ name }" +
		strings.Repeat("} }", 8) + " } }")
	huge := "99999999999999999999999999"
	return map[string]hostile{
		"aliases":             {"{" + aliases.String() + "}", "", "too-large"},
		"fields that merge":   {"{" + same.String() + "}", "", "too-large"},
		"a bomb of fragments": {chain.String(), "", "too-large"},
		"wide":                {wide.String(), "", "too-large"},
		"schema in schema":    {deepType.String(), "", "too-large"},
		"many schemas":        {"{" + schemas.String() + "}", "", "too-large"},
		"a cycle": {"{ summary { ...a } } fragment a on Summary { ...b } fragment b on Summary { ...a }",
			"", "bad-usage"},
		"a cycle of itself": {"{ summary { ...a } } fragment a on Summary { ...a }", "", "bad-usage"},
		"an unused cycle":   {"{ summary { network } } fragment a on Summary { ...a }", "", "bad-usage"},
		"deep": {"{ offers { offers { seller { offers { seller { offers { seller { peer } } } } } } } }",
			"", "too-large"},
		"rows": {"{ offers(limit: 200) { offers { seller { uptime(first: 90) { day } } } } }", "",
			"too-large"},
		"rows by a variable": {"query($n: Long) { providers(limit: $n) { providers { peer } } offers(limit: $n) { " +
			"offers { seller { peer } } } }", `{"n":200}`, "too-large"},
		"a huge limit":        {"{ offers(limit: " + huge + ") { cursor } }", "", "bad-usage"},
		"a huge variable":     {"query($n: Long) { offers(limit: $n) { cursor } }", `{"n":` + huge + `}`, "bad-usage"},
		"a fraction":          {"{ offers(limit: 1.5) { cursor } }", "", "bad-usage"},
		"below zero":          {"{ offers(limit: -1) { cursor } }", "", "bad-usage"},
		"a list":              {"{ offers(limit: [1]) { cursor } }", "", "bad-usage"},
		"an object":           {`{ gpu(slug: {a: 1}) { slug } }`, "", "bad-usage"},
		"a huge first":        {"{ summary { models(first: " + huge + ") { slug } } }", "", "bad-usage"},
		"first over its most": {"{ summary { models(first: 201) { slug } } }", "", "bad-usage"},
		"a mutation":          {"mutation { offers { cursor } }", "", "bad-usage"},
		"a subscription":      {"subscription { offers { cursor } }", "", "bad-usage"},
		"unknown field":       {"{ secrets }", "", "bad-usage"},
		"no query":            {"{", "", "bad-usage"},
		"nothing":             {" ", "", "bad-usage"},
		"two, none named":     {"query a { summary { network } } query b { summary { network } }", "", "bad-usage"},
		"brackets":            {strings.Repeat("{", 1900), "", "bad-usage"},
		"lists": {"{ gpu(slug: " + strings.Repeat("[", 900) + strings.Repeat("]", 900) + ") { slug } }",
			"", "bad-usage"},
		"tokens":     {"{ " + strings.Repeat("a ", 5900) + "}", "", "bad-usage"},
		"missing":    {"{ gpu { slug } }", "", "bad-usage"},
		"NUL":        {"{ gpu(slug: \"\\u0000\") { slug } }", "", "not-found"},
		"long":       {`{ gpu(slug: "` + strings.Repeat("a", 33) + `") { slug } }`, "", "bad-usage"},
		"bad cursor": {`{ offers(cursor: "zz") { cursor } }`, "", "bad-usage"},
		"bad time":   {`{ prices(slug: "h100", since: "yesterday") { slug } }`, "", "bad-usage"},
	}
}

// TestGraphQL_Hostile: what costs too much, or is no query of the schema, is refused before it runs, with a code, in
// little memory.
func TestGraphQL_Hostile(t *testing.T) {
	t.Parallel()
	s := relaying(t, nil)
	filled(t, s)
	cases := hostiles()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for what, c := range cases {
		got := s.graph(t, c.query, c.variables)
		if len(got.Errors) == 0 || string(got.Errors[0].Extensions.Code) != c.code {
			t.Errorf("%s: %.300s %+v, want %s", what, got.Data, got.Errors, c.code)
			continue
		}
		for _, e := range got.Errors {
			if len(e.Message) > 400 || e.Extensions.Hint == "" {
				t.Errorf("%s: %+v", what, e)
			}
		}
	}
	runtime.ReadMemStats(&after)
	if mib := (after.TotalAlloc - before.TotalAlloc) >> 20; mib > 300 {
		t.Errorf("%d queries took %d MiB", len(cases), mib)
	}
}

// introspection is what clients of GraphQL ask for.
const introspection = `query IntrospectionQuery { __schema { queryType { name } mutationType { name }
	subscriptionType { name } types { ...FullType } directives { name description locations args { ...InputValue } } } }
	fragment FullType on __Type { kind name description fields(includeDeprecated: true) { name description
	args { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason } inputFields { ...InputValue }
	interfaces { ...TypeRef } enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
	possibleTypes { ...TypeRef } }
	fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue }
	fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
	ofType { kind name ofType { kind name ofType { kind name } } } } } } } }`

// TestGraphQL_Introspection: clients learn the schema, which is the one that is checked in.
func TestGraphQL_Introspection(t *testing.T) {
	t.Parallel()
	s := relaying(t, nil)
	got := s.graph(t, introspection, "")
	var schema struct {
		Schema struct {
			QueryType    struct{ Name string }
			MutationType any
			Types        []struct {
				Name   string
				Fields []struct {
					Name string
					Type struct {
						Kind   string
						OfType struct{ Kind, Name string }
					}
				}
			}
		} `json:"__schema"`
	}
	if err := json.Unmarshal(got.Data, &schema); err != nil || len(got.Errors) > 0 {
		t.Fatalf("%v %+v", err, got.Errors)
	}
	found := false
	for _, ty := range schema.Schema.Types {
		for _, f := range ty.Fields {
			found = found || ty.Name == "Money" && f.Name == "amount" && f.Type.Kind == "NON_NULL" &&
				f.Type.OfType.Name == "String"
		}
	}
	if !found || schema.Schema.QueryType.Name != "Query" || schema.Schema.MutationType != nil {
		t.Errorf("%s", got.Data)
	}
	one := s.graph(t, `{ __type(name: "Money") { name fields { name } } none: __type(name: "x") { name } }`, "")
	if !strings.Contains(string(one.Data), `"decimals"`) || !strings.Contains(string(one.Data), `"none":null`) {
		t.Errorf("%s %+v", one.Data, one.Errors)
	}
}
