package solana

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/escrow/localnet"
	"github.com/gpuai/gpuai/market"
)

// balancer is an endpoint in front of a real ledger whose machines are not equally far, forget, or do not answer.
type balancer struct {
	to string

	mu      sync.Mutex
	forgets bool   // the status cache is lost: every signature is unknown, at the newest slot
	behind  uint64 // signatures are unknown and accounts are absent, as of this many slots ago
	hangs   bool   // no answer until the test ends
	loses   bool   // transactions are taken and not passed on
	sent    map[string]bool
	ended   <-chan struct{}
}

func newBalancer(t *testing.T, s *localnet.Server) (*balancer, string) {
	b := &balancer{to: s.RPC, sent: map[string]bool{}, ended: t.Context().Done()}
	srv := httptest.NewServer(b)
	t.Cleanup(srv.Close)
	return b, srv.URL
}

func (b *balancer) set(f func(*balancer)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(b)
}

// signatures counts the different transactions that were sent.
func (b *balancer) signatures() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.sent)
}

func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var req struct {
		ID     json.RawMessage
		Method string
		Params []json.RawMessage
	}
	_ = json.Unmarshal(body, &req) // what is no request is passed on
	b.mu.Lock()
	forgets, behind, hangs, loses := b.forgets, b.behind, b.hangs, b.loses
	if req.Method == "sendTransaction" {
		b.sent[string(req.Params[0])] = true
	}
	b.mu.Unlock()
	if hangs {
		select {
		case <-b.ended:
		case <-r.Context().Done():
		}
		return
	}
	if loses && req.Method == "sendTransaction" {
		_ = json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": req.ID, "result": "lost"})
		return
	}
	resp, err := http.Post(b.to, "application/json", bytes.NewReader(body))
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if req.Method == "getSignatureStatuses" && (forgets || behind > 0) || req.Method == "getMultipleAccounts" &&
		behind > 0 && !strings.Contains(string(body), "Sysvar") {
		answer = blank(answer, behind)
	}
	_, _ = w.Write(answer)
}

// blank makes every value of an answer null and its context older.
func blank(answer []byte, behind uint64) []byte {
	var out struct {
		Jsonrpc string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Result  struct {
			Context struct {
				Slot uint64 `json:"slot"`
			} `json:"context"`
			Value []any `json:"value"`
		} `json:"result"`
	}
	if json.Unmarshal(answer, &out) != nil {
		return answer
	}
	out.Result.Context.Slot -= min(behind, out.Result.Context.Slot)
	clear(out.Result.Value)
	b, _ := json.Marshal(out)
	return b
}

// lie is a ledger behind a balancer, stepped by the test, with manual slots: each transaction is a slot.
type lie struct {
	*escrowtest.World
	b    *balancer
	l    *Ledger
	s    *localnet.Server
	urls []string
	j    *memJournal
	to   market.Address
}

func newLie(t *testing.T, more ...string) *lie {
	t.Helper()
	s := escrowtest.NeedLocalnet(t, localnet.Options{SlotMS: -1, Seed: t.Name()})
	x := &lie{World: localWorld(s)(t), s: s, j: &memJournal{},
		to: market.Address(escrow.PublicKey(testSigner("far wallet " + t.Name())))}
	b, url := newBalancer(t, s)
	x.b, x.urls = b, append([]string{url}, more...)
	x.restart(t)
	x.Fund(x.l.Address(), 10_000_000_000)
	return x
}

func (x *lie) restart(t *testing.T) {
	t.Helper()
	cfg := Config{RPC: x.urls, Genesis: x.s.Genesis, Program: x.s.Program, Step: time.Millisecond,
		MaxPerDay: 1_800_000}
	l, err := New(cfg, testSigner("payer behind "+t.Name()), x.j, nil)
	if err != nil {
		t.Fatal(err)
	}
	x.l = l
}

