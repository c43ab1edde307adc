//go:build integration

package docker

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/runtimetest"
)

// gathered is a log as one reader got it; every record must begin where the one before ended.
type gathered struct {
	out  [4]bytes.Buffer
	gaps uint64
	next uint64
	end  job.LogEnd
}

func (g *gathered) take(t *testing.T, r job.LogRecord) {
	if r.Offset != g.next {
		t.Errorf("a record at %d, want %d", r.Offset, g.next)
	}
	g.next = r.Next()
	g.gaps += r.Gap
	g.out[r.Stream].Write(r.Data)
}

func (f *fixture) gather(t *testing.T, follow bool) *gathered {
	t.Helper()
	g := &gathered{}
	var err error
	if g.end, err = f.e.Logs(t.Context(), f.k, 0, follow,
		func(r job.LogRecord) error { g.take(t, r); return nil }); err != nil {
		t.Error(err)
	}
	return g
}

func numbers(n int) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintln(&b, i)
	}
	return b.String()
}

func static(t *testing.T, n int64) string {
	t.Helper()
	b, err := io.ReadAll(io.LimitReader(rand.NewChaCha8([32]byte{}), n))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// same compares what may be large.
func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	t.Errorf("%s: %d bytes, sum %x, want %d; differs at %d: %q", what, len(got), sha256.Sum256([]byte(got)), len(want),
		i, got[i:min(i+40, len(got))])
}

// TestLogs_EveryByte_WhateverItIs: each kind of output arrives whole, byte by byte, for a reader that follows and for
// one that comes later.
func TestLogs_EveryByte_WhateverItIs(t *testing.T) {
	for name, c := range map[string]struct {
		steps    []string
		out, err string
	}{
		"a long line, then a short one": {[]string{"x=100000", "echo=END"}, strings.Repeat("x", 100_000) + "END\n", ""},
		"both streams at once":          {[]string{"both=20000"}, numbers(20_000), numbers(20_000)},
		"a million lines":               {[]string{"seq=1000000"}, numbers(1_000_000), ""},
		"an end without a line feed":    {[]string{"echo=a", "text=b"}, "a\nb", ""},
		"binary":                        {[]string{"noise=3000000"}, static(t, 3_000_000), ""},
		"nothing":                       {nil, "", ""},
		"carriage returns":              {[]string{"text=10%\r20%\r", "text=30%"}, "10%\r20%\r30%", ""},
		"through the first process":     {[]string{"pid1=cron"}, "cron\n", ""},
		"failed":                        {[]string{"echo=a", "err=b", "exit=3"}, "a\n", "b\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, runtimetest.ImageConfig{})
			w := job.Want{Phase: job.WantRunning, Plan: f.plan(c.steps...)}
			f.until(t, w, is(job.Running))
			for _, follow := range []bool{true, false} {
				g := f.gather(t, follow)
				same(t, "stdout", g.out[1].String(), c.out)
				same(t, "stderr", g.out[2].String(), c.err)
				if want := (job.LogEnd{Total: uint64(len(c.out) + len(c.err)), Over: true,
					Whole: true}); g.end != want || g.gaps != 0 {
					t.Errorf("the end is %+v, %d are missing; want %+v", g.end, g.gaps, want)
				}
			}
		})
	}
}

// TestLogs_FirstProcess_KeepsBytes: a job that is its own first process has no init that numbers its output; its bytes
// come as they are.
func TestLogs_FirstProcess_KeepsBytes(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	p := f.plan("echo=a", "noise=300000", "echo=", "err=b")
	p.Spec.Init = "exec"
	f.until(t, job.Want{Phase: job.WantRunning, Plan: p}, is(job.Running))
	g := f.gather(t, true)
	same(t, "stdout", g.out[1].String(), "a\n"+static(t, 300_000)+"\n")
	same(t, "stderr", g.out[2].String(), "b\n")
	if !g.end.Over || !g.end.Whole || g.end.Total != g.next {
		t.Errorf("the end is %+v at %d", g.end, g.next)
	}
	var rest string
	if _, err := f.e.Logs(t.Context(), f.k, g.next-1, true,
		func(r job.LogRecord) error { rest += string(r.Data); return nil }); err != nil || len(rest) != 1 {
		t.Errorf("the last byte is %q, %v", rest, err)
	}
}

