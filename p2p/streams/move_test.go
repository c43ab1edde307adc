package streams

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/p2ptest"
)

// TestTunnel_GoesOver_NothingIsLost: while both ends write, the tunnel goes over to other streams a few times; each
// side gets all that the other wrote, in its order, and the end.
func TestTunnel_GoesOver_NothingIsLost(t *testing.T) {
	t.Parallel()
	c, p, _ := pair(t, &fakeProvider{serve: func(_ context.Context, fc *FrameConn) error {
		for { // an echo
			ch, b, err := fc.Read()
			if errors.Is(err, io.EOF) {
				return fc.CloseWrite()
			}
			if err == nil {
				err = fc.Write(ch, b)
			}
			if err != nil {
				return err
			}
		}
	}})
	lease := market.LeaseID{1}
	fc, err := c.Tunnel(t.Context(), p, TunnelOpen{Lease: lease, Kind: TunnelExec})
	if err != nil {
		t.Fatal(err)
	}
	defer fc.Close()
	const pieces = 300
	var want []byte
	for i := range pieces {
		want = append(want, bytes.Repeat([]byte{byte(i)}, 5000)...)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	moved := 0
	wg.Go(func() {
		for i := range pieces {
			if err := fc.Write(ChanIn, want[i*5000:(i+1)*5000]); err != nil {
				t.Error(err)
				return
			}
			if i%60 == 30 {
				err := c.move(t.Context(), fc, opened{p, lease})
				// its last stream may not be read to the end yet, here or there
				if err != nil && !errors.Is(err, errMoved) && market.CodeOf(err) != market.CodeConflict {
					t.Errorf("at %d: %v", i, err)
				}
				if err == nil {
					moved++
				}
			}
		}
		if err := fc.CloseWrite(); err != nil {
			t.Error(err)
		}
	})
	var got []byte
	for {
		_, b, err := fc.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("after %d bytes: %v", len(got), err)
		}
		got = append(got, b...)
	}
	wg.Wait()
	if !bytes.Equal(got, want) || moved == 0 {
		t.Errorf("%d bytes came back of %d; it went over %d times", len(got), len(want), moved)
	}
}

// TestTunnel_GoesOver_OwnOnly: nobody takes another one's tunnel, nor one of another lease.
func TestTunnel_GoesOver_OwnOnly(t *testing.T) {
	t.Parallel()
	held := make(chan struct{})
	c, p, ph := pair(t, &fakeProvider{serve: func(_ context.Context, fc *FrameConn) error { <-held; return nil }})
	defer close(held)
	lease := market.LeaseID{1}
	fc, err := c.Tunnel(t.Context(), p, TunnelOpen{Lease: lease, Kind: TunnelExec})
	if err != nil {
		t.Fatal(err)
	}
	defer fc.Close()
	stranger := another(t, ph)
	for name, take := range map[string]func() error{
		"a stranger": func() error {
			return stranger.move(t.Context(), &FrameConn{id: fc.id}, opened{p, lease})
		},
		"another lease": func() error {
			return c.move(t.Context(), &FrameConn{id: fc.id}, opened{p, market.LeaseID{2}})
		},
		"no such id": func() error {
			return c.move(t.Context(), &FrameConn{id: make([]byte, idBytes)}, opened{p, lease})
		},
	} {
		if err := take(); market.CodeOf(err) != market.CodeNotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// another is a customer beside the pair's.
func another(t *testing.T, provider *p2p.Host) *Service {
	t.Helper()
	h := p2ptest.Start(t, p2p.Config{Key: p2ptest.Key(3)})
	if err := h.Connect(t.Context(), provider.ID(), provider.Addrs()); err != nil {
		t.Fatal(err)
	}
	return New(h, Handlers{}, slog.New(slog.DiscardHandler))
}
