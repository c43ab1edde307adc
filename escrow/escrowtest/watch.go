package escrowtest

import (
	"context"
	"maps"
	"time"

	"github.com/gpuai/gpuai/escrow"
)

// finalWithin is how often Watch looks for what has become final: slots end by the clock.
const finalWithin = time.Second

// Watch implements escrow.Ledger.
func (l *Ledger) Watch(ctx context.Context, f func(escrow.Update) error) error {
	told := map[string]escrow.Result{}
	for {
		l.mu.Lock()
		now, changed := maps.Clone(l.results), l.changed
		l.mu.Unlock()
		var later <-chan time.Time
		for key, e := range now {
			r := l.settle(e.result)
			if r.State == escrow.ConfirmedTx {
				later = time.After(finalWithin)
			}
			if told[key] == r {
				continue
			}
			if err := f(escrow.Update{Channel: e.channel, Intent: key, Result: r}); err != nil {
				return err
			}
			told[key] = r
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-later:
		}
	}
}
