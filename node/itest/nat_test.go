//go:build integration

package itest

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/escrow/localnet"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/runtime/runtimetest"
	"github.com/gpuai/gpuai/runtime/spec"
)

// Kinds of homes.
const (
	homeNone      = "none"      // no NAT
	homeCone      = "cone"      // the same port for all destinations
	homeSymmetric = "symmetric" // a random port for each destination
	homeRelayOnly = "relay-only"
	homeCGNAT     = "cgnat" // a home behind a carrier's NAT
)

const relayIP = "45.10.0.10"

// home is a computer at such a connection; public is what the internet sees, as in 45.10.0.20.
func home(t *testing.T, internet *space, kind, public string) *space {
	t.Helper()
	host := newSpace(t)
	if kind == homeNone {
		host.join(t, internet, "wan", public+"/24")
		return host
	}
	router := newSpace(t)
	host.wire(t, "eth", "192.168.1.2/24", router, "lan", "192.168.1.1/24")
	host.ip(t, "route add default via 192.168.1.1")
	masquerade, rules := "", ""
	switch kind {
	case homeSymmetric:
		masquerade = "--random-fully"
	case homeRelayOnly:
		rules = "-A FORWARD -i lan ! -d " + relayIP + " -j DROP"
	case homeCGNAT:
		carrier := newSpace(t)
		carrier.join(t, internet, "wan", public+"/24")
		router.wire(t, "wan", "100.64.7.2/24", carrier, "lan", "100.64.7.1/24")
		router.ip(t, "route add default via 100.64.7.1")
		carrier.router(t, "wan", "", "")
		router.router(t, "wan", "", "")
		return host
	}
	router.join(t, internet, "wan", public+"/24")
	router.router(t, "wan", masquerade, rules)
	return host
}

// cell is a rig and a customer, each at home.
type cell struct {
	rig, customer string // kinds of homes
	relayed       bool   // they reach each other over a relay only

	p, b  *proc
	rigID market.NodeID
	began time.Time
}

// TestNAT_Matrix: real processes behind NATs that the test makes. In each cell the rig's offer reaches the customer as
// soon as the rig has an address, and a paid job with input, logs, exec and output ends exactly. Where the two reach
// each other over a relay only, the plan says so, and a larger input is refused before any money moves; elsewhere it
// goes the direct way.
func TestNAT_Matrix(t *testing.T) {
	r := &rig{docker: runtimetest.NeedDocker(t), srv: escrowtest.NeedLocalnet(t, localnet.Options{SlotMS: 100}),
		reg: runtimetest.StartRegistry(t)}
	r.image = runtimetest.PushTestJob(t, r.reg, runtimetest.BuildTestJob(t),
		"gpuai/testjob-"+strings.ToLower(rand.Text()[:6]), runtimetest.ImageConfig{})
	r.payout = market.Address([]byte(rand.Text() + strings.Repeat("p", 32))[:32])
	internet := newBridge(t)
	relay := natProc(t, r, "[]", join(t, internet, relayIP), "p2p.infra=true",
		"p2p.listen=/ip4/"+relayIP+"/udp/4801/quic-v1,/ip4/"+relayIP+"/tcp/4801")
	boot := "p2p.bootstrap=/ip4/" + relayIP + "/udp/4801/quic-v1/p2p/" + relay.id(t)
	cells := []*cell{
		{rig: homeRelayOnly, customer: homeRelayOnly, relayed: true},
		{rig: homeSymmetric, customer: homeSymmetric, relayed: true}, {rig: homeCone, customer: homeCone},
		{rig: homeCGNAT, customer: homeCone}, {rig: homeNone, customer: homeNone},
	}
	for i, c := range cells { // all at once: most of the time they wait for their relay
		c.start(t, r, internet, boot, 20+2*i)
	}
	for _, c := range cells {
		t.Run(c.rig, func(t *testing.T) {
			t.Parallel()
			c.run(t, r)
		})
	}
}

// address is one of the internet's.
func address(n int) string { return fmt.Sprintf("45.10.0.%d", n) }

func join(t *testing.T, internet *space, ip string) *space {
	t.Helper()
	s := newSpace(t)
	s.join(t, internet, "wan", ip+"/24")
	return s
}

// natProc runs a node in a namespace, where ledger and registry answer as they do here.
func natProc(t *testing.T, r *rig, roles string, in *space, sets ...string) *proc {
	t.Helper()
	in.lend(t, r.srv.RPC)
	host, _, _ := strings.Cut(r.image.Ref, "/")
	in.lend(t, host)
	p := makeProc(t, r, roles)
	p.in = in
	p.set(append([]string{"node.network=localnet-nat", "node.data_dir=" + p.dir(), "solana.rpc=" + r.srv.RPC,
		"p2p.public_rules=true"}, sets...)...)
	p.start(t)
	return p
}

