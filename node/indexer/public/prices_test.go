package public_test

import (
	"testing"

	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/public"
)

// TestPrices_OfDays: a point of a day is the market at the day's end, so that years of them are few.
func TestPrices_OfDays(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s site) {
		const hour = int64(3_600_000)
		day := start.UnixMilli() / (24 * hour) * 24 * hour
		var c db.Change
		for i := range int64(50) { // two days, and two hours of a third
			c.Buckets = append(c.Buckets, db.Bucket{Metric: db.MetricAsk, Key: "h100", Mint: public.SOLMint,
				Step: db.HourStep, At: day + i*hour, N: 1, Low: i, P10: i, P50: i, P90: i, High: i})
		}
		s.apply(t, start, c)
		since := "?since=2026-01-01T00:00:00Z"
		all := read[public.Prices](t, s, "/gpus/h100/prices"+since)
		got := read[public.Prices](t, s, "/gpus/h100/prices"+since+"&every=day")
		if len(all.Points) != 50 || all.Step != 3600 || len(got.Points) != 3 || got.Step != 86_400 {
			t.Fatalf("%d hours of %d s, %d days of %d s", len(all.Points), all.Step, len(got.Points), got.Step)
		}
		for i, want := range []string{"23", "47", "49"} {
			p := got.Points[i]
			if p.Asks.Median.Amount != want || !p.At.Equal(all.Points[i*24].At.Time) {
				t.Errorf("day %d: %s at %s", i, p.Asks.Median.Amount, p.At)
			}
		}
		if w := s.get(t, "/gpus/h100/prices?every=week"); w.Code != 400 {
			t.Errorf("a span that is none: %d", w.Code)
		}
	})
}
