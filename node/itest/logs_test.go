//go:build integration

package itest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
)

// logNodes are a rig of two processes that can be killed and started again, and what a job printed.
type logNodes struct {
	r              *rig
	provider, cust *proc
}

func newLogNodes(t *testing.T) *logNodes {
	t.Helper()
	r := newRig(t)
	l := &logNodes{r: r}
	l.provider = newProc(t, r, "provider", "provider.payout="+r.payout.String(), "provider.rate=1/h",
		"provider.tick=2s", "provider.hold=1m",
		"provider.simulate_gpu=rtx-4090:1", "provider.docker_host="+r.docker, "provider.allow_weak_runtime=true",
		"provider.egress=none")
	l.cust = newProc(t, r, "customer")
	if _, err := l.cust.api.Airdrop(t.Context(), 2_000_000_000); err != nil {
		t.Fatal(err)
	}
	wait(t, "the offer is not seen", 60*time.Second,
		func() bool { o, err := l.cust.api.Offers(t.Context(), market.Sort{}); return err == nil && len(o) > 0 })
	return l
}

func (l *logNodes) order(t *testing.T, steps ...string) string {
	t.Helper()
	o, err := l.cust.api.CreateOrder(t.Context(), l.r.order(
		fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(steps, " "))))[:32], steps...))
	if err != nil {
		t.Fatal(err)
	}
	return o.ID
}

func (l *logNodes) until(t *testing.T, id, what string, ok func(api.Order) bool) (o api.Order) {
	t.Helper()
	wait(t, what, 90*time.Second, func() bool {
		var err error
		if o, err = l.cust.api.Order(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		return ok(o)
	})
	return o
}

// whole reads the log as people do after the job, and compares it; nothing may be missing.
func (l *logNodes) whole(t *testing.T, id string, want [3]string) {
	t.Helper()
	var got [8]bytes.Buffer
	next := uint64(0)
	state, err := l.cust.api.Logs(t.Context(), id, api.LogQuery{Follow: true}, func(p api.LogPiece) error {
		if p.Offset != next || p.Gap > 0 {
			t.Errorf("a piece at %d, want %d; gap %d", p.Offset, next, p.Gap)
		}
		next = p.Offset + uint64(len(p.Data))
		got[p.Stream].Write(p.Data)
		return nil
	})
	for i := 1; i <= 2; i++ {
		if got[i].String() != want[i] {
			t.Errorf("stream %d: %d bytes, sum %x; want %d", i, got[i].Len(), sha256.Sum256(got[i].Bytes()),
				len(want[i]))
		}
	}
	if s := (api.LogState{Bytes: next, Over: true, Complete: true}); err != nil || state != s {
		t.Errorf("%+v, %v", state, err)
	}
}

func seqLines(n int) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintln(&b, i)
	}
	return b.String()
}

func noiseOf(t *testing.T, n int64) string {
	t.Helper()
	b, err := io.ReadAll(io.LimitReader(rand.NewChaCha8([32]byte{}), n))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func running(o api.Order) bool { return o.State == "running" && o.BillableMS > 2000 }
func settled(o api.Order) bool { return o.Ended() && (o.Finished || o.RefundLater) }

// TestLogs_OfADetachedJob_AreReadAfterItsEnd: nobody looks while the jobs run; each log is whole afterwards, also while
// the provider is gone.
func TestLogs_OfADetachedJob_AreReadAfterItsEnd(t *testing.T) {
	t.Parallel()
	l := newLogNodes(t)
	jobs := map[string][3]string{}
	for _, c := range []struct {
		steps []string
		want  [3]string
	}{
		{[]string{"echo=short"}, [3]string{1: "short\n"}},
		{[]string{"both=20000", "noise=3000000", "err=oops", "text=no line feed"},
			[3]string{1: seqLines(20_000) + noiseOf(t, 3_000_000) + "no line feed", 2: seqLines(20_000) + "oops\n"}},
		{[]string{"echo=stopped", "forever"}, [3]string{1: "stopped\n"}},
	} {
		id := l.order(t, c.steps...)
		if c.steps[len(c.steps)-1] == "forever" {
			l.until(t, id, "the job does not run", running)
			if err := l.cust.api.StopOrder(t.Context(), id, true); err != nil {
				t.Fatal(err)
			}
		}
		o := l.until(t, id, "the order is not over", settled)
		if o.Logs == nil || !o.Logs.Complete || o.Logs.Bytes != uint64(len(c.want[1])+len(c.want[2])) {
			t.Errorf("%v: logs %+v, %s: %+v", c.steps[0], o.Logs, o.Code, o.Steps)
		}
		jobs[id] = c.want
	}
	l.provider.kill(t)
	l.cust.kill(t)
	l.cust.start(t)
	for id, want := range jobs {
		l.whole(t, id, want)
	}
}

// TestLogs_NodesKilled_NothingIsLost kills the customer's node, then the provider's, in the middle of a job that
// writes.
func TestLogs_NodesKilled_NothingIsLost(t *testing.T) {
	t.Parallel()
	l := newLogNodes(t)
	id := l.order(t, "seq=50000", "sleep=4s", "noise=1000000", "err=half", "sleep=6s", "seq=50000", "text=END")
	l.until(t, id, "the job does not run", running)
	l.cust.kill(t)
	l.cust.start(t)
	l.until(t, id, "the job does not run", running)
	l.provider.kill(t)
	time.Sleep(time.Second) // the outage itself
	l.provider.start(t)
	o := l.until(t, id, "the order is not over", settled)
	if o.Code != market.CodeCompleted || o.Paid.Lamports()+o.Returned.Lamports() != o.Deposit.Lamports() {
		t.Errorf("%s %s: %+v", o.Code, o.Detail, o.Steps)
	}
	l.whole(t, id, [3]string{1: seqLines(50_000) + noiseOf(t, 1_000_000) + seqLines(50_000) + "END", 2: "half\n"})
}

// TestLogs_ProviderGone_SaysWhatIsMissing: with the provider gone for good, what came is there, and what did not is
// named.
func TestLogs_ProviderGone_SaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	l := newLogNodes(t)
	id := l.order(t, "echo=here", "forever")
	l.until(t, id, "the log does not come", func(o api.Order) bool { return o.Logs != nil && o.Logs.Bytes == 5 })
	l.provider.kill(t)
	got := ""
	state, err := l.cust.api.Logs(t.Context(), id, api.LogQuery{},
		func(p api.LogPiece) error { got += string(p.Data); return nil })
	if err != nil || got != "here\n" || state.Over {
		t.Errorf("%q, %+v, %v", got, state, err)
	}
	l.provider.start(t) // and the job ends as it should
	if err := l.cust.api.StopOrder(context.Background(), id, true); err != nil {
		t.Fatal(err)
	}
	l.until(t, id, "the order is not over", settled)
	l.whole(t, id, [3]string{1: "here\n"})
}