// start starts both nodes.
func (c *cell) start(t *testing.T, r *rig, internet *space, boot string, number int) {
	t.Helper()
	c.began = time.Now()
	c.p = natProc(t, r, "provider", home(t, internet, c.rig, address(number)), boot,
		"provider.payout="+r.payout.String(),
		"provider.rate=1/h", "provider.tick=2s", "provider.hold=1m", "provider.simulate_gpu=rtx-4090:1",
		"provider.docker_host="+r.docker, "provider.allow_weak_runtime=true", "provider.egress=none",
		"limits.payer_starts=0")
	c.b = natProc(t, r, "customer", home(t, internet, c.customer, address(number+1)), boot)
	_, err := c.b.api.Airdrop(t.Context(), 2_000_000_000)
	if err == nil {
		c.rigID, err = market.ParseNodeID(c.p.id(t))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (c *cell) run(t *testing.T, r *rig) {
	b := c.b
	wait(t, "the offer is not seen", 90*time.Second, func() bool {
		list, err := b.api.Offers(t.Context(), market.Sort{})
		for _, o := range list {
			if o.Provider == c.rigID.String() {
				return err == nil && o.Free > 0
			}
		}
		return false
	})
	t.Logf("offer seen after %s", time.Since(c.began).Round(time.Second))
	large := r.order("large", "echo=never")
	large.Job.Placement.Providers = []market.NodeID{c.rigID}
	large.Job.Inputs, large.InputBytes = []spec.Source{{From: "in", To: "/workspace/in"}}, 4<<20
	plan, err := b.api.Plan(t.Context(), large)
	if err != nil {
		t.Fatal(err)
	}
	size := 4 << 20
	if c.relayed {
		size = 1 << 20
		if plan.Feasible || plan.Code != market.CodeNeedsDirect || plan.NearestHint == "" {
			t.Errorf("a large order over a relay: feasible %v, %s, %q", plan.Feasible, plan.Code, plan.NearestHint)
		}
		c.refused(t, b, large)
	}
	small := large
	small.Key, small.InputBytes = "small", uint64(size)
	small.Job.Args = []string{"cat=/workspace/in/word", "write=/workspace/out/x:data", "sleep=10s"}
	small.Job.Outputs = []spec.Output{{Path: "/workspace/out"}}
	if plan, err = b.api.Plan(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	if !plan.Feasible || len(plan.Candidates) != 1 || plan.Candidates[0].Relayed != c.relayed ||
		(plan.Candidates[0].FilesMax == 3<<20) != c.relayed {
		t.Errorf("plan: feasible %v %s %s; %+v", plan.Feasible, plan.Code, plan.Detail, plan.Candidates)
	}
	c.works(t, b, small, size)
	t.Logf("over after %s", time.Since(c.began).Round(time.Second))
}

// refused: an order whose files no relay carries ends before money moves, with what to do.
func (c *cell) refused(t *testing.T, b *proc, q api.OrderRequest) {
	t.Helper()
	o, err := b.api.CreateOrder(t.Context(), q)
	if err == nil {
		err = b.api.PutInputs(t.Context(), o.ID, wordTar(t, 4<<20))
	}
	if err != nil {
		t.Fatal(err)
	}
	wait(t, "the large order does not end", 60*time.Second, func() bool {
		o, err = b.api.Order(t.Context(), o.ID)
		return err == nil && o.Ended()
	})
	if o.Code != market.CodeNeedsDirect || o.Deposit.Lamports() != 0 {
		t.Errorf("the large order ended %s %s, deposit %s", o.Code, o.Detail, o.Deposit)
	}
}

// works runs a paid job with input, logs, exec and output.
func (c *cell) works(t *testing.T, b *proc, q api.OrderRequest, size int) {
	t.Helper()
	o, err := b.api.CreateOrder(t.Context(), q)
	if err == nil {
		err = b.api.PutInputs(t.Context(), o.ID, wordTar(t, size))
	}
	if err != nil {
		t.Fatal(err)
	}
	said := ""
	wait(t, "nothing runs beside the job", 60*time.Second, func() bool {
		said = ""
		exit, err := b.api.Exec(t.Context(), o.ID, []string{"/bin/testjob", "echo=beside"}, nil, nil,
			func(_ uint8, b []byte) error { said += string(b); return nil })
		return err == nil && exit == 0
	})
	if said != "beside\n" {
		t.Errorf("exec said %q", said)
	}
	v := b.ended(t, o.ID)
	if v.Code != market.CodeCompleted || v.Paid.Lamports() == 0 ||
		v.Paid.Lamports()+v.Returned.Lamports() != v.Deposit.Lamports() {
		t.Errorf("%s %s %s; paid %s, returned %s of %s; %+v", v.Standing, v.Code, v.Detail, v.Paid, v.Returned,
			v.Deposit, v.Steps)
	}
	var log bytes.Buffer
	if _, err := b.api.Logs(t.Context(), o.ID, api.LogQuery{}, func(p api.LogPiece) error {
		log.Write(p.Data)
		return nil
	}); err != nil || log.String() != "word" {
		t.Errorf("log %q, %v", &log, err)
	}
	if files := b.outputs(t, o.ID); files["out/x"] != "data" {
		t.Errorf("outputs hold %q", files)
	}
}

// wordTar holds in/word, and as much noise as makes the size.
func wordTar(t *testing.T, size int) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	noise := make([]byte, size-4)
	_, _ = rand.Read(noise) // never fails
	var errs []error
	for _, f := range []struct {
		name string
		data []byte
	}{{"in/word", []byte("word")}, {"in/noise", noise}} {
		errs = append(errs, w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.data)),
			Typeflag: tar.TypeReg}))
		_, err := w.Write(f.data)
		errs = append(errs, err)
	}
	if err := errors.Join(append(errs, w.Close())...); err != nil {
		t.Fatal(err)
	}
	return &b
}
