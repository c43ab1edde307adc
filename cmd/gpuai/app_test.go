package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/node/rest"
	"github.com/gpuai/gpuai/runtime/spec"
)

// fakeNode is a node whose one order has ended as told; a method that it lacks fails the test.
type fakeNode struct {
	api.Backend
	mu       sync.Mutex
	order    api.Order
	plan     api.Plan
	outputs  []byte
	held     []byte // with what "when: success" holds back
	inputs   spec.Manifest
	request  api.OrderRequest
	stopped  []bool
	pinged   []string
	withdraw string
	settleIn int // looks at the order until its channel is settled
	settings config.Options
	patched  []map[string]string
	lives    bool // StopOrder ends it
	none     bool // no order was ever placed
	noLedger bool
	quiet    bool // it hears no offers
	paused   bool
	takes    chan struct{} // closed once inputs come; they are never done
}

func (f *fakeNode) Config(context.Context) (api.Settings, error) {
	l, err := config.Load(f.settings)
	out := api.Settings{Schema: "gpuai.config/v1", File: l.Path, Settings: []api.Setting{},
		Restart: []string{}}
	for _, k := range config.Keys() {
		out.Settings = append(out.Settings, api.Setting{Key: k.Name, Value: k.Text(&l.Config), From: l.Origin[k.Name],
			Hot: k.Hot})
	}
	return out, err
}

// PatchConfig writes as a node does; what is not hot waits for a restart.
func (f *fakeNode) PatchConfig(_ context.Context, p api.SettingsPatch) (restart []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.patched = append(f.patched, p.Set)
	for _, k := range config.Keys() {
		if _, set := p.Set[k.Name]; set && !k.Hot {
			restart = append(restart, k.Name)
		}
	}
	_, err = config.Set(f.settings, p.Set)
	return restart, err
}

func (f *fakeNode) Status(context.Context) (api.Status, error) {
	return api.Status{Schema: "gpuai.status/v1", PeerID: "12D3KooWtest", Network: "localnet",
		Roles: []string{"customer"}, Addresses: []string{}, Quiet: f.quiet}, nil
}

func (f *fakeNode) Offers(_ context.Context, by market.Sort) ([]api.Offer, error) {
	if f.quiet {
		return []api.Offer{}, nil
	}
	near := int64(12)
	dear := api.Offer{Provider: "12D3KooWdearprov", Class: "rtx-4090", Devices: 2, Free: 2, Place: "2",
		Rate: api.RateSOL(3_000_000), RTTms: &near, Orders: &api.Experience{Orders: 9, Failed: 3, NotStarted: 2}}
	if by == (market.Sort{Field: market.FieldFree}) {
		dear.Place = "0"
	}
	return []api.Offer{dear,
		{Provider: "12D3KooWcheapone", Class: "rtx-4090", Devices: 4, Free: 1, Rate: api.RateSOL(2_400_000), Place: "1",
			Facts: map[string]string{"vram": "24GiB", "arch": "amd64"}},
		{Provider: "12D3KooWtakenall", Class: "h100", Devices: 8, Free: 0, Rate: api.RateSOL(9_000_000), Place: "3"},
	}, nil
}

func (f *fakeNode) Depth(_ context.Context, class string) (api.Depth, error) {
	if class != "rtx-4090" {
		return api.Depth{}, &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "look at the book",
			Detail: "nobody offers " + class, Hint: "did you mean rtx-4090? gpuai book rtx-4090"}
	}
	return api.Depth{Schema: "gpuai.depth/v1", Class: class, Free: 3, Rented: 3,
		Levels: []api.DepthLevel{{Rate: api.RateSOL(2_400_000), Rigs: 1, Free: 1, Rented: 3, Up: 1},
			{Rate: api.RateSOL(3_000_000), Rigs: 1, Free: 2, Up: 3}},
		Bids: []api.DepthBid{{Wants: 1, Devices: 2, Up: 2},
			{Rate: api.RateSOL(2_000_000), Wants: 2, Devices: 2, Up: 4}},
		Ask: api.RateSOL(2_400_000), Bid: api.RateSOL(2_000_000), Spread: api.RateSOL(400_000), Wanted: 4}, nil
}

