package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rest"
)

// secret is what a caller mistypes into anything: no answer may repeat it.
const secret = "hunter2"

// whole answers every call with a full document.
type whole struct {
	orders atomic.Int32
	gate   chan struct{} // if set, CreateOrder says that it waits, and waits
}

var _ Backend = (*whole)(nil)

var (
	someTime  = rest.At(time.UnixMilli(1_700_000_000_120))
	someOrder = Order{Schema: "gpuai.order/v1", ID: "order_1", Standing: "ended",
		OrderFiles: OrderFiles{LeftOut: []LeftOut{{"output", "/workspace/out/p", "it is a named pipe"}},
			OutputsFetchedAt: &someTime},
		OrderRun:   OrderRun{CreatedAt: someTime, ReadyAt: &someTime, Steps: []Step{{At: someTime, Phase: "quote"}}},
		OrderMoney: OrderMoney{Cap: SOL(1), Rate: RateSOL(1)}}
	someLease = Lease{Schema: "gpuai.lease/v1", ID: "lease_1", Role: "customer", CreatedAt: someTime,
		LeaseMoney: LeaseMoney{Rate: RateSOL(1), Owed: SOL(1), Paid: SOL(1)}}
	someProv = Provider{Schema: "gpuai.provider/v1", Rate: RateSOL(5), Rates: map[string]Money{},
		Devices: []Device{{Schema: "gpuai.device/v1", ID: "d", Rate: RateSOL(1)}}, Earned: SOL(1)}
	someDoc = Doctor{Schema: "gpuai.doctor/v1", Level: "ok", CheckedAt: &someTime,
		Findings: []Finding{{Group: "rig", Level: "ok", Fix: []rest.Fix{}}}}
	someChan = Channel{Schema: "gpuai.channel/v1", Address: solMint, OpenedAt: someTime, Deposit: SOL(1)}
)

func missing(id string) error {
	if id == "order_1" || id == "lease_1" {
		return nil
	}
	return &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "find", Detail: "none",
		Hint: "gpuai ps"}
}

func (w *whole) Status(context.Context) (Status, error) {
	return Status{Schema: "gpuai.status/v1", Roles: []string{}, Addresses: []string{}, StartedAt: someTime}, nil
}
func (w *whole) Offers(context.Context, market.Sort) ([]Offer, error) { return nil, nil }
func (w *whole) Depth(_ context.Context, class string) (Depth, error) {
	return Depth{Schema: "gpuai.depth/v1", Class: class, Levels: []DepthLevel{}, Bids: []DepthBid{}}, nil
}
func (w *whole) Plan(_ context.Context, r OrderRequest) (Plan, error) {
	return Plan{Schema: "gpuai.plan/v1", Request: r, Candidates: []Candidate{}, Rejections: []Rejection{}}, nil
}
func (w *whole) PutInputs(_ context.Context, id string, r io.Reader) error { return missing(id) }
func (w *whole) Orders(context.Context, OrderQuery) ([]Order, error)       { return []Order{someOrder}, nil }
func (w *whole) Order(_ context.Context, id string) (Order, error)         { return someOrder, missing(id) }
func (w *whole) StopOrder(_ context.Context, id string, _ bool) error      { return missing(id) }
func (w *whole) CreateOrder(context.Context, OrderRequest) (Order, error) {
	if w.gate != nil {
		w.gate <- struct{}{}
		<-w.gate
	}
	w.orders.Add(1)
	return someOrder, nil
}

func (w *whole) Logs(_ context.Context, id string, _ LogQuery, f func(LogPiece) error) (LogState, error) {
	if err := missing(id); err != nil {
		return LogState{}, err
	}
	return LogState{}, f(LogPiece{Stream: 1, At: someTime.Time, Data: []byte("x")})
}

func (w *whole) Exec(context.Context, string, []string, *Terminal, io.Reader, func(uint8, []byte) error) (int, error) {
	return 7, nil
}

