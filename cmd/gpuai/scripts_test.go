package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/escrow/localnet"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/api/apitest"
	"github.com/gpuai/gpuai/node/rest"
)

// TestMain lets the test's own binary be gpuai: scripts run the real program, as processes of their own. Every answer
// that it gets, here or there, is held against the API's document.
func TestMain(m *testing.M) { testscript.Main(apitest.Tests(m), map[string]func(){"gpuai": main}) }

// scripts are the parameters of all scripts: no setting of the machine is seen, and "schema" checks a document.
func scripts(dir string, setup func(*testscript.Env) error) testscript.Params {
	return testscript.Params{
		Dir: filepath.Join("testdata", "script", dir), RequireUniqueNames: true, RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"schema": schemaOf},
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv(apitest.Env, os.Getenv(apitest.Env))
			return setup(env)
		},
	}
}

// schemaOf is the script command "schema FILE NAME": the file is one JSON document of that schema, and its money is
// money documents.
func schemaOf(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: schema FILE NAME")
	}
	var doc map[string]any
	if err := json.Unmarshal([]byte(ts.ReadFile(args[0])), &doc); err != nil {
		ts.Fatalf("no JSON document: %v", err)
	}
	if want := "gpuai." + args[1] + "/v1"; doc["schema"] != want {
		ts.Fatalf("schema %v, want %s", doc["schema"], want)
	}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch x := v.(type) {
		case map[string]any:
			if x["mint"] != nil {
				if _, ok := x["amount"].(string); !ok || x["decimals"] != 9.0 || x["symbol"] != "SOL" {
					ts.Fatalf("%s: no money document: %v", path, x)
				}
			}
			for k, y := range x {
				walk(path+"."+k, y)
			}
		case []any:
			for _, y := range x {
				walk(path+"[]", y)
			}
		case nil:
			ts.Fatalf("%s is null", path)
		case float64:
			if x > 1<<53-1 {
				ts.Fatalf("%s: %v does not fit a JavaScript number", path, x)
			}
		}
	}
	walk("", doc)
}

// TestScripts types what people type, at least once per command, at a node of the tests' own; real nodes:
// TestScripts_RealNode.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, scripts("node", func(env *testscript.Env) error {
		b := newBed(t)
		b.node.order = scriptOrder()
		p := &b.node.plan
		p.Schema, p.Rejections, p.Deposit, p.MaxTotal, p.AtRisk = "gpuai.plan/v1", []api.Rejection{},
			api.SOL(2_400_000), api.SOL(20_000_000), api.SOL(600_000)
		p.Fees = api.SOL(65_000)
		p.Candidates[0].Total = api.SOL(20_000_000)
		env.Setenv("GPUAI_API_SOCKET", b.socket)
		env.Setenv("HOME", b.dir) // the node's settings are there
		return nil
	}))
}

// TestScripts_RealNode runs real nodes as processes beside a real ledger: they start in the background, are funded,
// spend, and stop.
func TestScripts_RealNode(t *testing.T) {
	t.Parallel()
	ledger, other := escrowtest.NeedLocalnet(t, localnet.Options{SlotMS: 20}),
		escrowtest.NeedLocalnet(t, localnet.Options{SlotMS: 20, Seed: "other"})
	testscript.Run(t, scripts("real", func(env *testscript.Env) error {
		dir, err := os.MkdirTemp("", "cli") // the script's own is too long for a socket's name
		if err != nil {
			return err
		}
		env.Defer(func() {
			// a script that failed leaves its node
			_ = api.Dial(filepath.Join(dir, "data", "api.sock")).Shutdown(context.Background(), false)
			_ = os.RemoveAll(dir)
		})
		env.Setenv("GPUAI_NODE_DATA_DIR", filepath.Join(dir, "data"))
		env.Setenv("GPUAI_NODE_NETWORK", "localnet")
		env.Setenv("GPUAI_SOLANA_RPC", ledger.RPC)
		env.Setenv("OTHER_LEDGER", other.RPC)
		env.Setenv("GPUAI_P2P_LISTEN", "/ip4/127.0.0.1/udp/0/quic-v1")
		return nil
	}))
}

// scriptOrder is the order that scripts see: it ran, failed with 5, and what was not spent is back.
func scriptOrder() api.Order {
	five := 5
	o := ended(market.CodeJobFailed, &five)
	o.Schema, o.ID, o.Name, o.Image, o.Provider, o.Devices = "gpuai.order/v1", "order_7", "train", "alpine:3",
		"12D3KooWcheapone", 1
	o.Rate, o.Cap, o.Deposit = api.RateSOL(2_400_000), api.SOL(20_000_000), api.SOL(2_400_000)
	o.Owed, o.AtRisk, o.Paid, o.Returned, o.BillableMS = api.SOL(400_000), api.SOL(0), api.SOL(400_000),
		api.SOL(2_000_000), 600_000
	o.CreatedAt, o.Steps = rest.At(time.Now()), []api.Step{}
	return o
}