func (f *fakeNode) Plan(_ context.Context, r api.OrderRequest) (api.Plan, error) {
	p := f.plan
	p.Request = r
	p.Candidates = append([]api.Candidate{}, p.Candidates...)
	p.Rejections = append([]api.Rejection{}, p.Rejections...)
	return p, nil
}

func (f *fakeNode) CreateOrder(_ context.Context, r api.OrderRequest) (api.Order, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.request = r
	return complete(f.order), nil
}

func (f *fakeNode) PutInputs(ctx context.Context, _ string, r io.Reader) (err error) {
	if f.takes != nil {
		return f.blocks(ctx, r)
	}
	f.inputs, err = spec.Filter(r, io.Discard, spec.Limits{Total: 1 << 20}, nil)
	return err
}

func (f *fakeNode) Order(_ context.Context, id string) (api.Order, error) {
	if id == "nobody" {
		return api.Order{}, &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "find order",
			Hint: "gpuai ps -a"}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.order
	if f.settleIn > 0 {
		f.settleIn, o.Finished = f.settleIn-1, false
		o.Steps = o.Steps[:max(0, len(o.Steps)-f.settleIn)]
	}
	return complete(o), nil
}

func (f *fakeNode) Orders(context.Context, api.OrderQuery) ([]api.Order, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.none {
		return []api.Order{}, nil
	}
	return []api.Order{complete(f.order)}, nil
}

// complete has the lists that a node never leaves out.
func complete(o api.Order) api.Order {
	if o.Steps == nil {
		o.Steps = []api.Step{}
	}
	return o
}

func (f *fakeNode) StopOrder(_ context.Context, _ string, now bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = append(f.stopped, now)
	if f.lives {
		o := &f.order
		if o.ReadyAt != nil {
			killed := 143
			o.ExitCode = &killed
		}
		o.Standing, o.State, o.Code, o.Finished = "ended", "ended", market.CodeStopped, true
	}
	return nil
}

func (f *fakeNode) Logs(_ context.Context, id string, q api.LogQuery, g func(api.LogPiece) error) (api.LogState,
	error) {
	pieces := []api.LogPiece{{Stream: 1, Data: []byte("epoch 1\n")}, {Offset: 8, Stream: 2, Data: []byte("warning\n")},
		{Offset: 16, Stream: 3, Data: []byte("[node]\n")}}
	state := api.LogState{Bytes: 23, Over: true, Complete: true}
	if id == "cut" {
		pieces = append(pieces, api.LogPiece{Offset: 23, Gap: 77},
			api.LogPiece{Offset: 100, Stream: 1, Data: []byte("\xff\x00end")})
		state = api.LogState{Bytes: 105, Missing: 77, Over: true, Why: "lost-on-the-rig"}
	}
	for _, p := range pieces {
		if p.At = time.Now(); p.Offset < q.From {
			continue
		}
		if err := g(p); err != nil {
			return state, err
		}
	}
	return state, nil
}

func (f *fakeNode) Exec(_ context.Context, _ string, argv []string, _ *api.Terminal, in io.Reader,
	out func(uint8, []byte) error) (int, error) {
	b, err := io.ReadAll(in)
	return len(argv), errors.Join(err, out(1, []byte(strings.Join(argv, "|")+string(b))))
}

func (f *fakeNode) GetOutputs(_ context.Context, _ string, all bool, w io.Writer) error {
	if all && f.held != nil {
		_, err := w.Write(f.held)
		return err
	}
	_, err := w.Write(f.outputs)
	return err
}

func (f *fakeNode) Wallet(context.Context) (api.Wallet, error) {
	if f.noLedger {
		return api.Wallet{}, errNoLedger
	}
	return api.Wallet{Schema: "gpuai.wallet/v1", Address: "addr", Network: "localnet",
		Available: api.SOL(1_500_000_000), InChannels: api.SOL(0), AtRisk: api.SOL(0), Returning: api.SOL(0),
		Storage: api.SOL(0)}, nil
}

func (f *fakeNode) Withdraw(_ context.Context, w api.Withdrawal) (api.Transfer, error) {
	f.withdraw = fmt.Sprint(w.To, uint64(w.Amount), w.All)
	return api.Transfer{To: w.To, Amount: api.SOL(w.Amount), Tx: "sig"}, nil
}