func (w *whole) GetOutputs(_ context.Context, id string, _ bool, to io.Writer) error {
	if err := missing(id); err != nil {
		return err
	}
	_, err := io.WriteString(to, "tar")
	return err
}

func (w *whole) Spool(context.Context) (Spool, error) {
	return Spool{Schema: "gpuai.spool/v1", Bytes: 5,
		Entries: []SpoolEntry{{Order: "order_1", Outputs: 5, FetchedAt: &someTime}}}, nil
}
func (w *whole) PruneSpool(ctx context.Context, _ SpoolPrune) (Spool, error) { return w.Spool(ctx) }
func (w *whole) Receipt(_ context.Context, id string) (Receipt, error) {
	return Receipt{Schema: "gpuai.receipt/v1", Order: someOrder}, missing(id)
}
func (w *whole) Wallet(context.Context) (Wallet, error) {
	return Wallet{Schema: "gpuai.wallet/v1", Available: SOL(1<<64 - 1)}, nil
}
func (w *whole) WalletNew(ctx context.Context) (Wallet, error)                { return w.Wallet(ctx) }
func (w *whole) Airdrop(ctx context.Context, _ market.Amount) (Wallet, error) { return w.Wallet(ctx) }
func (w *whole) Withdraw(_ context.Context, x Withdrawal) (Transfer, error) {
	return Transfer{Schema: "gpuai.transfer/v1", To: x.To, Amount: SOL(x.Amount)}, nil
}
func (w *whole) Channels(context.Context) ([]Channel, error)           { return []Channel{someChan}, nil }
func (w *whole) CloseChannel(context.Context, string) (Channel, error) { return someChan, nil }
func (w *whole) Provider(context.Context) (Provider, error)            { return someProv, nil }
func (w *whole) ProviderSell(context.Context, bool) (Provider, error)  { return someProv, nil }
func (w *whole) PatchProvider(context.Context, ProviderPatch) error    { return nil }
func (w *whole) ProviderEarnings(context.Context, time.Time) (Earnings, error) {
	return Earnings{
		Schema: "gpuai.earnings/v1", Days: []EarnedDay{{Day: "2026-11-30", Earned: SOL(1), Settled: SOL(1)}},
		Earned: SOL(1), Settled: SOL(1), Claim: SOL(0), Now: SOL(0),
	}, nil
}
func (w *whole) ProviderIdle(context.Context) (Idle, error) {
	return Idle{Schema: "gpuai.idle/v1", Refused: []IdleReason{}, Prices: []PriceRank{{Class: "cpu", Own: RateSOL(1)}}},
		nil
}
func (w *whole) KickLease(_ context.Context, id, _ string) error { return missing(id) }
func (w *whole) ProviderLeases(context.Context, LeaseQuery) ([]Lease, string, error) {
	return nil, "", nil
}
func (w *whole) Leases(context.Context) ([]Lease, error)               { return []Lease{someLease}, nil }
func (w *whole) Lease(_ context.Context, id string) (Lease, error)     { return someLease, missing(id) }
func (w *whole) Health(context.Context) (Doctor, error)                { return someDoc, nil }
func (w *whole) Doctor(context.Context, DoctorRequest) (Doctor, error) { return someDoc, nil }
func (w *whole) Config(context.Context) (Settings, error) {
	return Settings{Schema: "gpuai.config/v1", Settings: []Setting{{Key: "node.log", Value: "info", From: "default"}},
		Restart: []string{}}, nil
}
func (w *whole) PatchConfig(context.Context, SettingsPatch) ([]string, error) {
	return []string{"node.log"}, nil
}
func (w *whole) Shutdown(context.Context, bool) error { return nil }
func (w *whole) Net(context.Context) (Net, error) {
	n := 1
	return Net{Schema: "gpuai.net/v1", Addresses: []string{},
		DHT: NetDHT{Keys: []string{}, AnnouncedAt: &someTime, Held: &n, Asked: &n}}, nil
}
func (w *whole) Peers(context.Context) ([]Peer, error) {
	return []Peer{{ID: "a", Since: someTime}}, nil
}
func (w *whole) FindPeers(_ context.Context, r FindRequest) (FoundPeers, error) {
	return FoundPeers{Schema: "gpuai.found-peers/v1", Key: r.Key, Peers: []string{}}, nil
}
func (w *whole) Wants(context.Context) ([]Want, error) {
	return []Want{{Schema: "gpuai.want/v1", ID: "a", Customer: "b", Classes: []string{"rtx-4090"}, Devices: 1,
			MaxRate: RateSOL(1), Terms: []string{}, IssuedAt: someTime, ExpiresAt: someTime,
			Rig: &WantRig{Serves: true}}},
		nil
}
func (w *whole) PingPeer(context.Context, PingRequest) (Ping, error) {
	return Ping{Schema: "gpuai.ping/v1", ID: "a"}, nil
}
func (w *whole) LeaseReceipts(_ context.Context, id string) ([]LeaseReceipt, error) {
	return []LeaseReceipt{{Schema: "gpuai.lease-receipt/v1", Lease: id, Claim: SOL(1), Signed: []byte{1}}}, missing(id)
}