func (f *fakeNode) Receipt(ctx context.Context, id string) (api.Receipt, error) {
	o, err := f.Order(ctx, id)
	return api.Receipt{Schema: "gpuai.receipt/v1", Order: o, Lease: []byte("signed")}, err
}

func (f *fakeNode) Channels(context.Context) ([]api.Channel, error) {
	return []api.Channel{
		{Schema: "gpuai.channel/v1", Address: "AAAA1111", Provider: "12D3KooWcheapone", State: "open",
			Deposit: api.SOL(5), Paid: api.SOL(2), Returned: api.SOL(0), OpenedAt: rest.At(time.Unix(0, 0))},
		{Schema: "gpuai.channel/v1", Address: "AAAA2222", Provider: "12D3KooWcheapone", State: "gone",
			Deposit: api.SOL(5), Paid: api.SOL(2), Returned: api.SOL(3), OpenedAt: rest.At(time.Unix(0, 0))},
	}, nil
}

func (f *fakeNode) CloseChannel(ctx context.Context, addr string) (api.Channel, error) {
	list, err := f.Channels(ctx)
	for _, c := range list {
		if c.Address == addr {
			c.State, c.Returned = "paid-out", api.SOL(3)
			return c, err
		}
	}
	return api.Channel{}, err
}

func (f *fakeNode) Provider(context.Context) (api.Provider, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return api.Provider{
		Schema: "gpuai.provider/v1", Selling: !f.paused, Payout: "payout", FeePayer: "fee", Rate: api.RateSOL(1),
		Rates: map[string]api.Money{}, Earned: api.SOL(7), Settled: api.SOL(4), Claim: api.SOL(3), Now: api.SOL(2),
		Leases: 1,
		Devices: []api.Device{{ID: "device_1", Class: "rtx-4090", State: "leased", Lease: "lease_1",
			Rate: api.RateSOL(1)}},
	}, nil
}

func (f *fakeNode) ProviderSell(ctx context.Context, on bool) (api.Provider, error) {
	f.mu.Lock()
	f.paused = !on
	f.mu.Unlock()
	return f.Provider(ctx)
}

func (f *fakeNode) ProviderEarnings(_ context.Context, since time.Time) (api.Earnings, error) {
	e := api.Earnings{Schema: "gpuai.earnings/v1", Days: []api.EarnedDay{}, Earned: api.SOL(7), Settled: api.SOL(4),
		Claim: api.SOL(3), Now: api.SOL(2)}
	if since.IsZero() {
		e.Days = append(e.Days, api.EarnedDay{Day: "2026-11-30", Device: "device_1", Class: "rtx-4090", Jobs: 2,
			RunMS: 1500, Earned: api.SOL(7), Settled: api.SOL(4)})
	}
	return e, nil
}

func (f *fakeNode) Net(context.Context) (api.Net, error) {
	return api.Net{Schema: "gpuai.net/v1", Network: "localnet", Addresses: []string{},
			DHT: api.NetDHT{Keys: []string{}}},
		nil
}

func (f *fakeNode) Peers(context.Context) ([]api.Peer, error) {
	return []api.Peer{{ID: "12D3KooWcheapone", Address: "/ip4/127.0.0.1/udp/4801/quic-v1", Inbound: true, Lease: true,
		RTTus: 1234, Since: rest.At(time.Now())}}, nil
}

func (f *fakeNode) FindPeers(_ context.Context, r api.FindRequest) (api.FoundPeers, error) {
	out := api.FoundPeers{Schema: "gpuai.found-peers/v1", Key: r.Key, Records: 7, Peers: []string{"12D3KooWcheapone"}}
	if strings.Contains(r.Key, " ") {
		return out, &market.Error{Code: market.CodeBadUsage, Kind: market.KindInvalid, Hint: "gpuai net find rtx-4090"}
	}
	return out, nil
}

