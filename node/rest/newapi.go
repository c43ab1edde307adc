package rest

import (
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// humaDefaults: huma keeps its form of errors and its view of lists in variables of its package.
var humaDefaults sync.Once

// newAPI is huma with its defaults turned off where they would surprise a user; newapi_test.go has a case for each.
//
// Its errors repeat what was sent: asProblem keeps their place and rule only. Lists may be null: they never are. A
// request's JSON is read by its own rules: strict reads one value. It serves a page that loads scripts of others, and
// puts a link into each document: DocsPath and CreateHooks are empty. Answers refuse fields that they may get later:
// Mux.Document opens them. It cuts a body that takes over 5 s: op sets no limit. It picks a format by the header
// Accept: there is one.
func newAPI(mux *http.ServeMux, o Options) huma.API {
	humaDefaults.Do(func() {
		huma.NewError = asProblem
		huma.DefaultArrayNullable = false
	})
	c := huma.DefaultConfig(o.Title, o.Version)
	c.Info.Description = o.About
	c.OpenAPIPath, c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", "", nil
	json := huma.Format{
		Marshal: huma.DefaultJSONFormat.Marshal,
		Unmarshal: func(b []byte, v any) error {
			if err := Strict(strings.NewReader(string(b)), v); err != nil {
				return errors.New("it is not the expected JSON" + where(err))
			}
			return nil
		},
	}
	c.Formats = map[string]huma.Format{"application/json": json, "json": json}
	return humago.NewWithPrefix(mux, o.Base, c)
}

// asProblem turns an error of huma into ours. What is wrong with a request is bad-usage, 400; a place is named only
// where it is ours.
func asProblem(status int, msg string, errs ...error) huma.StatusError {
	switch status {
	case 0: // asked for its type
		return &Problem{}
	case http.StatusInternalServerError:
		err := errors.New(msg)
		var large *http.MaxBytesError
		switch {
		case errors.As(errors.Join(errs...), &large): // of a body that does not say its size
			err = tooLarge(large.Limit)
		case msg == unreadBody:
			err = Usage(http.StatusBadRequest, "the body breaks off, or is not as HTTP has it")
		}
		p := ProblemOf(err)
		return &p
	case http.StatusRequestEntityTooLarge:
		p := ProblemOf(tooLarge(0)) // its listener may take less than the API
		return &p
	case http.StatusUnprocessableEntity:
		status = http.StatusBadRequest
	}
	var said []string
	for _, err := range errs {
		var d *huma.ErrorDetail
		if !errors.As(err, &d) || len(said) == 3 {
			continue
		}
		rule, _, _ := strings.Cut(d.Message, ": ") // what follows a colon may be of the sender
		said = append(said, ownPlace(d.Location, rule)+": "+rule)
	}
	if len(said) > 0 {
		msg = strings.Join(said, "; ")
	}
	p := ProblemOf(Usage(status, msg))
	return &p
}

// unreadBody is what huma says where the sender's body cannot be read.
const unreadBody = "cannot read request body"

// ownPlace is the place of a fault without names that the sender chose: those of unknown fields, and of keys of a map.
func ownPlace(place, rule string) string {
	parts := strings.Split(place, ".")
	if strings.HasPrefix(rule, "unexpected") {
		parts = parts[:len(parts)-1]
	}
	for i, p := range parts {
		name, _, _ := strings.Cut(p, "[")
		if _, ours := ownNames.Load(name); !ours {
			parts = append(parts[:i:i], "…")
			break
		}
	}
	return strings.Join(parts, ".")
}

// ownNames are the names of all fields and parameters of all APIs of this process.
var ownNames sync.Map

func rememberNames(api huma.API) {
	for _, name := range []string{"body", "query", "path", "header"} {
		ownNames.Store(name, true)
	}
	for _, s := range api.OpenAPI().Components.Schemas.Map() {
		for name := range s.Properties {
			ownNames.Store(name, true)
		}
	}
	for _, p := range api.OpenAPI().Paths {
		for _, op := range operationsOf(p) {
			for _, param := range op.Parameters {
				ownNames.Store(param.Name, true)
			}
		}
	}
}
