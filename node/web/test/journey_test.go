//go:build web

package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gpuai/gpuai/runtime/runtimetest"
)

// TestJourney walks from a customer's command line to the page that anybody reads: the built program's localnet with
// an index, two providers who sell this machine's processor, a job in a container, and a browser that was open all the
// while. It needs an engine and `make build`.
func TestJourney(t *testing.T) {
	built(t)
	bin, err := filepath.Abs("../../../bin/gpuai")
	if err == nil {
		_, err = os.Stat(bin)
	}
	if err != nil {
		t.Fatal("make build: ", err)
	}
	t.Setenv("DOCKER_HOST", runtimetest.NeedDocker(t))
	w := &walk{bin: bin, dir: t.TempDir()}
	var net struct{ RPC, Images, Join, Site string }
	if err := json.NewDecoder(w.start(t, "localnet", "localnet", "--indexer", "--json")).Decode(&net); err != nil {
		t.Fatal("localnet says nothing: ", err, w.said("localnet"))
	}
	join := append([]string{"config"}, strings.Fields(net.Join)[2:]...)
	for i, to := range []string{"7xKd9vVxdKjsmxZnoqwTfoTTFZ4bJkGJ8Aq5x3sN9fQ2",
		"4Nd1mY3vV6m7bqQkqYQhQyHc3hJkq8WmJ7xqkDk4rQnB"} {
		name := fmt.Sprint("provider", i+1)
		w.do(t, name, join...)
		w.do(t, name, "provider", "setup", "--yes", "--payout", to, "--rate", "1/h")
		w.start(t, name, "node", "--allow-weak-runtime")
	}
	w.do(t, "customer", join...)
	w.do(t, "customer", "wallet", "new")
	t.Cleanup(func() { w.do(t, "customer", "node", "stop") })
	w.do(t, "customer", "wallet", "airdrop", "1")
	run(t, map[string]any{"at": net.Site, "bin": bin, "home": w.home(t, "customer"), "rpc": net.RPC,
		"image": net.Images + "/gpuai/shell"}, "--test", "test/journey.mjs")
	if t.Failed() {
		for _, name := range []string{"localnet", "provider1", "provider2"} {
			t.Logf("%s:\n%s", name, w.said(name))
		}
	}
}

// walk is the machines of a journey: a home folder each.
type walk struct{ bin, dir string }

func (w *walk) home(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(w.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (w *walk) command(ctx context.Context, t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(ctx, w.bin, args...)
	cmd.Env = append(os.Environ(), "HOME="+w.home(t, name))
	return cmd
}

// do runs a command to its end.
func (w *walk) do(t *testing.T, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if out, err := w.command(ctx, t, name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: gpuai %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// start runs a command for as long as the test, and returns what it prints.
func (w *walk) start(t *testing.T, name string, args ...string) *os.File {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := w.command(ctx, t, name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	log, err := os.Create(filepath.Join(w.dir, name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, log
	if name != "localnet" {
		cmd.Stdout = log
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = out.Close() // the child has it
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was told to end
		_, _ = r.Close(), log.Close()
	})
	return r
}

// said is what a program wrote last.
func (w *walk) said(name string) string {
	b, err := os.ReadFile(filepath.Join(w.dir, name+".log"))
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(b[max(0, len(b)-4000):]))
}