func (w *whole) LeaseOutcome(_ context.Context, id string) (LeaseOutcome, error) {
	return LeaseOutcome{Schema: "gpuai.outcome/v1", Lease: id, Amount: SOL(1)}, missing(id)
}

// ask sends one request over the socket. headers are "Name: value".
func ask(t *testing.T, c *Client, method, path, body string, headers ...string) (status int, header http.Header,
	text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://node"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

// isProblem checks an error document against its answer.
func isProblem(t *testing.T, what string, want int, code market.Code, status int, header http.Header, text string) {
	t.Helper()
	var p rest.Problem
	if err := rest.Strict(strings.NewReader(text), &p); err != nil {
		t.Errorf("%s: %d %q is no problem document: %v", what, status, text, err)
		return
	}
	if status != want || p.Status != want || p.Code != code ||
		header.Get("Content-Type") != "application/problem+json" ||
		!strings.HasPrefix(p.Type, "/docs/errors/") || !strings.HasSuffix(p.Type, ".md#"+string(code)) ||
		p.Title == "" || p.Fix == nil || p.Fault == "" {
		t.Errorf("%s: %d %s, want %d %s", what, status, text, want, code)
	}
	if strings.Contains(text, secret) {
		t.Errorf("%s repeats what was sent: %s", what, text)
	}
}

// endpoints are all of phase 1, with a good request and the schema that it answers; schema "" is no JSON.
var endpoints = []struct {
	method, path, body string
	status             int
	schema             string
	keyed              bool
}{
	{"GET", "/version", "", 200, "version", false},
	{"GET", "/status", "", 200, "status", false},
	{"GET", "/health", "", 200, "doctor", false}, // the fake's document
	{"GET", "/config", "", 200, "config", false},
	{"GET", "/devices", "", 200, "devices", false},
	{"GET", "/offers", "", 200, "offers", false},
	{"GET", "/offers?sort=value:fp16", "", 200, "offers", false},
	{"GET", "/offers?sort=prise", "", 400, "", false},
	{"GET", "/book/rtx-4090", "", 200, "depth", false},
	{"GET", "/orders?all=true&limit=200", "", 200, "orders", false},
	{"GET", "/orders/order_1", "", 200, "order", false},
	{"GET", "/orders/order_1/receipt", "", 200, "receipt", false},
	{"GET", "/leases", "", 200, "leases", false},
	{"GET", "/leases/lease_1", "", 200, "lease", false},
	{"GET", "/leases/lease_1/receipts", "", 200, "receipts", false},
	{"GET", "/leases/lease_1/outcome", "", 200, "outcome", false},
	{"GET", "/channels", "", 200, "channels", false},
	{"GET", "/channels/" + solMint, "", 200, "channel", false},
	{"GET", "/wallet", "", 200, "wallet", false},
	{"GET", "/operations/order_1", "", 200, "operation", false},
	{"GET", "/job/schema", "", 200, "", false},
	{"POST", "/plans", `{"job":{"image":"a","limits":{"max_total":"5"}}}`, 200, "plan", false},
	{"POST", "/doctor", `{"only":["rig"],"offline":true}`, 200, "doctor", false},
	{"POST", "/orders", `{"job":{"image":"a","limits":{"max_total":"5"}}}`, 201, "order", true},
	{"PUT", "/orders/order_1/inputs/0", "", 200, "done", false},
	{"GET", "/orders/order_1/outputs/0", "", 200, "", false},
	{"GET", "/spool", "", 200, "spool", false},
	{"POST", "/spool/prune", `{"orders": ["order_1"], "unfetched": true}`, 200, "spool", false},
	{"PUT", "/orders/order_1/cap", `{"cap":"5"}`, 200, "order", false},
	{"POST", "/orders/order_1/stop?now=true", "", 200, "done", false},
	{"GET", "/leases/lease_1/logs?follow=false&since=2026-01-02T03:04:05.678Z&from=7&places=true", "", 200, "", false},
	{"GET", "/provider", "", 200, "provider", false},
	{"PATCH", "/provider", `{"selling":true,"rate":{"amount":"5","mint":"` + solMint +
		`","decimals":9,"symbol":"SOL","per":"hour"}}`, 200, "provider", false},
	{"POST", "/provider/pause", "{}", 200, "provider", false},
	{"POST", "/provider/resume", "", 200, "provider", false},
	{"GET", "/provider/leases", "", 200, "leases", false},
	{"GET", "/provider/earnings?since=2026-11-30T00:00:00Z", "", 200, "earnings", false},
	{"GET", "/provider/idle", "", 200, "idle", false},
	{"POST", "/provider/leases/lease_1/kick", `{"reason":"the rig moves"}`, 200, "done", false},
	{"POST", "/wallet", "", 200, "wallet", true},
	{"POST", "/wallet/airdrop", `{"amount":"5"}`, 202, "operation", true},
	{"POST", "/wallet/withdraw",
		`{"to":"` + solMint + `","amount":{"amount":"5","mint":"` + solMint + `","decimals":9,"symbol":"SOL"}}`, 202,
		"operation", true},
	{"POST", "/channels/" + solMint + "/close", "", 202, "operation", false},
	{"PATCH", "/config", `{"set":{"node.log":"debug"}}`, 200, "config", false},
	{"POST", "/shutdown?end_leases=true", "", 200, "done", false},
	{"GET", "/net", "", 200, "net", false},
	{"GET", "/net/peers", "", 200, "peers", false},
	{"GET", "/wants", "", 200, "wants", false},
	{"POST", "/net/find", `{"key":"rtx-4090"}`, 200, "found-peers", false},
	{"POST", "/net/ping", `{"peer":"12D3"}`, 200, "ping", false},
}

var (
	moments = regexp.MustCompile(`"(?:[a-z_]*at|since|last_progress)":"([^"]*)"`)
	utcMS   = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)
	amounts = regexp.MustCompile(`"amount":[^"{]`)
)

