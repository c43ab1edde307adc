// Package await is how the node's goroutines wait: for a time that a context cuts short, or for a change that somebody
// tells of. Invariants: none waits longer than its context. Concurrency: any goroutine. Persistence: none. Next: Bell.
package await

import (
	"context"
	"sync"
	"time"
)

// Sleep waits for d. Errors: ctx's.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Bell tells all that wait of a change. The zero value is ready.
type Bell struct {
	mu   sync.Mutex
	next chan struct{}
}

// Next returns what is closed at the next Ring. Who takes it before looking misses nothing.
func (b *Bell) Next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = make(chan struct{})
	}
	return b.next
}

// Ring wakes all that wait now.
func (b *Bell) Ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}

// Until returns once ok does, which is asked anew at each Ring. Errors: ctx's.
func (b *Bell) Until(ctx context.Context, ok func() bool) error {
	for {
		next := b.Next()
		if ok() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-next:
		}
	}
}
