package public_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/dbtest"
	"github.com/gpuai/gpuai/node/indexer/public"
	"github.com/gpuai/gpuai/node/rest"
	"github.com/gpuai/gpuai/node/rest/resttest"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Run(m)) }

var start = time.UnixMilli(1_800_000_000_000)

// site is a public API over an index, with a judge of its answers.
type site struct {
	*db.DB
	mux   *rest.Mux
	judge *resttest.Checker
}

func serve(t *testing.T, d *db.DB) site {
	t.Helper()
	m := public.New(public.Config{Index: d, Network: "localnet", Since: start}, slog.New(slog.DiscardHandler))
	t.Cleanup(m.Close)
	judge, err := resttest.New(m, public.Base)
	if err != nil {
		t.Fatal(err)
	}
	return site{d, m, judge}
}

func both(t *testing.T, f func(t *testing.T, s site)) {
	t.Helper()
	dbtest.Both(t, func(t *testing.T, d *db.DB, _ string) { f(t, serve(t, d)) })
}

// get asks the mux itself, without guards.
func (s site) get(t *testing.T, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	return s.ask(t, s.mux, path, header...)
}

func (s site) ask(t *testing.T, h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest("GET", public.Base+path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	media, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	if err := s.judge.Check(r, w.Code, media, w.Body.Bytes()); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	return w
}

func read[T any](t *testing.T, s site, path string) (v T) {
	t.Helper()
	w := s.get(t, path)
	if w.Code != 200 {
		t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func (s site) apply(t *testing.T, at time.Time, c db.Change) {
	t.Helper()
	if _, err := s.Apply(t.Context(), at, c); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sum(t.Context(), at); err != nil {
		t.Fatal(err)
	}
}

func rig(n int, class, country string, rate, devices, free int64) db.Rig {
	pay := fmt.Sprintf("payout%d", n)
	return db.Rig{Peer: fmt.Sprintf("peer%03d", n), Seq: 1, Raw: []byte("raw"), Payout: pay, Version: "0.1.0",
		Country: country, Devices: devices, Free: free, ExpiresAt: start.Add(time.Hour).UnixMilli(),
		Lots: []db.Lot{{Mint: public.SOLMint, Class: class, Name: "NVIDIA " + class, Devices: devices, Free: free,
			Rate: rate, VRAM: 24 << 30, Country: country, Payout: pay, Lead: true, Head: true}}}
}

func filled(t *testing.T, s site) {
	t.Helper()
	c := db.Change{}
	for i := range 7 {
		c.Rigs = append(c.Rigs, rig(i, []string{"rtx-4090", "h100"}[i/5], []string{"DE", "FR"}[i/5], int64(100+10*i), 4,
			2))
	}
	s.apply(t, start, c)
	m := s.Market()
	s.apply(t, start, db.Change{Buckets: m.Hour(),
		Probes: []db.Probe{{Peer: "peer001", At: start.UnixMilli(), OK: true, RTT: 900}, {Peer: "peer002", At: 5}}})
}

// TestDocument_IsCheckedIn: also that it is valid, and that a reader misses nothing.
func TestDocument_IsCheckedIn(t *testing.T) {
	d, err := db.Open(t.Context(), t.TempDir()+"/index.db")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	doc := resttest.Document(t, serve(t, d).mux, ".", "../../rest", "../../api")
	resttest.Written(t, "../../../docs/reference/openapi-public.json", resttest.Pretty(t, doc))
	resttest.Valid(t, doc)
	for _, finding := range resttest.Lint(doc) {
		t.Error(finding)
	}
}

// TestFigures: what the index holds comes out, with its sources.
func TestFigures(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s site) {
		filled(t, s)
		sum := read[public.Summary](t, s, "/summary")
		if g := sum.GPUs; g.Announced.Value != 28 || g.Free.Value != 14 || g.Reachable.Value != 4 ||
			g.Leased.Value != 0 || g.Proven != nil || sum.Rigs.Value != 7 || len(sum.Models) != 2 {
			t.Errorf("%+v", sum)
		}
		if o := sum.GPUs.Reachable.Origin; o.Src != db.Probes || o.N != 7 || o.AsOf.At.IsZero() || o.Since.IsZero() {
			t.Errorf("origin %+v", o)
		}
		m := read[public.ModelPage](t, s, "/gpus/rtx-4090")
		if m.Rigs.Value != 5 || len(m.Asks) != 1 || m.Asks[0].Value.Median.Amount != "120" ||
			m.Asks[0].Value.Median.Per != "hour" || m.Asks[0].Value.Median.Symbol != "SOL" {
			t.Errorf("%+v", m)
		}
		if b := read[public.Depth](t, s, "/book/rtx-4090"); len(b.Asks) != 5 || b.Asks[4].Sum != 10 || b.N != 5 {
			t.Errorf("%+v", b)
		}
		p := read[public.Prices](t, s, "/gpus/h100/prices")
		if len(p.Points) != 1 || p.Points[0].Asks.High.Amount != "160" || p.Points[0].Devices != 8 {
			t.Errorf("%+v", p)
		}
		n := read[public.Network](t, s, "/network")
		if len(n.Versions) != 1 || len(n.Countries) != 1 || n.Countries[0].Rigs.Value != 5 || n.Elsewhere.Value != 2 ||
			n.RTT == nil || n.RTT.Value != 900 {
			t.Errorf("two rigs of a country name it, or else: %+v", n)
		}
		one := read[public.ProviderPage](t, s, "/providers/peer001")
		if !one.Live || len(one.Offers) != 1 || len(one.Uptime) != 1 || one.Uptime[0].Reached != 1 ||
			one.Probe.RTT != 900 || one.Offers[0].Rate.Amount != "110" {
			t.Errorf("%+v", one)
		}
		if raw := read[public.RawOffer](t, s, "/offers/peer001/raw"); string(raw.Envelope) != "raw" || raw.Seq != 1 {
			t.Errorf("%+v", raw)
		}
		if o := read[public.Offers](t, s, "/offers?reachable=true"); len(o.Offers) != 1 ||
			o.Offers[0].Peer != "peer001" {
			t.Errorf("%+v", o)
		}
		if o := read[public.Offers](t, s,
			"/offers?slug=h100&max_rate=150&free=2&vram_bytes=1&country=fr"); len(o.Offers) != 1 {
			t.Errorf("%+v", o)
		}
		f := read[public.Found](t, s, "/search?q=peer00")
		if len(f.Found) != 5 || f.Found[0] != (public.Hit{Kind: "provider", ID: "peer000",
			Path: "/providers/peer000"}) {
			t.Errorf("%+v", f)
		}
		if d := read[public.Definitions](t, s, "/definitions"); len(d.Definitions) < 6 {
			t.Errorf("%+v", d)
		}
	})
}

// TestLists_Page: each row once, whatever the pages' size; a cursor that is none is refused.
func TestLists_Page(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s site) {
		filled(t, s)
		var peers, lots, slugs []string
		for cursor := ""; ; {
			p := read[public.Providers](t, s, "/providers?limit=3&cursor="+cursor)
			for _, r := range p.Providers {
				peers = append(peers, r.Peer)
			}
			if cursor = p.Cursor; cursor == "" {
				break
			}
		}
		for cursor := ""; ; {
			p := read[public.Offers](t, s, "/offers?limit=3&cursor="+cursor)
			for _, r := range p.Offers {
				lots = append(lots, r.Rate.Amount)
			}
			if cursor = p.Cursor; cursor == "" {
				break
			}
		}
		for cursor := ""; ; {
			p := read[public.Models](t, s, "/gpus?limit=1&cursor="+cursor)
			for _, r := range p.Models {
				slugs = append(slugs, r.Slug)
			}
			if cursor = p.Cursor; cursor == "" {
				break
			}
		}
		if len(peers) != 7 || !slices.IsSorted(peers) || len(lots) != 7 || !slices.IsSorted(lots) ||
			!slices.Equal(slugs, []string{"h100", "rtx-4090"}) {
			t.Errorf("%v %v %v", peers, lots, slugs)
		}
	})
}