func TestEndpoints_GoodRequests(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, &whole{})
	for i, e := range endpoints {
		headers := []string{}
		if e.keyed {
			headers = append(headers, fmt.Sprint("Idempotency-Key: good-", i))
		}
		status, header, text := ask(t, c, e.method, Base+e.path, e.body, headers...)
		what := e.method + " " + e.path
		if status != e.status {
			t.Errorf("%s: %d %s, want %d", what, status, text, e.status)
			continue
		}
		if e.schema == "" {
			continue
		}
		var doc struct{ Schema string }
		if err := json.Unmarshal([]byte(text), &doc); err != nil || doc.Schema != "gpuai."+e.schema+"/v1" ||
			header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: schema %q, want %s: %s", what, doc.Schema, e.schema, text)
		}
		for _, m := range moments.FindAllStringSubmatch(text, -1) {
			if !utcMS.MatchString(m[1]) {
				t.Errorf("%s: time %q is not RFC 3339 in UTC with ms", what, m[1])
			}
		}
		if amounts.MatchString(text) || strings.Contains(text, ":null") && !strings.Contains(text, `"request"`) {
			t.Errorf("%s: an amount that is no text, or null: %s", what, text)
		}
	}
}

// TestEndpoints_AllAreListed: a route that the list above lacks would not be tested.
func TestEndpoints_AllAreListed(t *testing.T) {
	t.Parallel()
	s := New(Config{Backend: &whole{}}, slog.New(slog.DiscardHandler))
	defer s.Close()
	mux := http.NewServeMux()
	for _, rt := range s.Routes() {
		mux.HandleFunc(rt.Method+" "+Base+rt.Path, func(http.ResponseWriter, *http.Request) {})
	}
	listed := map[string]bool{"GET /events": true, "POST /leases/{id}/exec": true} // tests of their own
	for _, e := range endpoints {
		r, err := http.NewRequestWithContext(t.Context(), e.method, Base+e.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, pattern := mux.Handler(r)
		listed[strings.Replace(pattern, Base, "", 1)] = true
	}
	doc, err := os.ReadFile("../../docs/reference/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, rt := range s.Routes() {
		name := rt.Method + " " + rt.Path
		if !listed[name] {
			t.Errorf("%s is not in the list", name)
		}
		if !strings.Contains(string(doc), "`"+name+"`") {
			t.Errorf("%s is not in docs/reference/api.md", name)
		}
	}
}

func TestEndpoints_BadRequests(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, &whole{})
	for i, e := range endpoints {
		what := e.method + " " + e.path
		path, _, _ := strings.Cut(e.path, "?")
		key := fmt.Sprint("Idempotency-Key: bad-", i)
		do := func(method, query, body string, h ...string) (int, http.Header, string) {
			return ask(t, c, method, Base+path+query, body, h...)
		}
		status, header, text := do("DELETE", "", "")
		isProblem(t, "DELETE of "+path, 405, market.CodeBadUsage, status, header, text)
		if !strings.Contains(header.Get("Allow"), e.method) {
			t.Errorf("DELETE of %s: Allow %q lacks %s", path, header.Get("Allow"), e.method)
		}
		status, header, text = do(e.method, "?"+secret+"=1", e.body, key)
		isProblem(t, what+" with an unknown parameter", 400, market.CodeBadUsage, status, header, text)
		if e.keyed {
			status, header, text = do(e.method, "", e.body)
			isProblem(t, what+" without a key", 400, market.CodeBadUsage, status, header, text)
		}
		if e.method == "GET" || e.method == "PUT" {
			continue
		}
		for name, body := range map[string]string{
			"an unknown field": `{"` + secret + `":1}`, "no JSON": `{"` + secret, "another type": `["` + secret + `"]`,
			"two values": `{} {"a":"` + secret + `"}`,
		} {
			status, header, text = do(e.method, "", body, key)
			isProblem(t, what+" with "+name, 400, market.CodeBadUsage, status, header, text)
		}
		status, header, text = do(e.method, "", "x="+secret, key, "Content-Type: application/x-www-form-urlencoded")
		isProblem(t, what+" as a form", 415, market.CodeBadUsage, status, header, text)
		status, header, text = do(e.method, "", `{"a":"`+strings.Repeat("x", rest.MaxBody)+`"}`, key)
		isProblem(t, what+" with 1 MiB", 413, market.CodeTooLarge, status, header, text)
	}
}

