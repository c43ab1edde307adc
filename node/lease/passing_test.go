package lease

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuai/gpuai/market"
)

// TestTry_RefusalThatPasses_IsRepeatedWhenItSays: a peer that is busy, starting or asked too fast is asked again, not
// before the time that it names; any other refusal ends the effect.
func TestTry_RefusalThatPasses_IsRepeatedWhenItSays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		refusal market.Refusal
		tries   int
		atLeast time.Duration
	}{
		"busy": {market.Refusal{Code: market.CodeBusy, Kind: market.KindUnavailable}, 3, 0},
		"busy until": {market.Refusal{Code: market.CodeBusy, Kind: market.KindUnavailable, RetryAfter: 7 * time.Second},
			3,
			14 * time.Second},
		"rate-limited":    {market.Refusal{Code: market.CodeRateLimited, Kind: market.KindUnavailable}, 3, 0},
		"unknown, passes": {market.Refusal{Code: "some-new-word", Kind: market.KindUnavailable}, 3, 0},
		"policy":          {market.Refusal{Code: market.CodePolicy, Kind: market.KindDenied}, 1, 0},
		"unknown, final":  {market.Refusal{Code: "some-new-word", Kind: market.KindConflict}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tries, start := 0, time.Now()
				act := func(context.Context, market.Lease, market.Effect) error {
					if tries++; tries < 3 {
						return &c.refusal
					}
					return nil
				}
				a := &Actor{act: act, log: slog.New(slog.DiscardHandler)}
				a.now.Store(&market.Lease{})
				if !a.try(t.Context(), &queue{}, market.FetchOutputs{}) {
					t.Fatal("the lane ended")
				}
				if tries != c.tries || time.Since(start) < c.atLeast {
					t.Errorf("%d tries within %s", tries, time.Since(start))
				}
			})
		})
	}
}