// TestErrors: what is wrong with a request has a code, and nothing of it comes back.
func TestErrors(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s site) {
		filled(t, s)
		for path, want := range map[string]int{
			"/gpus/none": 404, "/book/none": 404, "/providers/none": 404, "/offers/none/raw": 404, "/nothing": 404,
			"/offers?cursor=zz": 400, "/offers?cursor=MTU": 400, "/providers?cursor=%00": 400,
			"/offers?limit=0": 400, "/offers?limit=201": 400, "/offers?else=1": 400, "/offers?max_rate=-1": 400,
			"/offers?slug=%00": 400, "/search": 400, "/search?q=%00": 400, "/search?q=" + strings.Repeat("a", 101): 400,
			"/offers?max_rate=99999999999999999999": 400, "/offers?country=%ff": 400,
			"/offers/%00/raw": 404, "/gpus/%00/prices": 404, "/offers?cursor=MTEgYSBiIGM": 400,
			"/gpus/rtx-4090/prices?since=yesterday": 400,
		} {
			w := s.get(t, path)
			if w.Code != want || strings.Contains(w.Body.String(), "yesterday") {
				t.Errorf("%s: %d, want %d: %s", path, w.Code, want, w.Body)
			}
		}
	})
}

// TestETag_FollowsItsSources: an answer keeps its tag while its sources stay, and has another once one has changed.
func TestETag_FollowsItsSources(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s site) {
		filled(t, s)
		tags := func() map[string]string {
			out := map[string]string{}
			for _, p := range []string{"/summary", "/offers", "/providers/peer001", "/offers/peer001/raw",
				"/definitions"} {
				w := s.get(t, p)
				out[p] = w.Header().Get("ETag")
				if again := s.get(t, p, "If-None-Match", out[p]); again.Code != 304 || again.Body.Len() != 0 ||
					again.Header().Get("ETag") != out[p] || out[p] == "" {
					t.Errorf("%s: %d %q", p, again.Code, again.Header())
				}
				if other := s.get(t, p, "If-None-Match", `"other"`); other.Body.String() != w.Body.String() {
					t.Errorf("%s: another answer under the same tag", p)
				}
			}
			return out
		}
		was := tags()
		changed := func(what string, want ...string) {
			t.Helper()
			now := tags()
			for p := range now {
				if (now[p] != was[p]) != slices.Contains(want, p) {
					t.Errorf("%s: the tag of %s was %s, is %s", what, p, was[p], now[p])
				}
			}
			was = now
		}
		if _, err := s.Apply(t.Context(), start, db.Change{}); err != nil {
			t.Fatal(err)
		}
		changed("nothing")
		probe := db.Change{Probes: []db.Probe{{Peer: "peer003", At: start.UnixMilli(), OK: true}}}
		if _, err := s.Apply(t.Context(), start, probe); err != nil {
			t.Fatal(err)
		}
		changed("a probe", "/offers", "/providers/peer001")
		next := rig(1, "h100", "DE", 5, 1, 1)
		next.Seq = 2
		if _, err := s.Apply(t.Context(), start, db.Change{Rigs: []db.Rig{next}}); err != nil {
			t.Fatal(err)
		}
		changed("an offer", "/offers", "/providers/peer001", "/offers/peer001/raw")
		if _, err := s.Sum(t.Context(), start); err != nil {
			t.Fatal(err)
		}
		changed("a sum", "/summary", "/offers")
		if err := s.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		if w := s.get(t, "/providers/peer001", "If-None-Match", was["/providers/peer001"]); w.Code != 404 {
			t.Errorf("of an index that was emptied: %d", w.Code)
		}
	})
}

