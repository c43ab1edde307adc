package rest

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/gpuai/gpuai/market"
)

// Scope is what a caller must be allowed to: none, read, jobs, market, money or admin.
type Scope string

// Scopes of operations.
const (
	ScopeNone   Scope = "none"   // also without credentials
	ScopeRead   Scope = "read"   // look at everything of the node
	ScopeJobs   Scope = "jobs"   // place orders, move their files, end them
	ScopeMarket Scope = "market" // the provider's side
	ScopeMoney  Scope = "money"  // wallet and channels
	ScopeAdmin  Scope = "admin"  // settings, and the node's end
)

// Route is one operation. A constructor of this package makes it; In, Fails and the others add words.
//
// The input type I of a constructor is a struct of fields with the tags path, query or header, and Body, the JSON
// document of the request; a pointer there makes it optional.
type Route struct {
	Method, Path string // below the base of the API
	ID           string // operationId; the Go client's method is called alike
	Summary      string // one line
	About        string // what the line does not say, "" = nothing
	Scope        Scope
	Codes        []market.Code // of errors, beside those that every operation may answer
	Keyed        bool          // it creates, so it needs an Idempotency-Key

	example string              // JSON
	own     map[int]market.Code // errors whose status is not the code's
	sources []string            // of what is kept; nil: nothing is
	read    *Read
	op      huma.Operation
	add     func(m *Mux, op huma.Operation)
}

// In names the scope that a caller needs.
func (r Route) In(s Scope) Route { r.Scope = s; return r }

// Fails adds codes that this operation may answer.
func (r Route) Fails(codes ...market.Code) Route {
	r.Codes = append(slices.Clone(r.Codes), codes...)
	return r
}

// Says adds to the summary.
func (r Route) Says(about string) Route { r.About = about; return r }

// Asks shows a body of a request, as JSON.
func (r Route) Asks(example string) Route { r.example = example; return r }

// Creates makes the route need an Idempotency-Key: the same request with the same key is done once.
func (r Route) Creates() Route { r.Keyed = true; return r }

// Gives describes an answer that is no JSON document.
func (r Route) Gives(status int, media, about string) Route {
	resp := &huma.Response{Description: about}
	if media != "" {
		resp.Content = map[string]*huma.MediaType{media: {Schema: &huma.Schema{Type: huma.TypeString}}}
	}
	r.op.DefaultStatus = status
	r.op.Responses = map[string]*huma.Response{strconv.Itoa(status): resp}
	return r
}

// Or is another media type that such an answer may have.
func (r Route) Or(media string) Route {
	for _, resp := range r.op.Responses {
		resp.Content[media] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	}
	return r
}

// Shows is Gives of a JSON document, by the name of its schema.
func (r Route) Shows(schema, about string) Route {
	r = r.Gives(http.StatusOK, "application/json", about)
	r.op.Responses["200"].Content["application/json"].Schema = &huma.Schema{Ref: "#/components/schemas/" + schema}
	return r
}

// Answers adds an error with a status of its own.
func (r Route) Answers(status int, code market.Code) Route {
	r.own = map[int]market.Code{status: code}
	return r
}

// Takes describes a body that is no JSON document and goes to the handler as it comes.
func (r Route) Takes(media, about string) Route {
	r.op.RequestBody = &huma.RequestBody{Required: true, Description: about,
		Content: map[string]*huma.MediaType{media: {Schema: &huma.Schema{Type: huma.TypeString}}}}
	return r
}

func newRoute(method, path, id, summary string, status int, add func(*Mux, huma.Operation)) Route {
	return Route{
		Method: method, Path: path, ID: id, Summary: summary, Scope: ScopeRead, add: add,
		op: huma.Operation{DefaultStatus: status},
	}
}

type (
	plain[O any]  struct{ Body O }
	tagged[O any] struct {
		ETag string `header:"ETag" doc:"of what a PATCH can change; send it back as If-Match"`
		Body O
	}
	placed[O any] struct {
		Location string `header:"Location" doc:"the document's own address"`
		Body     O
	}
)