func TestEndpoints_WrongValues(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, &whole{})
	for _, e := range []struct {
		method, path, body string
		status             int
		code               market.Code
	}{
		{"GET", "/", "", 404, market.CodeNotFound},
		{"GET", "/api/v1/" + secret, "", 404, market.CodeNotFound},
		{"GET", "/api/v1/status/", "", 404, market.CodeNotFound},
		{"GET", "/api/v1//status", "", 404, market.CodeNotFound},
		{"GET", "/api/v1/x/../status", "", 404, market.CodeNotFound},
		{"GET", "/api/v2/status", "", 404, market.CodeNotFound},
		{"GET", "/api/v1/orders/" + secret, "", 404, market.CodeNotFound},
		{"POST", "/api/v1/orders/" + secret + "/stop", "", 404, market.CodeNotFound},
		{"GET", "/api/v1/orders/" + secret + "/outputs/0", "", 404, market.CodeNotFound},
		{"GET", "/api/v1/orders/order_1/outputs/1", "", 404, market.CodeNotFound},
		{"PUT", "/api/v1/orders/order_1/inputs/x", "", 404, market.CodeNotFound},
		{"GET", "/api/v1/leases/" + secret, "", 404, market.CodeNotFound},
		{"GET", "/api/v1/leases/" + secret + "/logs", "", 404, market.CodeNotFound},
		{"GET", "/api/v1/leases/" + secret + "/receipts", "", 404, market.CodeNotFound},
		{"GET", "/api/v1/leases/" + secret + "/outcome", "", 404, market.CodeNotFound},
		{"POST", "/api/v1/leases/order_1/exec?arg=ls", "", 426, market.CodeBadUsage},
		{"GET", "/api/v1/channels/" + secret, "", 404, market.CodeNotFound},
		{"POST", "/api/v1/channels/" + secret + "/close", "", 404, market.CodeNotFound},
		{"GET", "/api/v1/operations/" + secret, "", 404, market.CodeNotFound},
		{"GET", "/api/v1/orders?limit=0", "", 400, market.CodeBadUsage},
		{"GET", "/api/v1/orders?limit=201", "", 400, market.CodeBadUsage},
		{"GET", "/api/v1/orders?limit=" + secret, "", 400, market.CodeBadUsage},
		{"GET", "/api/v1/orders?limit=1&limit=2", "", 400, market.CodeBadUsage},
		{"GET", "/api/v1/orders?cursor=" + secret, "", 400, market.CodeBadUsage},
		{"GET", "/api/v1/orders?all=" + secret, "", 400, market.CodeBadUsage},
		{"GET", "/api/v1/leases/lease_1/logs?since=" + secret, "", 400, market.CodeBadUsage},
		{"GET", "/api/v1/events?topics=" + secret, "", 400, market.CodeBadUsage},
		{"POST", "/api/v1/orders", `{"image":7}`, 400, market.CodeBadUsage},
		{"POST", "/api/v1/orders", `{"max_total":"` + secret + `"}`, 400, market.CodeBadUsage},
		{"POST", "/api/v1/orders", `{"terms":[{"field":"` + secret + `"}]}`, 400, market.CodeBadUsage},
		{"POST", "/api/v1/orders", "", 400, market.CodeBadUsage},
		{"POST", "/api/v1/orders", `{"input_bytes":5}`, 400, market.CodeBadUsage},
		{"POST", "/api/v1/plans", `{"job":{"image":"a"},"job2":{}}`, 400, market.CodeBadUsage},
		{"POST", "/api/v1/wallet/withdraw", `{"to":"` + secret + `","amount":"1"}`, 400, market.CodeBadUsage},
		{"POST", "/api/v1/wallet/withdraw", `{"to":"` + solMint + `","amount":"` + secret + `"}`, 400,
			market.CodeBadUsage},
		{"POST", "/api/v1/wallet/withdraw", `{"to":"` + solMint + `","amount":1}`, 400, market.CodeBadUsage},
		{"POST", "/api/v1/wallet/withdraw", `{"to":"` + solMint + `","amount":"1","all":true}`, 400,
			market.CodeBadUsage},
		{"POST", "/api/v1/wallet/airdrop", `{"amount":"0"}`, 400, market.CodeBadUsage},
		{"PATCH", "/api/v1/config", `{"set":{}}`, 400, market.CodeBadUsage},
	} {
		status, header, text := ask(t, c, e.method, e.path, e.body, "Idempotency-Key: wrong")
		isProblem(t, e.method+" "+e.path+" "+e.body, e.status, e.code, status, header, text)
	}
}

