package api

import (
	"log/slog"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rest"
)

// Base is where all paths begin.
const Base = "/api/v1"

// Version is this program's; MinClient is the oldest client that this API understands.
const (
	Version   = "0.1.0"
	MinClient = "0.1.0"
)

// Topics of events.
var Topics = []string{"order", "lease", "channel", "offer", "health", "operation", "security"}

// Config of the API. Events and Answers may be nil: then there is no event stream, and keys are remembered until the
// process ends. Observe, if set, hears of each request: its route and status. Told, if set, hears of each operation
// that begins or ends.
type Config struct {
	Backend Backend
	Events  rest.Feed
	Answers rest.Answers
	Observe func(route string, status int)
	Told    func(rest.Operation)
}

// New serves c.Backend below /api/v1. docs/reference/api.md is about its routes, openapi-node.json describes them.
func New(c Config, log *slog.Logger) *rest.Mux {
	m := rest.New(rest.Options{
		Title: "GPU AI node", Version: Version, Base: Base, About: about, Answers: c.Answers, Observe: c.Observe,
		Told: c.Told,
	}, log)
	b := c.Backend
	m.Add("node", (&control{b: b}).routes()...)
	m.Add("orders", ofRole((&orders{b: b, ops: m.Operations}).routes())...)
	m.Add("files", ofRole((&files{b: b}).routes())...)
	m.Add("leases", ofRole((&leases{b: b, orders: b}).routes())...)
	m.Add("money", ofRole((&spending{b: b, ops: m.Operations}).routes())...)
	m.Add("provider", ofRole((&selling{b: b}).routes())...)
	m.Add("network", (&network{b: b}).routes()...)
	stream := &rest.Events{
		Feed: c.Events, Topics: Topics, Life: m.Operations.Life(),
		Dress: func(row rest.Event) rest.Event {
			if row.Topic == "operation" {
				row.Data = m.Operations.Dress(row)
			}
			return row
		},
	}
	m.Add("node", rest.Stream("GET", "/events", "events", "what happens, as it happens", stream.Serve).
		Gives(200, "text/event-stream", eventsAbout).Fails(market.CodeBusy, market.CodeNotFound))
	return m
}

// ofRole adds what operations answer while the node has not their role, or not yet.
func ofRole(routes []rest.Route) []rest.Route {
	for i, rt := range routes {
		if rt.Scope != rest.ScopeNone {
			routes[i] = rt.Fails(market.CodeRoleOff, market.CodeChainUnreachable)
		}
	}
	return routes
}

const (
	about = "The local interface of a GPU AI node: HTTP/1.1 on its unix socket. Who can open the socket may do all; " +
		"x-scope says what a session or token would need. Documents carry a schema name; within a version only " +
		"fields " +
		"are added. Errors are problem documents (RFC 9457) with a code that is never renamed. Amounts are text, " +
		"in the mint's smallest unit."
	eventsAbout = "Server-sent events. id is a sequence number, event the topic, data the document that GET returns " +
		"with what the row says: cause, at, and the state then. event reset: the id asked for is older than what is " +
		"kept, read the documents again. event lagged: the reader fell more than 256 rows behind, the stream ends. " +
		"A comment each 15 s."
)

// done: it is done, there is no document.
type done struct {
	Schema string `json:"schema" enum:"gpuai.done/v1"`
}

var isDone = done{"gpuai.done/v1"}

// Inputs that many operations have.
type (
	none struct{}
	// Empty is an input that says all in its path; an empty document may come with it.
	Empty struct {
		Body *struct{} `nameHint:"Nothing"`
	}
	// ByID is the input of an operation on one thing.
	ByID struct {
		ID string `path:"id" doc:"an id, a unique beginning of it, a name, or - for the last one" example:"order_7hd2"`
	}
	// ByAddr is the input of an operation on one channel.
	ByAddr struct {
		Addr string `path:"addr" doc:"the channel's address"`
	}
)

func missingChannel() error {
	return &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "find channel",
		Detail: "no channel of this node has that address", Hint: "gpuai channel list"}
}

// byAge sorts lists by time, then id.
func byAge(t rest.Time, id string) string { return t.UTC().Format(rest.TimeForm) + " " + id }
