package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/rest"
)

// servedAt serves a node at a socket until the test ends.
func servedAt(t *testing.T, socket string) *fakeNode {
	t.Helper()
	n := &fakeNode{}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := rest.Serve(ctx, socket,
			api.New(api.Config{Backend: n}, slog.New(slog.DiscardHandler))); !errors.Is(err,
			context.Canceled) {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	for range 500 {
		if knock(socket) == nil {
			return n
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the fake node does not listen")
	return nil
}

// machine is a command line on a machine that may have a system's node; home has no settings.
func machine(t *testing.T) (home string, system systemNode,
	run func(env []string, args ...string) (int, string, string)) {
	t.Helper()
	dir, err := os.MkdirTemp("", "m") // t.TempDir is too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	system = systemNode{socket: filepath.Join(dir, "run", "api.sock"), unit: filepath.Join(dir, "gpuai.service")}
	return dir, system, func(env []string, args ...string) (int, string, string) {
		var o, e bytes.Buffer
		a := &App{in: strings.NewReader(""), out: &o, err: &e, env: append([]string{"HOME=" + dir}, env...),
			system: system}
		code := a.Main(t.Context(), args)
		return code, o.String(), e.String()
	}
}

// TestSocket_SearchOrder: what is named goes first, then the own node that runs, then the machine's, which is said.
func TestSocket_SearchOrder(t *testing.T) {
	t.Parallel()
	home, system, run := machine(t)
	servedAt(t, system.socket)
	if code, _, errOut := run(nil, "status"); code != 0 ||
		!strings.Contains(errOut, "the machine's, at "+system.socket) {
		t.Errorf("machine's: %d %s", code, errOut)
	}
	named := filepath.Join(home, "named.sock")
	servedAt(t, named)
	for _, args := range [][]string{{"--socket", named, "status"}, {"--set", "api.socket=" + named, "status"}} {
		if code, _, errOut := run(nil, args...); code != 0 || errOut != "" {
			t.Errorf("%v: %d %s", args, code, errOut)
		}
	}
	if code, _, errOut := run([]string{"GPUAI_API_SOCKET=" + named}, "status"); code != 0 || errOut != "" {
		t.Errorf("environment: %d %s", code, errOut)
	}
	if code, _, errOut := run(nil, "--socket", filepath.Join(home, "none.sock"), "status"); code != 8 ||
		strings.Contains(errOut, "machine's") {
		t.Errorf("a named one that is not there: %d %s", code, errOut)
	}
	if code, _, errOut := run(nil, "node", "start"); code != 0 || !strings.Contains(errOut, "a node runs already") {
		t.Errorf("start beside the machine's: %d %s", code, errOut)
	}
	if code, _, errOut := run(nil, "--set", "node.log=debug", "node", "start"); code != 0 ||
		strings.Contains(errOut, "gpuai node stop") {
		t.Errorf("flags beside the machine's: %d %s", code, errOut)
	}
	if code, _, errOut := run(nil, "node"); code != 1 || !strings.Contains(errOut, "error[node-running]") ||
		!strings.Contains(errOut, "node.data_dir=") {
		t.Errorf("foreground beside the machine's: %d %s", code, errOut)
	}
	own := filepath.Join(home, ".local", "state", "gpuai")
	servedAt(t, filepath.Join(own, "api.sock"))
	if code, _, errOut := run(nil, "status"); code != 0 || errOut != "" {
		t.Errorf("own: %d %s", code, errOut)
	}
}

// TestSocket_OwnStopped_SaysSo: who has a node of its own that does not run hears that the machine's is asked instead.
func TestSocket_OwnStopped_SaysSo(t *testing.T) {
	t.Parallel()
	home, system, run := machine(t)
	servedAt(t, system.socket)
	if err := os.MkdirAll(filepath.Join(home, ".local", "state", "gpuai", "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	if code, _, errOut := run(nil, "status"); code != 0 || !strings.Contains(errOut, "your own does not run") ||
		!strings.Contains(errOut, "node.data_dir=") {
		t.Errorf("%d %s", code, errOut)
	}
}

// TestSocket_MachinesNode_NotOurs: neither a service that is stopped nor one that we may not reach is a reason to start
// a second node.
func TestSocket_MachinesNode_NotOurs(t *testing.T) {
	t.Parallel()
	home, system, run := machine(t)
	if err := os.WriteFile(system.unit, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"wallet new", "ps", "stop -", "status", "provider show", "node start",
		"run -y --max-total 1 alpine"} {
		if code, _, errOut := run(nil, strings.Fields(args)...); code != 8 ||
			!strings.Contains(errOut, "sudo systemctl start gpuai") {
			t.Errorf("%s: %d %s", args, code, errOut)
		}
	}
	if os.Geteuid() != 0 { // root may do all
		servedAt(t, system.socket)
		if err := os.Chmod(system.socket, 0); err != nil {
			t.Fatal(err)
		}
		for _, args := range []string{"wallet new", "ps", "status", "provider show"} {
			if code, _, errOut := run(nil, strings.Fields(args)...); code != 4 ||
				!strings.Contains(errOut, "group gpuai") || !strings.Contains(errOut, "sudo") {
				t.Errorf("%s: %d %s", args, code, errOut)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(home, ".local")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a second node was begun: %v", err)
	}
	if code, _, errOut := run(nil, "config", "set", "node.network=localnet"); code != 0 {
		t.Errorf("settings of one's own: %d %s", code, errOut)
	}
}