func TestCreate_SameKeyIsSameAnswer(t *testing.T) {
	t.Parallel()
	b := &whole{gate: make(chan struct{})}
	c, _ := serve(t, b)
	const path, body, key = Base + "/orders", `{"job":{"image":"a","limits":{"max_total":"5"}}}`, "Idempotency-Key: k"
	first := make(chan string, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		_, _, text := ask(t, c, "POST", path, body, key)
		first <- text
	})
	<-b.gate // it is in work
	status, header, text := ask(t, c, "POST", path, body, key)
	isProblem(t, "in work", 409, market.CodeBusy, status, header, text)
	if header.Get("Retry-After") != "1" {
		t.Errorf("in work: Retry-After is %q", header.Get("Retry-After"))
	}
	close(b.gate)
	want := <-first
	status, _, text = ask(t, c, "POST", path, `{ "job":{"limits":{"max_total":"5"}, "image":"a"} }`, key)
	if status != 201 || text != want || b.orders.Load() != 1 {
		t.Errorf("repeat: %d %s, want %s; %d orders", status, text, want, b.orders.Load())
	}
	status, header, text = ask(t, c, "POST", path, `{"job":{"image":"b","limits":{"max_total":"5"}}}`, key)
	isProblem(t, "another body", 409, market.CodeKeyReused, status, header, text)
	status, header, text = ask(t, c, "POST", Base+"/wallet", "", key)
	isProblem(t, "another path", 409, market.CodeKeyReused, status, header, text)
}