// TestLogs_Rotation_NamesWhatIsGone: a reader that keeps up gets all, over every rotation; one that comes later gets a
// mark and the rest.
func TestLogs_Rotation_NamesWhatIsGone(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	f.e.jobs.tools.logSize = "256k"
	w := job.Want{Phase: job.WantRunning, Plan: f.plan("seq=600000", "text=END")}
	f.until(t, w, is(job.Running))
	want := numbers(600_000) + "END"
	for _, follow := range []bool{true, false} {
		g := f.gather(t, follow)
		got := g.out[1].String()
		if !g.end.Whole || g.end.Total != uint64(len(want)) || g.gaps+uint64(len(got)) != g.end.Total ||
			!strings.HasSuffix(want, got[len(got)-1000:]) {
			t.Errorf("follow %v: %d bytes, %d missing, %+v", follow, len(got), g.gaps, g.end)
		}
		if !follow && (g.gaps == 0 || !strings.HasSuffix(want, got)) {
			t.Errorf("%d are missing of a log that was rotated away", g.gaps)
		}
	}
}

// TestLogs_Killed_KeepsTheLastBytes: what was written before the kill is there, and so is the end; a process that is
// left behind ends with the command.
func TestLogs_Killed_KeepsTheLastBytes(t *testing.T) {
	for name, freeze := range map[string]bool{"running": false, "frozen": true} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, runtimetest.ImageConfig{})
			w := job.Want{Phase: job.WantRunning, Plan: f.plan("deaf", "both=20000", "text=last", "forever")}
			f.until(t, w, is(job.Running))
			for end := time.Now().Add(20 * time.Second); !strings.Contains(f.logs(t),
				"last"); time.Sleep(20 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("the job does not write")
				}
			}
			if freeze {
				w.Phase = job.WantPaused
				f.until(t, w, is(job.PausedState))
			}
			w.Phase = job.WantGone
			if o := f.until(t, w, is(job.Exited)); o.Exit != 137 {
				t.Errorf("exit %d", o.Exit)
			}
			g := f.gather(t, true)
			same(t, "stdout", g.out[1].String(), "ready\n"+numbers(20_000)+"last")
			if !g.end.Whole || g.gaps != 0 {
				t.Errorf("the end is %+v, %d are missing", g.end, g.gaps)
			}
		})
	}
	f := newFixture(t, runtimetest.ImageConfig{})
	f.until(t, job.Want{Phase: job.WantRunning, Plan: f.plan("leave=left", "exit=4")}, is(job.Running))
	g := f.gather(t, true)
	if got := g.out[1].String(); !strings.HasPrefix(got, "left\n") || !g.end.Whole {
		t.Errorf("%q, %+v", got, g.end)
	}
}

// TestLogs_InitKilled_SaysThatTheEndIsMissing: without an end frame nobody may take the log for whole.
func TestLogs_InitKilled_SaysThatTheEndIsMissing(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	o := f.until(t, job.Want{Phase: job.WantRunning, Plan: f.plan("echo=a", "forever")}, is(job.Running))
	for !strings.Contains(f.logs(t), "a") {
		time.Sleep(20 * time.Millisecond) // bounded by the test's time
	}
	if err := f.e.jobs.api.ContainerKill(t.Context(), o.ContainerID, "KILL"); err != nil {
		t.Fatal(err)
	}
	if g := f.gather(t, true); g.out[1].String() != "a\n" || g.end != (job.LogEnd{Total: 2, Over: true}) {
		t.Errorf("%q, %+v", g.out[1].String(), g.end)
	}
}

// TestLogs_SlowReader_HoldsNobodyUp: the job ends at its own pace, and the reader still gets everything.
func TestLogs_SlowReader_HoldsNobodyUp(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	w := job.Want{Phase: job.WantRunning, Plan: f.plan("seq=400000")}
	f.until(t, w, is(job.Running))
	g := &gathered{}
	ended := false
	end, err := f.e.Logs(t.Context(), f.k, 0, true, func(r job.LogRecord) error {
		if !ended { // the first record waits until the job is over
			f.until(t, w, is(job.Exited))
			ended = true
		}
		g.take(t, r)
		return nil
	})
	same(t, "stdout", g.out[1].String(), numbers(400_000))
	if err != nil || !end.Whole || g.gaps != 0 {
		t.Errorf("%+v, %d missing, %v", end, g.gaps, err)
	}
}

// TestLogs_Foreign_NeverBreaksTheReader writes lines of its own into the engine's pipe, as a root process of the job
// could.
func TestLogs_Foreign_NeverBreaksTheReader(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	steps := []string{"echo=a"}
	for i := range 12 {
		steps = append(steps, fmt.Sprintf("pidfd=%d:junk", i+3))
	}
	f.until(t, job.Want{Phase: job.WantRunning, Plan: f.plan(append(steps, "echo=z")...)}, is(job.Running))
	g := f.gather(t, true)
	if got := g.out[1].String(); !strings.Contains(got, "a\n") || !strings.Contains(got, "junk\n") ||
		!strings.HasSuffix(got, "z\n") || !g.end.Whole {
		t.Errorf("%q, %+v", got, g.end)
	}
}