// TestGuards: any page may read, and an address that asks too much is told when to come again.
func TestGuards(t *testing.T) {
	t.Parallel()
	d, err := db.Open(t.Context(), t.TempDir()+"/index.db")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s := serve(t, d)
	h := public.Guarded(s.mux)
	w := s.ask(t, h, "/summary", "Origin", "https://elsewhere.example")
	if w.Code != 200 || w.Header().Get("Access-Control-Allow-Origin") != "*" ||
		w.Header().Get("Access-Control-Allow-Credentials") != "" || w.Header().Get("RateLimit") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	pre := httptest.NewRequest("OPTIONS", public.Base+"/summary", nil)
	pre.Header.Set("Origin", "https://elsewhere.example")
	pre.Header.Set("Access-Control-Request-Method", "GET")
	got := httptest.NewRecorder()
	h.ServeHTTP(got, pre)
	if got.Code != 204 {
		t.Errorf("preflight: %d", got.Code)
	}
	for range 100 {
		if w = s.ask(t, h, "/summary"); w.Code != 200 {
			break
		}
	}
	if w.Code != 429 || w.Header().Get("Retry-After") == "" {
		t.Errorf("after 100 requests: %d %v", w.Code, w.Header())
	}
}

// TestEvents_ResumeAndAnew: a reader goes on after its last event; one of an index that was built anew hears reset.
func TestEvents_ResumeAndAnew(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s site) {
		filled(t, s) // 7 events
		h := httptest.NewServer(s.mux)
		defer h.Close()
		lines := func(last string, n int) (out []string) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, "GET", h.URL+public.Base+"/events", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Last-Event-ID", last)
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != 200 {
				b, _ := io.ReadAll(resp.Body)
				t.Fatalf("%d %s", resp.StatusCode, b)
			}
			sc := bufio.NewScanner(resp.Body)
			for len(out) < n && sc.Scan() {
				if l := sc.Text(); strings.HasPrefix(l, "id:") || strings.HasPrefix(l, "event:") {
					out = append(out, l)
				}
			}
			return out
		}
		e := s.Epoch()
		want := []string{"id: " + e + "-6", "event: offer", "id: " + e + "-7", "event: offer"}
		if got := lines(e+"-5", 4); !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
		anew := []string{"id: " + e + "-7", "event: reset"}
		if got := lines("other-5", 2); !slices.Equal(got, anew) {
			t.Errorf("of another epoch: %q", got)
		}
		if got := lines("5", 2); !slices.Equal(got, anew) {
			t.Errorf("without an epoch: %q", got)
		}
		if w := s.get(t, "/events", "Last-Event-ID", "x-y"); w.Code != 400 {
			t.Errorf("%d", w.Code)
		}
	})
}
