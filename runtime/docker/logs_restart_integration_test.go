//go:build integration

package docker

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/runtimetest"
)

// TestLogs_EngineRestarts_FollowerGoesOn: one follower from the start to the end, over a restart of the engine; what
// the engine itself lost would be a gap with its place, and a quiet job loses nothing.
func TestLogs_EngineRestarts_FollowerGoesOn(t *testing.T) {
	runtimetest.NeedDocker(t) // a machine that has none cannot start one either
	dir := t.TempDir()
	ci := func(verb string) string {
		cmd := exec.Command("../../.ci/dockerd", verb)
		cmd.Env = append(os.Environ(), "GPUAI_DOCKERD_DIR="+dir)
		var out, words bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &words
		cmd.WaitDelay = time.Second // the daemon keeps the script's output open
		if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
			t.Fatalf("%s: %v\n%s", verb, err, words.String())
		}
		return strings.TrimSpace(out.String())
	}
	host := ci("start")
	defer ci("clean")
	e, err := New(Config{Peer8: peerName(t), Host: host, AllowWeakRuntime: true}, runtimetest.NewMemory(),
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	f := &fixture{e: e, reg: runtimetest.StartRegistry(t), k: newKey(t)}
	f.img = runtimetest.PushTestJob(t, f.reg, runtimetest.BuildTestJob(t), "test/restart-logs",
		runtimetest.ImageConfig{})
	w := job.Want{Phase: job.WantRunning, Plan: f.plan("seq=20000", "hold", "seq=20000", "text=END", "exit=5")}
	f.until(t, w, is(job.Running))
	g := &gathered{}
	restarted := false
	end, err := e.Logs(t.Context(), f.k, 0, true, func(r job.LogRecord) error {
		g.take(t, r)
		if !restarted && strings.HasSuffix(g.out[1].String(), "20000\nready\n") {
			restarted = true
			ci("restart")
			w.Phase, w.Grace = job.WantGone, time.Minute
			f.until(t, w, func(job.Observed) bool { return true })
		}
		return nil
	})
	if err != nil || !restarted || !end.Whole || g.gaps != 0 {
		t.Errorf("restarted %v: %+v, %d missing, %v", restarted, end, g.gaps, err)
	}
	same(t, "stdout", g.out[1].String(), numbers(20_000)+"ready\n"+numbers(20_000)+"END")
	remove(t, e, f.k)
}