func TestPatch_IfMatch(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, &whole{})
	for path, body := range map[string]string{"/config": `{"set":{"node.log":"debug"}}`,
		"/provider": `{"selling":true}`} {
		_, header, _ := ask(t, c, "GET", Base+path, "")
		tag := header.Get("ETag")
		if status, _, text := ask(t, c, "PATCH", Base+path, body, "If-Match: "+tag); tag == "" || status != 200 {
			t.Errorf("%s with its tag %q: %d %s", path, tag, status, text)
		}
		status, header, text := ask(t, c, "PATCH", Base+path, body, `If-Match: "old"`)
		isProblem(t, path+" with an old tag", 412, market.CodeConflict, status, header, text)
	}
}

// TestServe_HeaderLimit speaks HTTP by hand: net/http's own client would not send so much.
func TestServe_HeaderLimit(t *testing.T) {
	t.Parallel()
	_, socket := serve(t, &whole{})
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// it may hang up midway
	_, _ = fmt.Fprintf(conn, "GET %s/status HTTP/1.1\r\nHost: node\r\nX: %s\r\n\r\n", Base, strings.Repeat("x", 32<<10))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("32 KiB of headers: %s", resp.Status)
	}
}

// TestOperation_RunsToItsEnd: 202 names an operation, which is told twice and holds the document at its end.
func TestOperation_RunsToItsEnd(t *testing.T) {
	t.Parallel()
	told := make(chan rest.Operation, 2)
	c := serveConfig(t, Config{Backend: &whole{}, Told: func(op rest.Operation) { told <- op }})
	tr, err := c.Withdraw(t.Context(), Withdrawal{Key: "w", To: solMint, Amount: 5})
	if err != nil || tr.To != solMint || tr.Amount.Lamports() != 5 {
		t.Fatalf("%+v, %v", tr, err)
	}
	first, last := <-told, <-told
	if first.State != "running" || last.State != "done" || first.ID != last.ID || first.ID != rest.OperationID("w") {
		t.Errorf("told %+v, then %+v", first, last)
	}
	if again, err := c.Operation(t.Context(), last.ID); err != nil || again.State != "done" ||
		again.LastProgress.Before(again.Since.Time) {
		t.Errorf("%+v, %v", again, err)
	}
}

