package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strings"
	"testing"
)

func parsed(t *testing.T, path, text string) source {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return source{path: path, ast: f}
}

// timers are what a loop waits with when it does not wait for an event. A name without a package is a helper of ours.
var timers = map[string]bool{
	"time.Sleep": true, "time.NewTimer": true, "time.NewTicker": true, "time.After": true, "time.Tick": true,
	"sleep": true, "pause": true, "Sleep": true, "Pause": true,
}

// room is a file's package, at most two folders deep: an owner may move within its room.
func room(path string) string {
	parts := strings.Split(path, "/")
	return strings.Join(parts[:min(2, len(parts)-1)], "/")
}

// timedLoops returns the functions of a file that loop and wait for time, each with how many waits it has.
func timedLoops(s source) map[string]int {
	out := map[string]int{}
	for _, d := range s.ast.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		loops, waits := false, 0
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ForStmt, *ast.RangeStmt:
				loops = true
			case *ast.CallExpr:
				switch fun := n.Fun.(type) {
				case *ast.Ident:
					if timers[fun.Name] {
						waits++
					}
				case *ast.SelectorExpr:
					x, _ := fun.X.(*ast.Ident)
					if timers[fun.Sel.Name] || x != nil && timers[x.Name+"."+fun.Sel.Name] {
						waits++
					}
				}
			}
			return true
		})
		if loops && waits > 0 {
			out[room(s.path)+" "+f.Name.Name] += waits
		}
	}
	return out
}

// timed are the functions of the product that loop and wait for time, and why each does: what it looks at sends no
// event, or time itself is the event. A new one needs a reason that no event exists.
var timed = map[string]string{
	// Time is the event.
	"node/indexer write": "Offers that expire tell nobody, and what comes within a moment goes into one " +
		"transaction",
	"node/indexer sums":       "they take a bounded share of the time; what is reachable ends by the clock",
	"node/indexer follow":     "the chain: public endpoints tell of nothing reliably",
	"node/indexer probeAll":   "rigs are dialled by the clock; a new one wakes it",
	"node/indexer hourly":     "other indexers tell nobody that they changed",
	"escrow/solana Serve":     "transactions are sent again by the clock; new work wakes it",
	"node prune":              "old rows go by their age",
	"node Serve":              "peers that never came tell nobody; a wish for a look-up wakes it",
	"p2p/dht announce":        "records end by their age; new keys wake it",
	"node/rest follow":        "a heartbeat, for clients behind proxies; rows come as events",
	"node/customer watchBook": "a busy book is looked through at most so often; its change wakes it",
	"node/customer tend":      "inputs expire by their age; a transfer wakes it",
	"node/health Serve": "findings are looked at again by the clock: most are the machine's, which " +
		"tells nobody",
	"node/lease Serve":           "the next timer of the lease",
	"node/customer untilOverdue": "how long a log may stand still; its lease's steps wake it",
	"node/provider Serve":        "debts are asked for again by the clock",
	"node/provider waitTurn":     "the pace that the network allows Offers",
	"node/outcomes Serve":        "a lease is told again by the clock; a new one wakes it",
	"p2p/offers expireLoop":      "Offers end by their age",
	"p2p/offers syncLoop":        "rounds of sync by the clock, and a look whether anybody is there",
	"p2p/streams ping":           "a line that is quiet is told from one that is dead by pings",
	"p2p serve":                  "back-offs of dials, and the age of circuits",
	"runtime/docker watch":       "free disk and sizes: neither kernel nor engine tells of them",
	"runtime/sandbox Network":    "counters of the packet filter, which tells nobody",
	"cmd/gpuai newStatusCmd":     "status --watch",
	"cmd/gpuai wait":             "a second Ctrl-C, which must come soon; the order's events wake it",
	"cmd/gpuai pulse":            "progress, the meter and the ledger are no events; an event wakes it",

	// A call that failed is tried again later, with growing rests.
	"node awaitGenesis":           "a ledger that does not answer yet",
	"node/indexer ask":            "an indexer that asks to be left alone",
	"node/customer run":           "a log whose stream broke is copied on",
	"node/customer serve":         "a provider that does not answer",
	"node/till Write":             "a full disk tells nobody that it has room again",
	"node/customer happens":       "the same",
	"node/lease commit":           "a disk that is full",
	"node/lease try":              "an effect that failed",
	"runtime/docker Logs":         "an engine that is away",
	"runtime/docker pullTries":    "a registry that asks to be left alone",
	"runtime/docker untilRunning": "an engine that failed a step",
	"runtime/image get":           "a registry that asks to be left alone",

	// Whoever is waited for tells nobody.
	"cmd/gpuai await":          "another process that starts",
	"cmd/gpuai newNodeStop":    "another process that ends",
	"cmd/gpuai settledStatus":  "a node that starts",
	"runtime/docker pull":      "an engine's download: its rate must not fall below the floor",
	"runtime/sandbox killRest": "processes that the kernel ends",
	"runtime/sandbox openGate": "init's socket, which comes with its start",
	"node/backend poll":        "the chain",
	"node/customer Serve":      "the chain: the one reader of it; a transaction of this node wakes it",
	"node/provider tryAccept":  "the chain: a deposit that is confirmed and not final yet",

	// An event exists or could: these go with the pure machines and Watch.
	"node/api follow":          "a node without events, or with too many readers; its events wake it",
	"node/provider awaitFirst": "one limit for what the first Offer waits for; changes and moves wake it",
	"node/provider loop": "an Offer expires, an engine tells of little, quarantine backs off; to come: a " +
		"job's events",
	"node/provider follow":  "addresses settle before they are told; a change wakes it",
	"node/provider started": "not a loop that waits: one limit for all steps of a start",
	"node/provider serve":   "the chain, own transactions wake it; containers without a lease: nobody tells",
}

func TestWaits_EachHasAReason(t *testing.T) {
	t.Parallel()
	found := map[string]int{}
	for _, s := range sources(t) {
		dir := s.path[:strings.LastIndex(s.path, "/")+1]
		if s.test || strings.HasSuffix(dir, "test/") || strings.Contains(dir, "test/") ||
			strings.HasPrefix(dir, "cmd/") && dir != "cmd/gpuai/" {
			continue
		}
		for name, n := range timedLoops(s) {
			found[name] += n
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if timed[name] == "" {
			t.Errorf("%s loops and waits for time: let it wait for an event, or say in timed why there is none", name)
		}
	}
	for name := range timed {
		if found[name] == 0 {
			t.Errorf("%s does not loop and wait for time any more: delete its line in timed", name)
		}
	}
}

func TestWaits_Loop_IsFound(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]int{
		"for { time.Sleep(1) }": 1, "t := time.NewTicker(1); for range t.C { }": 1,
		"for { select { case <-time.After(1): case <-time.After(2): } }": 2, "for { if sleep(ctx, 1) != nil { } }": 1,
		"for { _ = lease.Sleep(ctx, 1) }": 1, "time.Sleep(1)": 0, "for { <-c }": 0,
	} {
		got := timedLoops(parsed(t, "node/x/x.go", "package x\nfunc (r *run) f() { "+body+" }"))
		if got["node/x f"] != want {
			t.Errorf("%s: %v, want %d", body, got, want)
		}
	}
}