func (f *fakeNode) Wants(context.Context) ([]api.Want, error) {
	at := rest.At(time.Now())
	w := api.Want{Schema: "gpuai.want/v1", ID: "a", Customer: "12D3KooWsomebody", Classes: []string{"rtx-4090"},
		Devices: 2, MaxRate: api.RateSOL(2_400_000), MaxDurationMS: 7_200_000, Terms: []string{"vram >= 24GiB"},
		IssuedAt: at, ExpiresAt: at, Reachable: true,
		Rig: &api.WantRig{Reason: "rate", Detail: "you ask 0.003 SOL/h, it pays at most 0.0024"}}
	mine := w
	mine.ID, mine.Mine, mine.Customer, mine.Classes, mine.Rig = "b", true, "12D3KooWmyself0", []string{"h100"}, nil
	mine.MaxRate, mine.Terms = api.Money{}, []string{}
	takes := w
	takes.ID, takes.Customer, takes.Devices = "c", "12D3KooWanybody", 1
	takes.Rig = &api.WantRig{Serves: true, Rate: api.RateSOL(2_000_000)}
	takes.MaxRate = api.RateSOL(2_000_000)
	return []api.Want{w, mine, takes}, nil
}

func (f *fakeNode) PingPeer(_ context.Context, r api.PingRequest) (api.Ping, error) {
	f.mu.Lock()
	f.pinged = append(f.pinged, r.Peer)
	f.mu.Unlock()
	if strings.HasSuffix(r.Peer, "/nobody") {
		return api.Ping{}, &market.Error{Code: market.CodePeerUnreachable, Kind: market.KindUnavailable}
	}
	return api.Ping{Schema: "gpuai.ping/v1", ID: r.Peer, Address: "/ip4/127.0.0.1/udp/4801/quic-v1", RTTus: 345}, nil
}

func (f *fakeNode) ProviderIdle(context.Context) (api.Idle, error) {
	at := rest.At(time.Unix(0, 0))
	return api.Idle{
		Schema: "gpuai.idle/v1", Selling: true, Since: &at, Asked: 3, Customers: 2, Quoted: 1, Lost: 1,
		Refused: []api.IdleReason{{Code: market.CodeDoesNotFit, Detail: "ram: 9 of 4 MiB", Orders: 2}},
		Prices: []api.PriceRank{{Class: "rtx-4090", Own: api.RateSOL(5), Rank: 2, Offers: 3, Cheaper: 1, FreeElse: 4,
			Lowest: api.RateSOL(4), Middle: api.RateSOL(6)}},
	}, nil
}

func (f *fakeNode) KickLease(_ context.Context, id, reason string) error {
	if id != "lease_1" || reason != "moves" {
		return &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "end lease",
			Hint: "gpuai provider leases"}
	}
	return nil
}

func (f *fakeNode) ProviderLeases(_ context.Context, q api.LeaseQuery) ([]api.Lease, string, error) {
	list := []api.Lease{{
		Schema: "gpuai.lease/v1", ID: "lease_1", Role: "provider", Customer: "12D3KooWcustomer", State: "running",
		Devices: 1, CreatedAt: rest.At(time.Unix(0, 0)),
		LeaseMoney: api.LeaseMoney{Rate: api.RateSOL(1), Owed: api.SOL(2), Paid: api.SOL(1), BillableMS: 250},
	}, {
		Schema: "gpuai.lease/v1", ID: "lease_0", Role: "provider", Customer: "12D3KooWcustomer", State: "ended",
		Devices: 1, CreatedAt: rest.At(time.Unix(-1, 0)),
		LeaseMoney: api.LeaseMoney{Rate: api.RateSOL(1), Owed: api.SOL(1), Paid: api.SOL(1)},
	}}
	if q.Live {
		list = list[:1]
	}
	return list[:min(q.Limit, len(list))], "", nil
}

func (f *fakeNode) WalletNew(ctx context.Context) (api.Wallet, error) { return f.Wallet(ctx) }

func (f *fakeNode) Airdrop(ctx context.Context, a market.Amount) (api.Wallet, error) {
	w, err := f.Wallet(ctx)
	w.Available = api.SOL(w.Available.Lamports() + a)
	return w, err
}

// typed is a gpuai process whose stderr is read line by line.
type typed struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string
	all   *bytes.Buffer
	wait  func() error
}

// start runs gpuai as a process beside a bed.
func (b *bed) start(args ...string) *typed {
	b.t.Helper()
	cmd := exec.Command("gpuai", append([]string{"--socket", b.socket}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+b.dir)
	pipe, err := cmd.StderrPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	p := &typed{t: b.t, cmd: cmd, lines: make(chan string, 1000), all: &bytes.Buffer{}}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(p.lines)
		for s := bufio.NewScanner(pipe); s.Scan(); {
			p.lines <- s.Text()
		}
	})
	p.wait = sync.OnceValue(func() error { wg.Wait(); return cmd.Wait() })
	b.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = p.wait() }) // it has ended, unless the test failed
	return p
}