// many is a backend with a number of orders, some of one moment.
type many struct {
	whole
	list []Order
}

func (m *many) Orders(context.Context, OrderQuery) ([]Order, error) { return m.list, nil }

func TestPages_EachOnce(t *testing.T) {
	t.Parallel()
	m := &many{}
	for i := range 2*rest.MaxLimit + 7 {
		m.list = append(m.list, Order{ID: fmt.Sprintf("order_%03d", (i*37)%1000),
			OrderRun: OrderRun{Steps: []Step{}, CreatedAt: rest.At(time.UnixMilli(int64(i / 3)))}})
	}
	c, _ := serve(t, m)
	got, err := c.Orders(t.Context(), OrderQuery{All: true})
	if err != nil || len(got) != len(m.list) {
		t.Fatalf("%d of %d orders, %v", len(got), len(m.list), err)
	}
	seen := map[string]bool{}
	for i, o := range got {
		if seen[o.ID] || i > 0 && o.CreatedAt.Before(got[i-1].CreatedAt.Time) {
			t.Errorf("%s came twice, or out of order", o.ID)
		}
		seen[o.ID] = true
	}
	var first orderList
	_, _, text := ask(t, c, "GET", Base+"/orders", "")
	if err := json.Unmarshal([]byte(text), &first); err != nil || len(first.Orders) != rest.PageLimit ||
		first.Cursor == "" {
		t.Errorf("%d orders on the first page, cursor %q, %v", len(first.Orders), first.Cursor, err)
	}
}

// TestCreate_KeyOutlivesTheServer: a node that starts again knows its keys; an operation that its end cut is begun
// again under the same key.
func TestCreate_KeyOutlivesTheServer(t *testing.T) {
	t.Parallel()
	kept, b := rest.NewMemory(), &whole{}
	const body, key = `{"job":{"image":"a","limits":{"max_total":"5"}}}`, "Idempotency-Key: k"
	before := serveConfig(t, Config{Backend: b, Answers: kept})
	_, _, want := ask(t, before, "POST", Base+"/orders", body, key)
	if _, err := before.Withdraw(t.Context(), Withdrawal{Key: "w", To: solMint, Amount: 5}); err != nil {
		t.Fatal(err)
	}
	told := make(chan rest.Operation, 2)
	after := serveConfig(t, Config{Backend: b, Answers: kept, Told: func(op rest.Operation) { told <- op }})
	status, _, text := ask(t, after, "POST", Base+"/orders", body, key)
	if status != 201 || text != want || b.orders.Load() != 1 {
		t.Errorf("order again: %d %s, %d orders", status, text, b.orders.Load())
	}
	status, header, text := ask(t, after, "POST", Base+"/wallet/withdraw", `{"to":"`+solMint+`","amount":"6"}`,
		"Idempotency-Key: w")
	isProblem(t, "another amount", 409, market.CodeKeyReused, status, header, text)
	if _, err := after.Withdraw(t.Context(), Withdrawal{Key: "w", To: solMint, Amount: 5}); err != nil {
		t.Error(err)
	}
	if op := <-told; op.ID != rest.OperationID("w") || op.State != "running" {
		t.Errorf("begun again: %+v", op)
	}
}