// bed is a command line with a node behind it.
type bed struct {
	t      *testing.T
	node   *fakeNode
	dir    string
	socket string
}

func newBed(t *testing.T) *bed {
	t.Helper()
	dir, err := os.MkdirTemp("", "cli") // t.TempDir is too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{t: t, node: &fakeNode{plan: api.Plan{Feasible: true,
		Candidates: []api.Candidate{{Provider: "12D3KooWcheapone", Class: "rtx-4090", Rate: api.RateSOL(2_400_000)}}}},
		dir: dir, socket: filepath.Join(dir, "api.sock")}
	b.node.settings = config.Options{Env: []string{"HOME=" + dir}}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := rest.Serve(ctx, b.socket,
			api.New(api.Config{Backend: b.node}, slog.New(slog.DiscardHandler))); !errors.Is(err,
			context.Canceled) {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait(); _ = os.RemoveAll(dir) })
	for range 500 {
		if c, err := net.Dial("unix", b.socket); err == nil {
			_ = c.Close()
			return b
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the fake node does not listen")
	return nil
}

// run runs one command line; in is its standard input.
func (b *bed) run(in string, args ...string) (code int, out, errOut string) {
	b.t.Helper()
	var o, e bytes.Buffer
	a := &App{in: strings.NewReader(in), out: &o, err: &e, env: []string{"HOME=" + b.dir}}
	code = a.Main(b.t.Context(), append([]string{"--socket", b.socket}, args...))
	return code, o.String(), e.String()
}

func ended(code market.Code, exit *int) api.Order {
	o := api.Order{ID: "order_7", Standing: "ended", State: "ended", Code: code, LeaseID: "lease_1",
		OrderRun: api.OrderRun{ExitCode: exit, Channel: "ch"}, OrderClose: api.OrderClose{Finished: true}}
	now := time.Now()
	ready := rest.At(now)
	o.ReadyAt = &ready
	return o
}

func TestRun_JobCodePassesThrough(t *testing.T) {
	t.Parallel()
	for _, exit := range []int{0, 5, 125, 137} {
		b := newBed(t)
		code := "completed"
		if exit != 0 {
			code = "job-failed"
		}
		b.node.order = ended(market.Code(code), &exit)
		got, out, errOut := b.run("", "run", "-y", "--gpu", "rtx-4090", "--max-total", "0.02", "alpine:3", "--", "sh",
			"-c", "exit 5")
		if got != exit || out != "epoch 1\n" || !strings.Contains(errOut, "warning\n") ||
			strings.Contains(errOut, "error[") {
			t.Errorf("exit %d gave %d, out %q, err %q", exit, got, out, errOut)
		}
		if got, _, _ := b.run("", "logs", "--exit-code", "-f", "-"); got != exit {
			t.Errorf("logs --exit-code of %d gave %d", exit, got)
		}
		r := b.node.request.Job
		if r.Image != "alpine:3" || !slices.Equal(r.Args, []string{"sh", "-c", "exit 5"}) ||
			r.Limits.MaxTotal != 20_000_000 || !slices.Equal(r.Classes(), []string{"rtx-4090"}) {
			t.Errorf("request %+v", r)
		}
		if r.Limits.Away != 15*time.Minute {
			t.Errorf("away of the settings is lost: %s", r.Limits.Away)
		}
	}
}

func TestRun_OurFailureIs125(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.node.order = api.Order{ID: "order_7", Standing: "failed", Code: market.CodeImageStalled, Detail: "3 MB in 60 s",
		Hint: "gpuai show order_7", OrderClose: api.OrderClose{Finished: true}}
	status := filepath.Join(b.dir, "status.json")
	code, _, errOut := b.run("", "run", "-y", "--max-total", "0.02", "--status-file", status, "alpine:3")
	if code != exitAttached || !strings.Contains(errOut, "error[image-stalled]") ||
		!strings.Contains(errOut, "fix: gpuai show order_7") {
		t.Errorf("code %d, %s", code, errOut)
	}
	raw, err := os.ReadFile(status)
	if err != nil || !bytes.Contains(raw, []byte("image-stalled")) {
		t.Errorf("status file: %s, %v", raw, err)
	}
}

func TestRun_Detached_PrintsTheOrderOnly(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.node.order = api.Order{ID: "order_7"}
	code, out, _ := b.run("", "run", "-d", "-y", "--away", "0s", "--max-total", "0.02", "alpine:3")
	if code != 0 || out != "order_7\n" || b.node.request.Job.Limits.Away != 0 {
		t.Errorf("code %d, out %q, away %d", code, out, b.node.request.Job.Limits.Away)
	}
}

func TestRun_FilesGoBothWays(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	src, home := filepath.Join(b.dir, "src"), filepath.Join(b.dir, "home")
	for name, text := range map[string]string{"a.py": "print(1)", "sub/b.txt": "b"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(src, name)), 0o755),
			os.WriteFile(filepath.Join(src, name), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	var tar bytes.Buffer
	if _, err := spec.Pack(&tar, []spec.Source{{From: src, To: "/workspace/out"}}); err != nil {
		t.Fatal(err)
	}
	zero := 0
	b.node.order, b.node.outputs = ended(market.CodeCompleted, &zero), tar.Bytes()
	b.node.order.OutputsReady = true
	code, _, errOut := b.run("", "run", "-y", "--max-total", "0.02", "--in", src+":/workspace/src", "--out",
		"/workspace/out:"+home, "--out", "/workspace/out/a.py:"+b.dir+"/one.py", "alpine:3")
	if code != 0 || b.node.request.InputBytes != 9 || len(b.node.request.Job.Inputs) != 1 || b.node.inputs.Size() != 9 {
		t.Errorf("code %d, %d input bytes announced, %d sent: %s", code, b.node.request.InputBytes,
			b.node.inputs.Size(), errOut)
	}
	for name, want := range map[string]string{"home/a.py": "print(1)", "home/sub/b.txt": "b", "one.py": "print(1)"} {
		got, err := os.ReadFile(filepath.Join(b.dir, name))
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if code, _, _ := b.run("", "outputs", "-", filepath.Join(b.dir, "all")); code != 0 {
		t.Error("outputs failed")
	}
	if got, err := os.ReadFile(filepath.Join(b.dir, "all/out/sub/b.txt")); err != nil || string(got) != "b" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	infeasible := newBed(t)
	infeasible.node.plan = api.Plan{Rejections: []api.Rejection{{Detail: "5 ask more"}},
		NearestHint: "--max-rate 0.013/h"}
	job := filepath.Join(b.dir, "job.yaml")
	if err := os.WriteFile(job, []byte("schema: gpuai.job/v1\nimage: alpine\nmemory: 24\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range exitCases(b, infeasible, job) {
		words := strings.Fields(c.args)
		for i, w := range words {
			words[i] = strings.Trim(w, "'")
		}
		code, _, errOut := c.b.run("", words...)
		if code != c.code || !strings.Contains(errOut, c.says) {
			t.Errorf("gpuai %s: exit %d, want %d with %q:\n%s", c.args, code, c.code, c.says, errOut)
		}
	}
}

type exitCase struct {
	b    *bed
	args string
	code int
	says string
}

// exitCases are commands on a node where all goes well, and on one where no offer fits; the job file is not valid.
func exitCases(b, infeasible *bed, job string) []exitCase {
	return []exitCase{
		{b, "frobnicate", 2, "error[bad-usage]"},
		{b, "runn", 2, "did you mean run?"},
		{b, "channel frob", 2, "frob is no command of gpuai channel"},
		{b, "help frobnicate", 3, "no command, topic or code"},
		{b, "help no-offer-fits", 0, ""},
		{b, "config set", 2, "error[bad-usage]"},
		{b, "provider price", 2, "error[bad-usage]"},
		{b, "wallet withdraw", 2, "error[bad-usage]"},
		{b, "wallet airdrop 1 2", 2, "error[bad-usage]"},
		{b, "completion fish extra", 2, "error[bad-usage]"},
		{b, "--color blue status", 2, "--color blue"},
		{b, "--progress loud status", 2, "--progress loud"},
		{b, "--timeout 3 status", 2, "no span of time"},
		{b, "run --no-such-flag x", 2, "error[bad-usage]"},
		{b, "run", 2, "an image or a job file"},
		{b, "run -y alpine", 2, "no cap"},
		{b, "run --max-total 0.02 alpine", 2, "add --yes"},
		{b, "run --max-total lots alpine", 2, "error[spec-format]"},
		{b, "run " + job, 2, job + ":3:9: memory"},
		{b, "show nobody", 3, "error[not-found]"},
		{b, "show", 2, "takes an order"},
		{infeasible, "run -y --max-total 0.02 alpine", 5, "fix: --max-rate 0.013/h"},
		{infeasible, "run --dry-run --max-total 0.02 alpine", 5, "5 ask more"},
		{b, "run --dry-run --max-total 0.02 alpine", 0, ""},
		{b, "--set node.netwrok=x status", 2, "did you mean node.network?"},
		{b, "config get no.key", 3, "is no key"},
		{b, "offers --max-rate cheap", 2, "limits.max_rate"},
		{b, "offers --limit -1", 2, "--limit -1"},
		{b, "ps -a --limit -3", 2, "--limit -3"},
		{b, "provider leases --limit -3", 2, "--limit -3"},
		{b, "net find rtx-4090 --want -2", 2, "--want -2"},
		{b, "net ping xy", 2, "last 4 characters"},
		{b, "net ping nobodyhere", 3, "no peer, and no node that offers something, ends with nobodyhere"},
		{b, "net ping dearprov", 0, ""},
		{b, "offers --sort fame", 2, "placement.sort"},
		{b, "offers --sort value:fp61", 2, "did you mean value:fp16?"},
		{b, "run --dry-run --max-total 0.02 --sort rtt alpine", 0, ""},
		{b, "book rtx-409", 3, "did you mean rtx-4090?"},
		{b, "book --", 2, "one model"},
		{b, "offers --cpu 9", 0, "nothing free fits what the flags ask"},
		{b, "show ''", 2, "error[bad-usage]"},
		{b, "logs --tail -7 -", 2, "--tail -7"},
		{b, "run -y --max-total 0.02 --env FOO alpine", 2, "NAME=VALUE"},
		{b, "run -y --max-total 0.02 --in ./x alpine", 2, "write ./x:/workspace/…"},
		{b, "run -y --max-total 0.02 --provider abcdefg alpine", 3, "no node that offers something ends with abcdefg"},
		{b, "offers --provider xy", 2, "last 4 characters"},
		{b, "wallet withdraw here", 2, "no Solana address"},
		{b, "wallet withdraw 7xKdNqW2ESBAGRrMJr3G3z2qZ3nFLjW1p6bTr9a9fQ2a", 2, "add --yes"},
		{b, "--socket /nowhere/api.sock status", 8, "gpuai node start"},
		{b, "doctor --only feet", 2, "no group"},
		{b, "logs --since yesterday -", 2, "--since"},
		{b, "exec -", 2, "a command"},
		{b, "provider price much", 2, "no rate"},
	}
}

func TestReads_TableAndJSON(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	zero := 0
	b.node.order = ended(market.CodeCompleted, &zero)
	b.node.order.Name = "evil\x1b]52;c;AAAA\x07\u202ename"
	code, out, _ := b.run("", "offers", "4090")
	want := "cheapone\trtx-4090\t1 of 4\t0.0024 SOL/hour\t-\t-\t-\tunknown\tnever used\ndearprov\trtx-4090\t2 of " +
		"2\t0.003 " +
		"SOL/hour\t-\t-\t-\t12 ms\tfailed 3 of 9, 2 did not start\n"
	if code != 0 || out != want {
		t.Errorf("offers %d:\n%s", code, out)
	}
	if _, out, _ := b.run("", "offers", "--explain", "--limit", "1"); out != "cheapone\trtx-4090\trate\t0.0024 "+
		"SOL/hour\ncheapone\trtx-4090\tarch\tamd64\ncheapone\trtx-4090\tvram\t24GiB\n" {
		t.Errorf("--explain: %q", out)
	}
	if _, out, errOut := b.run("", "offers", "h100"); out != "" ||
		!strings.Contains(errOut, "on offer are: h100, rtx-4090") {
		t.Errorf("taken: %q %q", out, errOut)
	}
	if _, out, _ := b.run("", "offers", "--all", "h100"); !strings.Contains(out, "0 of 8") {
		t.Errorf("--all: %q", out)
	}
	if _, out, _ := b.run("", "ps"); strings.ContainsAny(out, "\x1b\x07\u202e") {
		t.Errorf("a peer's name reaches the terminal: %q", out)
	}
	for _, args := range []string{"status", "offers", "ps", "show -", "wallet show", "config show", "version",
		"doctor --offline --only rig", "run --dry-run --max-total 0.02 alpine"} {
		_, out, _ := b.run("", strings.Fields("--json "+args)...)
		var doc struct{ Schema string }
		if err := json.Unmarshal([]byte(out), &doc); err != nil || !strings.HasPrefix(doc.Schema, "gpuai.") ||
			!strings.HasSuffix(doc.Schema, "/v1") {
			t.Errorf("%s --json: schema %q, %v: %s", args, doc.Schema, err, out)
		}
	}
}

func TestExecAndStopAndWithdraw(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	if code, out, _ := b.run("typed", "exec", "-i", "-", "--", "sh", "-c", "x"); code != 3 || out != "sh|-c|xtyped" {
		t.Errorf("exec: %d %q", code, out)
	}
	if code, out, _ := b.run("typed", "exec", "-", "true"); code != 1 || out != "true" {
		t.Errorf("exec without -i: %d %q", code, out)
	}
	b.node.order = api.Order{ID: "order_7", Standing: "leased"}
	if code, _, _ := b.run("", "stop", "--now", "-"); code != 0 || !slices.Equal(b.node.stopped, []bool{true}) {
		t.Errorf("stop: %d %v", code, b.node.stopped)
	}
	zero := 0
	b.node.order = ended(market.CodeStopped, &zero)
	b.node.settleIn = 2
	code, _, errOut := b.run("", "stop", "--wait", "-")
	if code != 0 || b.node.settleIn != 0 || !strings.Contains(errOut, "bill ") || strings.Contains(errOut, "stopping") {
		t.Errorf("stop --wait: %d, %d looks before it was settled, %s", code, b.node.settleIn, errOut)
	}
	const to = "7xKdNqW2ESBAGRrMJr3G3z2qZ3nFLjW1p6bTr9a9fQ2a"
	if code, _, _ := b.run("", "wallet", "withdraw", "-y", to); code != 0 || b.node.withdraw != to+"0true" &&
		b.node.withdraw != to+"0 true" {
		t.Errorf("withdraw: %d %q", code, b.node.withdraw)
	}
}

func TestProvider_SetupWritesSettings(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	const payout = "7xKdNqW2ESBAGRrMJr3G3z2qZ3nFLjW1p6bTr9a9fQ2a"
	if code, _, errOut := b.run("", "provider", "setup", "--payout", "x", "--rate", "1", "-y"); code != 2 {
		t.Errorf("a bad address: %d %s", code, errOut)
	}
	if code, _, errOut := b.run("", "provider", "setup", "--payout", payout, "--rate", "0.0024/h", "-y"); code != 0 {
		t.Fatalf("%d %s", code, errOut)
	}
	if code, _, errOut := b.run("", "provider", "price", "RTX 4090", "0.003/h"); code != 0 {
		t.Fatalf("%d %s", code, errOut)
	}
	for key, want := range map[string]string{"provider.payout": payout, "provider.rate": "0.0024/h",
		"provider.rates": "rtx-4090=0.003/h", "node.roles": "customer,provider"} {
		if _, out, _ := b.run("", "config", "get", key); out != want+"\n" {
			t.Errorf("%s = %q, want %q", key, out, want)
		}
	}
}

// TestConfigSet_ThroughTheNode_SaysWhatIsInEffect: a running node of the same file is told; one of another file, or
// none, is not, and the command says so. A wrong value is explained and reaches no node.
func TestConfigSet_ThroughTheNode_SaysWhatIsInEffect(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	code, _, errOut := b.run("", "config", "set", "provider.deny_images=evil/x", "provider.hold=3m")
	if code != 0 || len(b.node.patched) != 1 || !strings.Contains(errOut, "provider.deny_images: in effect") ||
		!strings.Contains(errOut, "provider.hold: restart needed") {
		t.Errorf("%d, told %d times: %s", code, len(b.node.patched), errOut)
	}
	if code, _, errOut := b.run("", "config", "set", "limits.payer_starts=often"); code != 2 ||
		!strings.Contains(errOut, "often") || len(b.node.patched) != 1 {
		t.Errorf("%d: %s", code, errOut)
	}
	b.node.settings.Flags = map[string]string{"limits.payer_devices": "1"}
	if code, _, errOut := b.run("", "config", "set", "limits.payer_devices=2"); code != 0 ||
		!strings.Contains(errOut, "started with another value (flag)") {
		t.Errorf("%d: %s", code, errOut)
	}
	other := filepath.Join(b.dir, "other.toml")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errOut := b.run("", "--config", other, "config", "set", "limits.payer_devices=3"); code != 0 ||
		len(b.node.patched) != 2 ||
		!strings.Contains(errOut, "the running node reads "+filepath.Join(b.dir, ".config", "gpuai", "config.toml")) {
		t.Errorf("%d: %s", code, errOut)
	}
	if text, err := os.ReadFile(other); err != nil || string(text) != "[limits]\npayer_devices = 3\n" {
		t.Errorf("%q, %v", text, err)
	}
	if code, _, errOut := b.run("", "--socket", filepath.Join(b.dir, "none.sock"), "config", "set",
		"limits.payer_devices=4"); code != 0 || strings.Contains(errOut, "in effect") || len(b.node.patched) != 2 {
		t.Errorf("%d: %s", code, errOut)
	}
}

func TestHelp_ExamplesParse(t *testing.T) {
	t.Parallel()
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Short == "" {
			t.Errorf("%s has no short help", c.CommandPath())
		}
		for line := range strings.SplitSeq(c.Example, "\n") {
			words, ok := strings.CutPrefix(strings.TrimSpace(line), "gpuai ")
			if !ok {
				continue
			}
			found, rest, err := newRoot(&App{}).Find(strings.Fields(words))
			if err == nil {
				err = found.ParseFlags(rest)
			}
			if err != nil || found.RunE == nil && found.HasParent() {
				t.Errorf("example %q of %s: %v", line, c.CommandPath(), err)
			}
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	root := newRoot(&App{})
	for _, c := range root.Commands() {
		if !c.Hidden && c.Runnable() || c.HasSubCommands() {
			visit(c)
		}
	}
}

func TestPrintable_KeepsColoursOnly(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain\ttext\r\n":           "plain\ttext\r\n",
		"\x1b[1;31mred\x1b[0m":      "\x1b[1;31mred\x1b[0m",
		"a\x1b]52;c;ZXZpbA==\x07b":  "ab",
		"a\x1b]0;title\x1b\\b":      "ab",
		"a\x1b[2Jb\x1b[10;10Hc":     "abc",
		"a\x1bPdcs\x1b\\b\x07\x00c": "abc",
		"cut \x1b[31":               "cut ",
		"cut \x1b":                  "cut ",
		"größe ✓":                   "größe ✓",
		"a\u202eb\u2066c":           "abc",
		"a\u009b2Jb\x9b2Jc":         "a2Jb2Jc",
	} {
		for size := 1; size <= len(in); size++ { // however it is cut into pieces
			var c cleaner
			var got []byte
			for piece := range slices.Chunk([]byte(in), size) {
				got = append(got, c.clean(piece)...)
			}
			if string(got) != want {
				t.Errorf("%q in pieces of %d = %q, want %q", in, size, got, want)
			}
		}
	}
}

func TestTable_AlignsForPeopleOnly(t *testing.T) {
	t.Parallel()
	var tab Table
	tab.Head("A", "LONGER")
	tab.Row("größe", "x")
	tab.Row("b", "y")
	if got := tab.Text(Look{Aligned: true}); got != "A      LONGER\ngröße  x\nb      y\n" {
		t.Errorf("%q", got)
	}
	if got := tab.Text(Look{}); got != "größe\tx\nb\ty\n" {
		t.Errorf("%q", got)
	}
}