// until reads stderr until a line holds text.
func (p *typed) until(text string) {
	p.t.Helper()
	late := time.After(time.Minute)
	for {
		select {
		case line, ok := <-p.lines:
			p.all.WriteString(line + "\n")
			if strings.Contains(line, text) {
				return
			}
			if !ok {
				p.t.Fatalf("it ended without %q:\n%s", text, p.all)
			}
		case <-late:
			p.t.Fatalf("no %q:\n%s", text, p.all)
		}
	}
}

func (p *typed) interrupt() {
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		p.t.Fatal(err)
	}
}

// exit waits for the end.
func (p *typed) exit() int {
	for line := range p.lines {
		p.all.WriteString(line + "\n")
	}
	_ = p.wait() // the code says it
	return p.cmd.ProcessState.ExitCode()
}

// TestRun_CtrlC: after Ready the first lets the job go on, a second one stops it; before, the first stops it; while
// inputs are sent, too. The order is never left to itself unless the user was told.
func TestRun_CtrlC(t *testing.T) {
	t.Parallel()
	run := []string{"run", "-y", "--max-total", "0.02", "alpine:3"}
	t.Run("detaches", func(t *testing.T) {
		t.Parallel()
		b := newBed(t)
		b.node.live(true)
		p := b.start(run...)
		p.until("the meter runs")
		p.interrupt()
		p.until("detached, 0.0024 SOL/hour goes on")
		p.until("gpuai stop train")
		if code := p.exit(); code != 0 || len(b.node.stops()) != 0 {
			t.Errorf("exit %d, stops %v:\n%s", code, b.node.stops(), p.all)
		}
	})
	t.Run("a second one stops", func(t *testing.T) {
		t.Parallel()
		b := newBed(t)
		b.node.live(true)
		p := b.start(run...)
		p.until("the meter runs")
		p.interrupt()
		p.until("detached")
		p.interrupt()
		p.until("stopping train (order_7)")
		if code := p.exit(); code != 143 || !slices.Equal(b.node.stops(), []bool{false}) ||
			!strings.Contains(p.all.String(), "bill ") {
			t.Errorf("exit %d, stops %v:\n%s", code, b.node.stops(), p.all)
		}
	})
	t.Run("before ready", func(t *testing.T) {
		t.Parallel()
		b := newBed(t)
		b.node.live(false)
		p := b.start(run...)
		p.until("funding")
		p.interrupt()
		if code := p.exit(); code != exitInterrupted || !slices.Equal(b.node.stops(), []bool{false}) {
			t.Errorf("exit %d, stops %v:\n%s", code, b.node.stops(), p.all)
		}
	})
	t.Run("while inputs are sent", func(t *testing.T) {
		t.Parallel()
		b := newBed(t)
		b.node.live(false)
		b.node.takes = make(chan struct{})
		file := filepath.Join(b.dir, "in")
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		p := b.start("run", "-y", "--max-total", "0.02", "--in", file+":/workspace/in", "alpine:3")
		<-b.node.takes
		p.interrupt()
		if code := p.exit(); code != exitInterrupted || !slices.Equal(b.node.stops(), []bool{false}) {
			t.Errorf("exit %d, stops %v:\n%s", code, b.node.stops(), p.all)
		}
	})
}

// TestRun_Killed_OrderGoesOn: the order belongs to the node, not to the command that placed it.
func TestRun_Killed_OrderGoesOn(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.node.live(true)
	p := b.start("run", "-y", "--max-total", "0.02", "alpine:3")
	p.until("the meter runs")
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.exit()
	if code, out, _ := b.run("", "ps"); code != 0 || !strings.Contains(out, "order_7\t") || len(b.node.stops()) != 0 {
		t.Errorf("ps: %d %q, stops %v", code, out, b.node.stops())
	}
}

// live makes the node's order one that runs, or is on its way, until it is stopped.
func (f *fakeNode) live(ready bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := scriptOrder()
	o.Standing, o.State, o.Code, o.ExitCode, o.Finished = "funding", "", "", nil, false
	if ready {
		o.Standing, o.State = "leased", "running"
	} else {
		o.ReadyAt = nil
	}
	f.order, f.lives = o, true
}

func (f *fakeNode) stops() []bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.stopped)
}

// blocks takes inputs and never answers.
func (f *fakeNode) blocks(ctx context.Context, r io.Reader) error {
	_, err := io.Copy(io.Discard, r) // only then does the server see the caller hang up
	close(f.takes)
	<-ctx.Done()
	return errors.Join(err, ctx.Err())
}

// TestScripts_NoNode types what people type before there is a node or a setting.
func TestScripts_NoNode(t *testing.T) {
	t.Parallel()
	testscript.Run(t, scripts("none", func(*testscript.Env) error { return nil }))
}
