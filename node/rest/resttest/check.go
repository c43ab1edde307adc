// Package resttest judges APIs that are made with node/rest: their documents, and their answers by these.
//
// Invariants: what the document does not name is an error: a status, a media type, a field.
// Concurrency: safe for any goroutine. Persistence: none. Next: docs/reference/openapi-node.json.
package resttest

import (
	"bytes"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/gpuai/gpuai/node/rest"
)

// Checker knows what the document allows.
type Checker struct {
	base  string
	paths *http.ServeMux
	doc   map[string]any

	mu       sync.Mutex // the compiler has one user at a time
	compiler *jsonschema.Compiler
}

// New makes a Checker of the document of m, whose paths begin with base. Answers are closed first: in tests a field
// that the document lacks is a mistake, for a client it is a newer node.
func New(m *rest.Mux, base string) (*Checker, error) {
	raw, err := m.Document()
	if err != nil {
		return nil, fmt.Errorf("make the document: %w", err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	c := &Checker{base: base, paths: http.NewServeMux(), compiler: jsonschema.NewCompiler()}
	c.doc, _ = doc.(map[string]any)
	for _, s := range c.at("/components/schemas") {
		if m, _ := s.(map[string]any); m["properties"] != nil && m["additionalProperties"] == nil {
			m["additionalProperties"] = false
		}
	}
	c.compiler.AssertFormat()
	if err := c.compiler.AddResource("node.json", doc); err != nil {
		return nil, fmt.Errorf("add the document: %w", err)
	}
	for _, rt := range m.Routes() {
		c.paths.HandleFunc(rt.Method+" "+base+rt.Path, func(http.ResponseWriter, *http.Request) {})
	}
	return c, nil
}

// at is the node of the document that a pointer names; nil if there is none.
func (c *Checker) at(pointer string) map[string]any {
	node := c.doc
	for _, step := range strings.Split(pointer, "/")[1:] {
		node, _ = node[strings.NewReplacer("~1", "/", "~0", "~").Replace(step)].(map[string]any)
	}
	return node
}

func escape(s string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(s) }

// IsJSON reports a media type whose bodies are checked.
func IsJSON(media string) bool {
	return media == "application/json" || media == "application/problem+json"
}

// Check reports how an answer to a request differs from the document. Paths that it does not have are not its own.
func (c *Checker) Check(r *http.Request, status int, media string, body []byte) error {
	_, name := c.paths.Handler(r)
	method, route, ok := strings.Cut(name, " "+c.base)
	if !ok || path.Clean(r.URL.Path) != r.URL.Path {
		return nil
	}
	where := "/paths/" + escape(route) + "/" + strings.ToLower(method) + "/responses/" + strconv.Itoa(status)
	answer := c.at(where)
	if answer == nil {
		return fmt.Errorf("%s answers %d, which is not documented: %.300s", name, status, body)
	}
	if ref, _ := answer["$ref"].(string); ref != "" {
		where = strings.TrimPrefix(ref, "#")
	}
	content := c.at(where + "/content")
	if content == nil {
		return nil
	}
	if content[media] == nil {
		return fmt.Errorf("%s answers %d with %q, which is not documented", name, status, media)
	}
	if !IsJSON(media) {
		return nil
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s answers %d with no JSON: %w", name, status, err)
	}
	c.mu.Lock()
	schema, err := c.compiler.Compile("node.json#" + where + "/content/" + escape(media) + "/schema")
	c.mu.Unlock()
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		return fmt.Errorf("%s answers %d: %w: %.2000s", name, status, err, body)
	}
	if codes, ok := c.at(where)["x-codes"].([]any); ok {
		if p, _ := v.(map[string]any); !slices.Contains(codes, p["code"]) {
			return fmt.Errorf("%s answers %d with the code %v, documented are %v", name, status, p["code"], codes)
		}
	}
	return nil
}
