package api

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gpuai/gpuai/node/rest"
)

// held closes a channel once it is let go.
type held struct {
	whole
	begun, free chan struct{}
}

func (s *held) CloseChannel(ctx context.Context, _ string) (Channel, error) {
	close(s.begun)
	select {
	case <-s.free:
		return someChan, nil
	case <-ctx.Done():
		return Channel{}, ctx.Err()
	}
}

// tell adds a row of an operation.
func (f *feed) tell(op rest.Operation) {
	f.mu.Lock()
	defer f.mu.Unlock()
	data, _ := json.Marshal(map[string]string{"id": op.ID}) // a string is JSON
	f.rows = append(f.rows, rest.Event{Seq: uint64(len(f.rows)) + 1, Topic: "operation", Data: data})
	close(f.changed)
	f.changed = make(chan struct{})
}

// TestWait_FollowsTheEvents: an operation is looked at when it begins and ends, and seldom between; without events,
// its end is found all the same.
func TestWait_FollowsTheEvents(t *testing.T) {
	t.Parallel()
	for name, events := range map[string]*feed{"events": newFeed(), "none": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &held{begun: make(chan struct{}), free: make(chan struct{})}
			looked, looks := make(chan struct{}, 1), atomic.Int64{}
			c := Config{Backend: s, Observe: func(route string, _ int) {
				if strings.Contains(route, "/operations/") {
					looks.Add(1)
					select {
					case looked <- struct{}{}:
					default:
					}
				}
			}}
			if events != nil {
				c.Events, c.Told = events, events.tell
			}
			began, ended := time.Now(), make(chan error, 1)
			client := serveConfig(t, c)
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() {
				_, err := client.CloseChannel(t.Context(), someChan.Address)
				ended <- err
			})
			<-s.begun
			for range 3 { // without events the client asks again and again
				<-looked
				if events != nil {
					break
				}
			}
			if events != nil {
				time.Sleep(10 * lookAlone) // a client that polls would ask ten times
			}
			close(s.free)
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			most := 3 + int64(time.Since(began)/lookWithEvents) // ready, its begin, its end
			if n := looks.Load(); events != nil && n > most {
				t.Errorf("%d looks, at most %d", n, most)
			}
		})
	}
}
