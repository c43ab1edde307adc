package main

import (
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/rest"
)

// TestReturned_KeptChannel_IsNoLoss: a deposit that stays in its channel, or paid other orders too, is never called
// lost.
func TestReturned_KeptChannel_IsNoLoss(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o    api.Order
		want string
	}{
		"own channel": {
			api.Order{OrderClose: api.OrderClose{Finished: true, Returned: api.SOL(75e6), Deposit: api.SOL(80e6)},
				OrderRun: api.OrderRun{Channel: "Ch1"}, OrderMoney: api.OrderMoney{Paid: api.SOL(5e6)}},
			"0.075 SOL of 0.08 SOL",
		},
		"kept": {
			api.Order{OrderClose: api.OrderClose{RefundLater: true, Returned: api.SOL(0), Deposit: api.SOL(80e6)},
				OrderRun: api.OrderRun{Channel: "Ch1"}, OrderMoney: api.OrderMoney{Paid: api.SOL(5e6)}},
			"nothing yet: the rest stays in the channel of 0.08 SOL (back: gpuai channel close Ch1)",
		},
		"shared": {
			api.Order{OrderClose: api.OrderClose{Finished: true, Returned: api.SOL(70e6), Deposit: api.SOL(80e6)},
				OrderRun: api.OrderRun{Channel: "Ch1"}, OrderMoney: api.OrderMoney{Paid: api.SOL(5e6)}},
			"0.07 SOL of 0.08 SOL, a deposit that other orders were paid from too",
		},
		"under way": {
			api.Order{OrderRun: api.OrderRun{Channel: "Ch1"}, OrderMoney: api.OrderMoney{Paid: api.SOL(5e6)},
				OrderClose: api.OrderClose{Returned: api.SOL(0), Deposit: api.SOL(80e6)}},
			"nothing yet of 0.08 SOL",
		},
	} {
		if got := returned(c.o); got != c.want {
			t.Errorf("%s: %q, not %q", name, got, c.want)
		}
	}
}

// TestHabits_Money: who looks for what something cost, costs or needs is told the command.
func TestHabits_Money(t *testing.T) {
	t.Parallel()
	for word, fix := range map[string]string{
		"bill": "gpuai receipt ID", "cost": "gpuai receipt ID", "prices": "gpuai offers",
		"deposit": "gpuai wallet show", "top-up": "gpuai wallet show",
	} {
		code, _, errOut := newBed(t).run("", word)
		if code != 2 || !strings.Contains(errOut, fix) {
			t.Errorf("gpuai %s: %d, %q lacks %q", word, code, errOut, fix)
		}
	}
}

// TestOffers_AllRented: who asks for nothing in particular is told that all rigs are rented, not that something does
// not fit.
func TestOffers_AllRented(t *testing.T) {
	t.Parallel()
	list := []api.Offer{{Provider: "aaaa", Class: "cpu", Rate: api.RateSOL(1e9)}}
	w, err := wants(offerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.nothing(list,
		offerOptions{}); got != "all rigs are rented now; what there is: cpu (all of them: gpuai offers --all)" {
		t.Errorf("no flags: %q", got)
	}
	if got := w.nothing(list, offerOptions{words: []string{"h100"}}); !strings.HasPrefix(got,
		"nothing free fits h100; on offer are: cpu") {
		t.Errorf("h100: %q", got)
	}
}

// TestLogs_NotStarted: a follower says why there is nothing to read yet, and is mute once the job has begun.
func TestLogs_NotStarted(t *testing.T) {
	t.Parallel()
	const says = "has not started yet (funding); its output follows here"
	b := newBed(t)
	b.node.order = api.Order{ID: "order_7", Name: "train", Standing: "funding", OrderRun: api.OrderRun{Channel: "ch"}}
	if _, _, errOut := b.run("", "logs", "-f", "-"); !strings.Contains(errOut, says) {
		t.Errorf("before the start: %q", errOut)
	}
	if _, _, errOut := b.run("", "logs", "-"); strings.Contains(errOut, "not started") {
		t.Errorf("without -f: %q", errOut)
	}
	now := rest.At(time.Now())
	b.node.order = api.Order{ID: "order_7", Name: "train", Standing: "leased", State: "running", LeaseID: "lease_1",
		OrderRun: api.OrderRun{Channel: "ch", ReadyAt: &now}}
	if _, _, errOut := b.run("", "logs", "-f", "-"); strings.Contains(errOut, "not started") {
		t.Errorf("while it runs: %q", errOut)
	}
}

// TestSizes_OneCore: a number and its word agree.
func TestSizes_OneCore(t *testing.T) {
	t.Parallel()
	for milli, want := range map[uint32]string{1000: "1 core, ", 334: "0.334 cores, ", 2000: "2 cores, "} {
		if got := sizes(api.Lease{LeaseAsked: api.LeaseAsked{CPUMilli: milli, RAM: 1 << 30}}); !strings.HasPrefix(got,
			want) {
			t.Errorf("%d: %q", milli, got)
		}
	}
}

// TestStorageBack_AsTheProgramKeepsIt: what people are told fits the program's window, of which an opening uses the
// last 900 slots.
func TestStorageBack_AsTheProgramKeepsIt(t *testing.T) {
	t.Parallel()
	if got := storageBack(api.SOL(1)); !strings.Contains(got, "about 6 min after") {
		t.Errorf("%q", got)
	}
	if got := storageBack(api.SOL(0)); got != "" {
		t.Errorf("nothing is held: %q", got)
	}
}
