package public

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/rest"
)

// Base is where all paths begin.
const Base = "/public/v1"

// Limits of a caller, which is an address: requests a second, and at once.
const (
	perSecond = 20
	burst     = 60
	maxBody   = 16 << 10

	streamsEach = 8 // event streams open
)

// Topics of events.
var Topics = []string{"offer", "lease", "channel", "transaction"}

// Config of the public API.
type Config struct {
	Index   *db.DB
	Network string
	Since   time.Time // when this index began to listen
	RPC     Relay     // nil: nothing is relayed

	Observe func(route string, status int) // hears of each request

	Compared func() []Compared // what came of comparisons with other indexers; nil: there are none
}

// New serves an index below /public/v1, without guards: see Guarded.
func New(c Config, log *slog.Logger) *rest.Mux {
	m := rest.New(rest.Options{
		Title: "GPU AI indexer", Version: api.Version, Base: Base, About: about, State: c.Index.Tag,
		Observe: c.Observe,
	}, log)
	p := pages{c}
	m.Add("market", p.market()...)
	m.Add("rigs", p.rigs()...)
	m.Add("deals", deals{p}.routes()...)
	m.Add("money", p.money()...)
	m.Add("export", newDownloads(c.Index).routes()...)
	stream := &rest.Events{Feed: c.Index, Topics: Topics, Life: m.Operations.Life(), Epoch: c.Index.Epoch(),
		Each: streamsEach}
	m.Add("index", append(p.index(), rest.Stream("GET", "/events", "events", "what happens, as it happens",
		stream.Serve).In(rest.ScopeNone).Gives(200, "text/event-stream", eventsAbout).
		Fails(market.CodeBusy, market.CodeNotFound), relays{c.RPC}.route())...)
	m.Add("graphql", newGraphs(m).routes()...)
	return m
}

// Guarded is m for everybody: any page may read it, each address has its share of requests.
func Guarded(m *rest.Mux) http.Handler {
	return rest.Guarded(m, rest.AnyOrigin(), rest.Limit(perSecond, burst, rest.ByAddress, time.Now),
		rest.OnPath(Base+"/rpc", rest.Limit(rpcPerSecond, rpcBurst, rest.ByAddress, time.Now)),
		rest.Bodies(maxBody, 10*time.Second))
}

const (
	about = "What an indexer of GPU AI knows of the market: signed documents of peers, its own probes, and the " +
		"chain. " +
		"Anybody may ask, and anybody can run an indexer to compare. Every figure says its source (src), as of when " +
		"(as_of), over how many (n) and since when it is known; /definitions says what its word means and how to " +
		"check it. What is not known is absent. Amounts are text in the mint's smallest unit. An ETag follows all " +
		"sources of an answer. Lists have limit and cursor. Errors are problem documents (RFC 9457)."
	eventsAbout = "Server-sent events. id is EPOCH-SEQ, event the topic, data a document. event reset: the id asked " +
		"for is older than what is kept, or of an index that was built anew; read the documents again. event lagged: " +
		"the reader fell more than 256 rows behind, the stream ends. A comment each 15 s. At most 8 streams of an " +
		"address " +
		"(of IPv6: of a /64)."
)

// pages answer from the index.
type pages struct{ Config }

type none struct{}

func missing(what string) error {
	return &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "look up",
		Detail: "this index has no such " + what, Hint: "see " + Base + "/search?q=…"}
}

// gossiped is the origin of sums over live offers.
func (p pages) gossiped(m *db.Market, n int64) Origin {
	return Origin{Src: db.Gossip, AsOf: AsOf{At: rest.At(m.At)}, N: n, Since: rest.At(p.Since)}
}

func (p pages) probed(m *db.Market, n int64) Origin {
	o := p.gossiped(m, n)
	o.Src = db.Probes
	return o
}

// index are the routes about the index itself.
func (p pages) index() []rest.Route {
	return []rest.Route{
		rest.GetCached("/search", "search", "things whose name begins with a text: models, providers, leases, "+
			"channels, wallets, transactions", p.search, "gossip", "chain", "signed"),
		rest.GetCached("/definitions", "definitions", "what each word means, and how to check it", defined),
	}
}

type searchIn struct {
	Q string `query:"q" required:"true" minLength:"1" maxLength:"100" doc:"how the name begins" example:"rtx-40"`
}

// perKind is how many of each kind a search finds.
const perKind = 5

func (p pages) search(ctx context.Context, in *searchIn) (Found, error) {
	out := Found{Schema: "gpuai.public-search/v1", Found: []Hit{}}
	if !plain(in.Q) {
		return out, rest.Usage(http.StatusBadRequest, "q is no printable text")
	}
	found, err := p.Index.Search(ctx, in.Q, perKind)
	if err != nil {
		return out, err
	}
	seen := map[db.Found]bool{}
	for _, f := range found {
		if !seen[f] {
			seen[f] = true
			paths := map[string]string{"model": "/gpus/", "provider": "/providers/", "channel": "/channels/",
				"lease":  "/leases/",
				"wallet": "/wallets/", "transaction": "/search?q="}
			out.Found = append(out.Found, Hit{Kind: f.Kind, ID: f.ID, Path: paths[f.Kind] + f.ID})
		}
	}
	return out, nil
}

// plain reports text that a database and a page take: no control characters, NUL first of all, and valid.
func plain(s string) bool {
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return false
		}
	}
	return true
}

func defined(context.Context, *none) (Definitions, error) {
	return Definitions{Schema: "gpuai.public-definitions/v1", Definitions: definitions}, nil
}