// Call answers 200 with a document.
func Call[I, O any](method, path, id, summary string, f func(context.Context, *I) (O, error)) Route {
	return newRoute(method, path, id, summary, http.StatusOK, func(m *Mux, op huma.Operation) {
		huma.Register(m.api, op, func(ctx context.Context, in *I) (*plain[O], error) {
			v, err := f(ctx, in)
			return &plain[O]{v}, m.refused(ctx, op, err)
		})
	})
}

// Get is Call of a GET.
func Get[I, O any](path, id, summary string, f func(context.Context, *I) (O, error)) Route {
	return Call(http.MethodGet, path, id, summary, f)
}

// Tagged is Call with an ETag over what f names, which a PATCH can change.
func Tagged[I, O any](method, path, id, summary string, f func(context.Context, *I) (doc O, tag any, err error)) Route {
	return newRoute(method, path, id, summary, http.StatusOK, func(m *Mux, op huma.Operation) {
		huma.Register(m.api, op, func(ctx context.Context, in *I) (*tagged[O], error) {
			doc, of, err := f(ctx, in)
			if err != nil {
				return nil, m.refused(ctx, op, err)
			}
			return &tagged[O]{Tag(of), doc}, nil
		})
	})
}

// Create answers 201 with a new document and its path below the base. Two requests of one key create one.
func Create[I, O any](path, id, summary string, f func(context.Context, *I) (doc O, at string, err error)) Route {
	return newRoute(http.MethodPost, path, id, summary, http.StatusCreated, func(m *Mux, op huma.Operation) {
		huma.Register(m.api, op, func(ctx context.Context, in *I) (*placed[O], error) {
			doc, at, err := f(ctx, in)
			return &placed[O]{m.base + at, doc}, m.refused(ctx, op, err)
		})
	}).Creates()
}

// Begin answers 202 with an operation that goes on.
func Begin[I any](path, id, summary string, f func(context.Context, *I) (Operation, error)) Route {
	return newRoute(http.MethodPost, path, id, summary, http.StatusAccepted, func(m *Mux, op huma.Operation) {
		huma.Register(m.api, op, func(ctx context.Context, in *I) (*placed[Operation], error) {
			doc, err := f(ctx, in)
			return &placed[Operation]{m.base + "/operations/" + doc.ID, doc}, m.refused(ctx, op, err)
		})
	})
}

// Stream hands the exchange to f once its parameters are checked. f writes the answer; an error before its first byte
// becomes a problem, one later cuts the connection. Name what it answers with Gives.
func Stream[I any](method, path, id, summary string, f func(http.ResponseWriter, *http.Request, *I) error) Route {
	return newRoute(method, path, id, summary, http.StatusOK, func(m *Mux, op huma.Operation) {
		huma.Register(m.api, op, func(_ context.Context, in *I) (*huma.StreamResponse, error) {
			return &huma.StreamResponse{Body: func(ctx huma.Context) {
				r, w := humago.Unwrap(ctx)
				m.stream(w, r, func(w http.ResponseWriter) error { return f(w, r, in) })
			}}, nil
		})
	})
}

// Told marks an error that the answer of a Stream has told in its own way: it is only logged.
func Told(err error) error {
	if err == nil {
		return nil
	}
	return told{err}
}

type told struct{ error }

// Unwrap is the error itself.
func (t told) Unwrap() error { return t.error }

func (m *Mux) stream(w http.ResponseWriter, r *http.Request, f func(http.ResponseWriter) error) {
	seen := &watched{ResponseWriter: w}
	err := f(seen)
	var t told
	switch {
	case err == nil:
	case errors.As(err, &t):
		m.fail(r.Context(), m.pattern(r), err)
	case !seen.begun:
		m.refuse(w, r, err)
	default:
		m.fail(r.Context(), m.pattern(r), err)
		panic(http.ErrAbortHandler) // net/http's way to cut a started answer; it is not logged
	}
}
