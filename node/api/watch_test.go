package api

import (
	"context"
	"errors"
	"testing"
)

// TestEvents_Each_IsTold: a watcher is called when its stream is open, and at each event of its topics, until it
// leaves.
func TestEvents_Each_IsTold(t *testing.T) {
	t.Parallel()
	f := newFeed()
	c := serveConfig(t, Config{Backend: &whole{}, Events: f})
	ctx, cancel := context.WithCancel(t.Context())
	told := 0
	err := c.Events(ctx, Topics[:1], func() {
		if told++; told == 3 {
			cancel()
			return
		}
		f.add(2) // one of each topic
	})
	if !errors.Is(err, context.Canceled) || told != 3 {
		t.Errorf("told %d times, %v", told, err)
	}
}
