package await

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestSleep_EndsWithItsTimeOrItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if err := Sleep(ctx, time.Second); err != nil || time.Since(began) != time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		if err := Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

func TestBell_WakesAllThatWait_OncePerRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Bell
		var rings, looks atomic.Int32
		b.Ring() // nobody waits: nothing is kept for later
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				err := b.Until(t.Context(), func() bool { looks.Add(1); return rings.Load() == 2 })
				if err != nil {
					t.Error(err)
				}
			})
		}
		for want := range int32(2) {
			synctest.Wait()
			if got := looks.Load(); got != 3*(want+1) {
				t.Errorf("%d looks after %d rings", got, want)
			}
			rings.Add(1)
			b.Ring()
		}
		wg.Wait()
		if got := looks.Load(); got != 9 {
			t.Errorf("%d looks in all", got)
		}
	})
}

func TestBell_ContextEnds_Returns(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var b Bell
	if err := b.Until(ctx, func() bool { return false }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
