package rest

import (
	"bytes"
	"compress/gzip"
	"context"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// Sources names what feeds a GET answer that anybody may get: it has an ETag of their state (Options.State), and is
// kept as long as that stays. An answer must follow from the request and its sources alone. Without a source it is the
// same as long as the program runs.
func (r Route) Sources(names ...string) Route {
	r.sources = append([]string{}, names...)
	return r
}

// maxKept bounds what a cache keeps, in bytes.
const maxKept = 64 << 20

// cache keeps answers by what was asked for.
type cache struct {
	mu   sync.Mutex
	size int
	kept map[string]kept
}

// kept is an answer; zipped is nil until somebody takes it so.
type kept struct {
	tag          string
	body, zipped []byte
}

func (c *cache) get(key, tag string) (kept, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.kept[key]
	return k, ok && k.tag == tag
}

// put keeps an answer; others make room for it, whichever come first.
func (c *cache) put(key string, k kept) {
	const overhead = 200
	cost := func(key string, k kept) int { return len(key) + len(k.tag) + len(k.body) + len(k.zipped) + overhead }
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil {
		c.kept = map[string]kept{}
	}
	if old, ok := c.kept[key]; ok {
		c.size -= cost(key, old)
		delete(c.kept, key)
	}
	for other, old := range c.kept {
		if c.size+cost(key, k) <= maxKept {
			break
		}
		c.size -= cost(other, old)
		delete(c.kept, other)
	}
	c.kept[key] = k
	c.size += cost(key, k)
}

// cached answers from the cache, or by next and keeps it. Its state is taken first: what changes meanwhile makes a
// kept answer old.
func (m *Mux) cached(rt Route, ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	tag := `"` + m.state(rt.sources...) + `"`
	key := r.URL.EscapedPath() + "?" + r.URL.RawQuery
	k, ok := m.cache.get(key, tag)
	if !ok {
		got := &recorder{header: http.Header{}, status: http.StatusOK}
		next(humago.NewContext(ctx.Operation(), r, got))
		if got.status != http.StatusOK {
			got.send(w)
			return
		}
		k = kept{tag: tag, body: bytes.Clone(got.body.Bytes())}
		m.cache.put(key, k)
	}
	h := w.Header()
	h.Set("ETag", tag)
	h.Set("Cache-Control", "no-cache") // keep it, and ask whether it is still so
	h.Set("Vary", "Accept-Encoding")
	if slices.ContainsFunc(strings.Split(r.Header.Get("If-None-Match"), ","), func(t string) bool {
		t = strings.TrimSpace(t)
		return t == "*" || strings.TrimPrefix(t, "W/") == tag
	}) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", "application/json")
	if len(k.body) < minZipped || !takesGzip(r) {
		_, _ = w.Write(k.body) // the caller is gone if this fails
		return
	}
	if k.zipped == nil {
		k.zipped = zipped(k.body)
		m.cache.put(key, k)
	}
	h.Set("ETag", "W/"+tag) // the same answer in other bytes
	h.Set("Content-Encoding", "gzip")
	_, _ = w.Write(k.zipped)
}

// minZipped is the least size that a packet less is worth the work for.
const minZipped = 1400

func zipped(body []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(body) // a buffer takes all
	_ = z.Close()
	return b.Bytes()
}

func takesGzip(r *http.Request) bool {
	for _, e := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.ToLower(strings.ReplaceAll(e, " ", "")), ";")
		if name == "gzip" { // "q=0.000" is none, too
			return weight == "" || strings.Trim(strings.TrimPrefix(weight, "q="), "0.") != ""
		}
	}
	return false
}

// GetCached is Get of an answer that anybody may get; see Route.Sources.
func GetCached[I, O any](path, id, summary string, f func(context.Context, *I) (O, error), sources ...string) Route {
	r := Get(path, id, summary, f).In(ScopeNone).Sources(sources...)
	r.op.Responses = map[string]*huma.Response{"304": {Description: "it is as the ETag in If-None-Match says"}}
	r.read = &Read{ID: id, About: summary, In: reflect.TypeFor[I](), Out: reflect.TypeFor[O](),
		Do: func(ctx context.Context, in any) (any, error) { return f(ctx, in.(*I)) }}
	return r
}

// Read is what a route of GetCached answers, for another interface over the same: Do takes a pointer to an In, whose
// tags were obeyed, and gives an Out.
type Read struct {
	ID, About string
	In, Out   reflect.Type
	Do        func(ctx context.Context, in any) (any, error)
}

// Reads are those of all routes that were added.
func (m *Mux) Reads() (out []Read) {
	for _, r := range m.routes {
		if r.read != nil {
			out = append(out, *r.read)
		}
	}
	return out
}
