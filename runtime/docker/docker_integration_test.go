//go:build integration

package docker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"testing"
	"time"

	"github.com/gpuai/gpuai/runtime/runtimetest"
)

// newEngine makes an engine with a name of its own, whose network and containers go away with the test.
func newEngine(t *testing.T, peer string, mem *runtimetest.Memory) *Engine {
	t.Helper()
	e, err := New(Config{Peer8: peer, Host: runtimetest.NeedDocker(t), AllowWeakRuntime: true,
		DiskEvery: 200 * time.Millisecond, DiskFloor: 1}, mem, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// sweep removes the images that the engine pulled from the test's registry.
func sweep(t *testing.T, e *Engine, reg *runtimetest.Registry) {
	t.Helper()
	before, err := e.Traces(context.Background())
	if err == nil {
		err = e.Sweep(context.Background(), before, reg.Host())
	}
	if err != nil {
		t.Error(err)
	}
}

func peerName(t *testing.T) string {
	t.Helper()
	var b [4]byte
	if _, err := rand.Read(b[:]); err != nil {
		t.Fatal(err)
	}
	return "t" + hex.EncodeToString(b[:])[:7]
}

func TestConformance(t *testing.T) {
	runtimetest.NeedDocker(t)
	reg := runtimetest.StartRegistry(t)
	bin := runtimetest.BuildTestJob(t)
	sweeper := newEngine(t, peerName(t), runtimetest.NewMemory())
	t.Cleanup(func() { sweep(t, sweeper, reg) })
	image := runtimetest.PushTestJob(t, reg, bin, "test/job", runtimetest.ImageConfig{})
	runtimetest.Conformance(t, func(t *testing.T) runtimetest.Subject {
		peer, mem := peerName(t), runtimetest.NewMemory()
		e := newEngine(t, peer, mem)
		return runtimetest.Subject{Runner: e, Image: image, Restart: func() runtimetest.Runner {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
			return newEngine(t, peer, mem)
		}}
	})
}
