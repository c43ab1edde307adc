//go:build unix

package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/rest"
)

// TestServeGroup_ModeAndGroup: without a group the socket is its user's alone, with one its members' too, and an
// unknown one is refused.
func TestServeGroup_ModeAndGroup(t *testing.T) {
	t.Parallel()
	home, _, run := machine(t)
	path := filepath.Join(home, "a.sock")
	servedAt(t, path)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	err := rest.ServeGroup(t.Context(), filepath.Join(home, "b.sock"), "no-such-group", nil)
	if err == nil || !strings.Contains(err.Error(), "api.group: no-such-group") {
		t.Error(err)
	}
	if info, err := os.Stat(home); err == nil && info.Sys().(*syscall.Stat_t).Gid == 0 && os.Geteuid() == 0 {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		grouped := filepath.Join(home, "c.sock")
		wg.Go(func() {
			// its end is ours
			_ = rest.ServeGroup(ctx, grouped, "daemon",
				api.New(api.Config{Backend: &fakeNode{}}, slog.New(slog.DiscardHandler)))
		})
		for range 500 {
			if info, err := os.Stat(grouped); err == nil && info.Mode().Perm() == 0o660 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		info, err := os.Stat(grouped)
		if err != nil || info.Mode().Perm() != 0o660 || info.Sys().(*syscall.Stat_t).Gid == 0 {
			t.Errorf("%v %v", info, err)
		}
		cancel()
		wg.Wait()
	}
	if code, out, _ := run(nil, "config", "get", "api.group"); code != 0 || out != "\n" {
		t.Errorf("%d %q", code, out)
	}
}
