package nodetest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/provider"
	"github.com/gpuai/gpuai/runtime/spec"
)

// engineAway is what an engine says that is being restarted.
var engineAway = &market.Error{Code: market.CodeEngineError, Kind: market.KindUnavailable, Op: "read outputs",
	Err: errors.New("connection refused")}

// TestOutputs_EngineAwayAtTheEnd_AreNotLost: whether the engine is away when the outputs are hashed or when they are
// asked for, they come once it is back; nothing is signed meanwhile, and the bill is the same.
func TestOutputs_EngineAwayAtTheEnd_AreNotLost(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*world, *testing.T, market.OrderID){
		"hashing": func(w *world, t *testing.T, id market.OrderID) {
			w.engine.LoseOutputs(engineAway)
			v := w.await(t, id, in(market.Closing))
			time.Sleep(10 * time.Minute)
			if m := w.sold(t, v); m.OutputsRoot != ([32]byte{}) || m.State != market.Closing {
				t.Errorf("the provider is %s with root %x", m.State, m.OutputsRoot)
			}
		},
		"serving": func(w *world, t *testing.T, id market.OrderID) {
			v := w.await(t, id, in(market.Running))
			until(t, "nothing is signed", func() bool {
				m := w.sold(t, v)
				if m.OutputsRoot == ([32]byte{}) {
					return false
				}
				w.engine.LoseOutputs(engineAway)
				return true
			})
			time.Sleep(2 * time.Minute)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, setup{work: 30 * time.Second}, func(t *testing.T, w *world) {
				before := w.chain.Balance(w.payout)
				id := w.place(t, request("away"))
				lose(w, t, id)
				w.engine.LoseOutputs(nil)
				v := w.await(t, id, over)
				w.exact(t, v, market.CodeCompleted, before)
				w.hasOutputs(t, v)
			})
		})
	}
}

// TestOutputs_ReallyLost_SaysSoAtOnce: a container that is gone, or outputs that no archive holds, end the wait, with
// the reason; what was metered stays paid.
func TestOutputs_ReallyLost_SaysSoAtOnce(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"gone": &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "move files",
			Detail: "the job has no container"}, "too many": spec.ErrArchive,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, setup{work: 30 * time.Second}, func(t *testing.T, w *world) {
				before := w.chain.Balance(w.payout)
				w.engine.LoseOutputs(err)
				v := w.await(t, w.place(t, request("lost")), over)
				w.exact(t, v, market.CodeOutputLost, before)
				if v.OutputsReady || v.Files.Failure != market.CodeOutputLost || v.Files.FailureDetail == "" ||
					v.Paid != 30*second {
					t.Errorf("ready %v, %+v, paid %d", v.OutputsReady, v.Files, v.Paid)
				}
			})
		})
	}
}

// TestSpool_KeepsWhatIsNeeded: fetched outputs go after their time, and above the bound; outputs that nobody has
// fetched stay until they are old, and go with an event; what a transfer of before left is gone after a start.
func TestSpool_KeepsWhatIsNeeded(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Second}, func(t *testing.T, w *world) {
		ctx := context.Background()
		fetched, unread, old := w.await(t, w.place(t, request("fetched")), over),
			w.await(t, w.place(t, request("unread")), over), w.await(t, w.place(t, request("old")), over)
		here := func(v customer.View) bool {
			_, err := os.Stat(w.cust.Spool.Outputs(v.ID))
			return err == nil
		}
		w.hasOutputs(t, fetched)
		if err := w.cust.Spool.Fetched(ctx, fetched.ID); err != nil {
			t.Fatal(err)
		}
		// files have the real time
		for v, at := range map[*customer.View]time.Time{&old: time.Now().Add(-48 * time.Hour), &unread: time.Now(),
			&fetched: time.Now()} {
			if err := os.Chtimes(w.cust.Spool.Outputs(v.ID), at, at); err != nil {
				t.Fatal(err)
			}
		}
		part := w.cust.Spool.Outputs(unread.ID) + ".part"
		if err := os.WriteFile(part, bytes.Repeat([]byte("x"), 10), 0o600); err != nil {
			t.Fatal(err)
		}
		long := time.Now().Add(-time.Hour)
		if err := os.Chtimes(part, long, long); err != nil {
			t.Fatal(err)
		}
		w.stopCust()
		w.cc.SpoolMax = 1 // each archive alone is above
		w.startCustomer(t)
		until(t, "the bound is not kept", func() bool { return !here(fetched) && !here(old) })
		if _, err := os.Stat(part); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a cut transfer is left: %v", err)
		}
		if !here(unread) {
			t.Error("outputs of just now that nobody has fetched are gone")
		}
		v := w.await(t, old.ID, func(v customer.View) bool { return !v.Files.Dropped.IsZero() })
		if v.OutputsReady {
			t.Error("dropped outputs are said to be here")
		}
	})
}

// TestInputs_NeverSent_OrderWaitsAndEnds: an order without its inputs costs nothing, outlives a restart, can be
// stopped, and ends after its time.
func TestInputs_NeverSent_OrderWaitsAndEnds(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Second,
		change: func(_ *provider.Config, c *customer.Config) { c.InputsWait = time.Hour }},
		func(t *testing.T, w *world) {
			ctx := context.Background()
			wait := func(key string) market.OrderID {
				r := request(key)
				r.File.Inputs, r.InputBytes = []spec.Source{{From: "in", To: "/workspace/in"}}, 3
				id, err := w.cust.Await(ctx, r)
				if err != nil {
					t.Fatal(err)
				}
				return id
			}
			stopped, late, sent := wait("stopped"), wait("late"), wait("sent")
			w.stopCust()
			w.startCustomer(t)
			w.await(t, late, func(v customer.View) bool { return v.Standing == customer.StandingInputs })
			if err := w.cust.StopOrder(ctx, stopped.String(), false); err != nil {
				t.Fatal(err)
			}
			if v := w.await(t, stopped, over); v.Code != market.CodeStopped || v.Deposit != 0 {
				t.Errorf("%s %s, deposit %d", v.Standing, v.Code, v.Deposit)
			}
			if err := os.MkdirAll(w.cc.Spool+"/"+sent.String(), 0o700); err != nil {
				t.Fatal(err)
			}
			in := filepath.Join(t.TempDir(), "in")
			if err := os.WriteFile(in, []byte("abc"), 0o600); err != nil {
				t.Fatal(err)
			}
			var archive bytes.Buffer
			if _, err := spec.Pack(&archive, []spec.Source{{From: in, To: "/workspace/in"}}); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(w.cust.Spool.Inputs(sent), archive.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := w.cust.Supplied(ctx, sent, spec.Manifest{}); err != nil {
				t.Fatal(err)
			}
			if v := w.await(t, sent, over); v.Code != market.CodeCompleted {
				t.Errorf("%s %s %s", v.Standing, v.Code, v.Detail)
			}
			if _, err := os.Stat(w.cust.Spool.Inputs(sent)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("staged inputs stay in the spool: %v", err)
			}
			time.Sleep(3 * time.Hour)
			if v := w.await(t, late, over); v.Code != market.CodeInputStalled || v.Deposit != 0 {
				t.Errorf("%s %s, deposit %d", v.Standing, v.Code, v.Deposit)
			}
			if err := w.cust.Supplied(ctx, late, spec.Manifest{}); market.CodeOf(err) != market.CodeConflict {
				t.Errorf("inputs after the end: %v", err)
			}
		})
}