// steps drives the sender until done or n steps are over.
func (x *lie) steps(t *testing.T, n int, key string, done func(escrow.Result) bool) escrow.Result {
	t.Helper()
	for range n {
		_ = x.l.step(t.Context()) // lies are errors too: what counts is the chain
		r, _, err := x.l.Result(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if done(r) {
			return r
		}
		x.l.mu.Lock()
		for _, r := range x.l.recs {
			r.lastSend, r.after = time.Time{}, time.Time{} // as if the time had passed
		}
		x.l.mu.Unlock()
	}
	r, _, _ := x.l.Result(t.Context(), key)
	return r
}

func ended(r escrow.Result) bool { return r.State.Ended() }
func sent(r escrow.Result) bool  { return r.State == escrow.Sent || r.State == escrow.ConfirmedTx }

// moves are the intents that move money, each with what the chain must show of it once and no more.
func (x *lie) moves(t *testing.T) map[string]struct {
	in    escrow.Intent
	exact func(*testing.T)
} {
	terms, id := x.terms(t, x.to)
	topped, base := x.terms(t, market.Address(escrow.PublicKey(testSigner("payee of the top-up"))))
	open := escrow.Intent{Op: escrow.OpOpen, Channel: base, Amount: 1_000_000, Open: &topped}
	if err := x.l.Submit(t.Context(), open); err != nil {
		t.Fatal(err)
	}
	if r := x.steps(t, 9, open.Key(), sent); !sent(r) {
		t.Fatalf("open: %+v", r)
	}
	x.Warp(40)
	x.steps(t, 9, open.Key(), ended)
	before, err := x.l.Balance(t.Context(), x.l.Address())
	if err != nil {
		t.Fatal(err)
	}
	deposit := func(id market.ChannelID, want market.Amount) func(*testing.T) {
		return func(t *testing.T) {
			s, err := x.Payer.Channels(t.Context(), []market.ChannelID{id}, escrow.Confirmed)
			if err != nil || s[0].Deposit != want {
				t.Errorf("deposit %d (%v), want %d", s[0].Deposit, err, want)
			}
		}
	}
	return map[string]struct {
		in    escrow.Intent
		exact func(*testing.T)
	}{
		"open": {escrow.Intent{Op: escrow.OpOpen, Channel: id, Amount: 500_000, Open: &terms}, deposit(id, 500_000)},
		"top-up": {escrow.Intent{Op: escrow.OpTopUp, Channel: base, Nonce: 1_000_000, Amount: 500_000,
			Total: 1_500_000}, deposit(base, 1_500_000)},
		"transfer": {escrow.Intent{Op: escrow.OpTransfer, Nonce: 1, To: x.to, Amount: 1_000_000_000},
			func(t *testing.T) {
				if b, err := x.l.Balance(t.Context(), x.to); err != nil || b != 1_000_000_000 {
					t.Errorf("%d arrived (%v), want 1 SOL", b, err)
				}
				left, err := x.l.Balance(t.Context(), x.l.Address())
				if spent := before - left; err != nil || spent < 1_000_000_000 || spent > 1_000_100_000 {
					t.Errorf("the account is %d lighter (%v): the ticket did not come back", spent, err)
				}
			}},
		"everything": {escrow.Intent{Op: escrow.OpTransfer, Nonce: 2, To: x.to, All: true}, func(t *testing.T) {
			if b, err := x.l.Balance(t.Context(), x.l.Address()); err != nil || b != 0 {
				t.Errorf("%d are left (%v)", b, err)
			}
			if b, err := x.l.Balance(t.Context(), x.to); err != nil || b > before || b < before-100_000 {
				t.Errorf("%d of %d arrived (%v)", b, before, err)
			}
		}},
	}
}

func (x *lie) terms(t *testing.T, payee market.Address) (escrow.OpenTerms, market.ChannelID) {
	t.Helper()
	terms, _ := x.Terms(t, payee)
	terms.Payer = x.l.Address()
	terms, id, err := terms.FindSalt(x.Program)
	if err != nil {
		t.Fatal(err)
	}
	return terms, id
}

// TestLies_NothingLandsTwice: whatever a machine behind the endpoint does not know, what moves money takes effect once,
// is not called failed, and costs what was wanted: across restarts, in each state, past the last valid height.
func TestLies_NothingLandsTwice(t *testing.T) {
	for _, lie := range []struct {
		name string
		on   func(*balancer)
	}{
		{"a machine that is 200 slots behind", func(b *balancer) { b.behind = 200 }},
		{"a lost status cache", func(b *balancer) { b.forgets = true }},
		{"sends are lost", func(b *balancer) { b.loses = true }},
	} {
		for _, what := range []string{"open", "top-up", "transfer", "everything"} {
			t.Run(lie.name+"/"+what, func(t *testing.T) {
				t.Parallel()
				x := newLie(t)
				move := x.moves(t)[what]
				if err := x.l.Submit(t.Context(), move.in); err != nil {
					t.Fatal(err)
				}
				for range 4 {
					x.b.set(lie.on)
					x.steps(t, 3, move.in.Key(), ended)
					x.Warp(200) // past the last valid height, and final
					x.steps(t, 6, move.in.Key(), ended)
					x.restart(t)
					x.b.set(func(b *balancer) { b.behind, b.forgets, b.loses = 0, false, false })
					x.steps(t, 3, move.in.Key(), ended)
				}
				x.Warp(200)
				if r := x.steps(t, 30, move.in.Key(), ended); r.State != escrow.Final {
					t.Errorf("ended as %+v, want final", r)
				}
				x.Warp(40)
				move.exact(t)
			})
		}
	}
}

// TestLies_HungEndpoint_ProvesNothing: what a second endpoint does not confirm is not absent: nothing is signed again
// until it answers.
func TestLies_HungEndpoint_ProvesNothing(t *testing.T) {
	t.Parallel()
	x := newLie(t)
	second, url := newBalancer(t, x.s)
	x.urls = append(x.urls, url)
	x.restart(t)
	x.l.rpc.http.Timeout = 200 * time.Millisecond
	second.set(func(b *balancer) { b.hangs = true })
	x.b.set(func(b *balancer) { b.loses = true })
	in := escrow.Intent{Op: escrow.OpTransfer, Nonce: 1, To: x.to, Amount: 1_000_000}
	if err := x.l.Submit(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	x.steps(t, 2, in.Key(), ended)
	x.Warp(200)
	if r := x.steps(t, 4, in.Key(), ended); r.State != escrow.Sent || x.b.signatures() != 1 {
		t.Fatalf("%s with %d signatures, want sent with 1: one endpoint did not say absent", r.State, x.b.signatures())
	}
	x.b.set(func(b *balancer) { b.loses = false })
	second.set(func(b *balancer) { b.hangs = false })
	x.restart(t)
	for range 4 { // the ticket again, the money once that is sure to be the last of its kind, the finality
		x.steps(t, 20, in.Key(), ended)
		x.Warp(200)
	}
	if r := x.steps(t, 20, in.Key(), ended); r.State != escrow.Final {
		t.Fatalf("ended as %+v", r)
	}
	if b, err := x.l.Balance(t.Context(), x.to); err != nil || b != 1_000_000 {
		t.Errorf("%d arrived (%v), want 1,000,000", b, err)
	}
}

// TestLies_RetryIsWithinTheCap: a deposit that expired is signed again only within the daily cap and what the account
// holds then.
func TestLies_RetryIsWithinTheCap(t *testing.T) {
	t.Parallel()
	x := newLie(t)
	terms, id := x.terms(t, x.to)
	in := escrow.Intent{Op: escrow.OpOpen, Channel: id, Amount: 1_500_000, Open: &terms}
	if err := x.l.Submit(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	x.b.set(func(b *balancer) { b.loses = true })
	x.steps(t, 2, in.Key(), ended)
	x.l.cfg.MaxPerDay = 1_000_000 // lowered meanwhile
	x.b.set(func(b *balancer) { b.loses = false })
	x.Warp(200)
	if r := x.steps(t, 9, in.Key(), ended); r.State != escrow.Failed || !strings.Contains(r.Err, "24 h") {
		t.Errorf("%+v, want failed by the daily cap", r)
	}
	if s, err := x.Payer.Channels(t.Context(), []market.ChannelID{id}, escrow.Confirmed); err != nil ||
		s[0].Status != escrow.StatusGone {
		t.Errorf("the channel is %s (%v)", s[0].Status, err)
	}
}
