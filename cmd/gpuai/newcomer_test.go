package main

import (
	"strings"
	"testing"

	"github.com/gpuai/gpuai/node/api"
)

// TestReturned_KeptChannel_IsNoLoss: a deposit that stays in its channel, or paid other orders too, is never called lost.
func TestReturned_KeptChannel_IsNoLoss(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o    api.Order
		want string
	}{
		"own channel": {
			api.Order{Finished: true, Channel: "Ch1", Paid: api.SOL(5e6), Returned: api.SOL(75e6), Deposit: api.SOL(80e6)},
			"0.075 SOL of 0.08 SOL",
		},
		"kept": {
			api.Order{RefundLater: true, Channel: "Ch1", Paid: api.SOL(5e6), Returned: api.SOL(0), Deposit: api.SOL(80e6)},
			"nothing yet: the rest stays in the channel of 0.08 SOL (back: gpuai channel close Ch1)",
		},
		"shared": {
			api.Order{Finished: true, Channel: "Ch1", Paid: api.SOL(5e6), Returned: api.SOL(70e6), Deposit: api.SOL(80e6)},
			"0.07 SOL of 0.08 SOL, a deposit that other orders were paid from too",
		},
		"under way": {
			api.Order{Channel: "Ch1", Paid: api.SOL(5e6), Returned: api.SOL(0), Deposit: api.SOL(80e6)},
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
		"bill": "gpuai receipt ID", "cost": "gpuai receipt ID", "prices": "gpuai offers", "deposit": "gpuai wallet show", "top-up": "gpuai wallet show",
	} {
		code, _, errOut := newBed(t).run("", word)
		if code != 2 || !strings.Contains(errOut, fix) {
			t.Errorf("gpuai %s: %d, %q lacks %q", word, code, errOut, fix)
		}
	}
}
