//go:build integration

package docker

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/runtimetest"
)

// failure is how a preparation that can never succeed ended: within 20 s, with somebody's own words and nothing of the
// rig in them.
func (f *fixture) failure(t *testing.T, p job.Plan) job.Observed {
	t.Helper()
	start := time.Now()
	o := f.until(t, job.Want{Phase: job.WantRunning, Plan: p, InputsReady: true},
		is(job.FailedState, job.Running, job.Exited))
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	if o.State == job.Running || o.Detail == "" || strings.Contains(o.Detail, "overlay2") ||
		strings.Contains(o.Detail, "/var/") {
		t.Errorf("got %+v", o)
	}
	return o
}

func TestNever_Workdir_EndsWithWords(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	for _, dir := range []string{"/etc/passwd", "/etc/passwd/x", "/bin/testjob", "/" + strings.Repeat("x", 300)} {
		p := f.plan("echo=x")
		p.Spec.Workdir = dir
		if o := f.failure(t, p); o.Code != market.CodeStartCommand {
			t.Errorf("workdir %s: %+v", dir, o)
		}
		remove(t, f.e, f.k)
		f.k = newKey(t)
	}
}

func TestNever_Image_EndsWithWords(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	for name, c := range map[string]struct {
		cfg  runtimetest.ImageConfig
		code market.Code
	}{
		"volume is a file": {runtimetest.ImageConfig{Volumes: []string{"/etc/passwd"}}, market.CodeImageRefused},
		"volume is root":   {runtimetest.ImageConfig{Volumes: []string{"/"}}, market.CodeImageRefused},
		"workdir":          {runtimetest.ImageConfig{WorkingDir: "/etc/passwd"}, market.CodeStartCommand},
		"unknown user":     {runtimetest.ImageConfig{User: "nobody-here"}, market.CodeStartCommand},
		"unknown group":    {runtimetest.ImageConfig{User: "root:nobody-here"}, market.CodeStartCommand},
		"both unknown":     {runtimetest.ImageConfig{User: "nobody-here:nobody-here"}, market.CodeStartCommand},
		"user too large":   {runtimetest.ImageConfig{User: "4294967296"}, market.CodeStartCommand},
		"entry is folder":  {runtimetest.ImageConfig{Entrypoint: []string{"/etc"}}, market.CodeStartCommand},
		"entry is missing": {runtimetest.ImageConfig{Entrypoint: []string{"/nope"}}, market.CodeStartCommand},
		"entry is empty": {runtimetest.ImageConfig{Entrypoint: []string{""}, Cmd: []string{""}},
			market.CodeStartCommand},
		"env is too long": {runtimetest.ImageConfig{Env: []string{"A=" + strings.Repeat("x", 200_000)}},
			market.CodeStartCommand},
	} {
		t.Run(name, func(t *testing.T) {
			f.k = newKey(t)
			defer remove(t, f.e, f.k)
			p := f.plan()
			p.Image = runtimetest.PushTestJob(t, f.reg, runtimetest.BuildTestJob(t), "test/"+f.peer()+"-never",
				c.cfg)
			if o := f.failure(t, p); o.Code != c.code {
				t.Errorf("got %+v, want %s", o, c.code)
			}
		})
	}
}

func TestNever_Layer_IsRefused(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	var cut bytes.Buffer
	z := gzip.NewWriter(&cut)
	if _, err := z.Write(bytes.Repeat([]byte("no tar at all "), 100)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, blob := range map[string][]byte{
		"zstd":      {0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x58, 0x41, 0x00, 0x00, 0x61, 0x0a, 0x00, 0x00, 0x00},
		"no tar":    cut.Bytes(),
		"truncated": cut.Bytes()[:cut.Len()/2],
		"garbage":   bytes.Repeat([]byte{7}, 2000),
	} {
		t.Run(name, func(t *testing.T) {
			img, err := f.reg.PushLayer("test/"+f.peer()+"-layer", blob, []byte("other"),
				runtimetest.ImageConfig{Entrypoint: []string{"/x"}})
			if err != nil {
				t.Fatal(err)
			}
			p := f.plan()
			p.Image = img
			f.k = newKey(t)
			defer remove(t, f.e, f.k)
			if o := f.failure(t, p); o.Code != market.CodeImageRefused {
				t.Errorf("got %+v", o)
			}
		})
	}
}

func TestNever_Digest_IsRefused(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	layer := []byte(rand.Text()) // no engine has it already: what it has, it does not fetch again
	p := f.plan()
	var err error
	if p.Image, err = f.reg.PushLayer("test/"+f.peer()+"-digest", layer, layer,
		runtimetest.ImageConfig{Entrypoint: []string{"/x"}}); err != nil {
		t.Fatal(err)
	}
	f.reg.SetFaults(runtimetest.Faults{Corrupt: true})
	if o := f.failure(t, p); o.Code != market.CodeImageRefused {
		t.Errorf("got %+v", o)
	}
}

func TestRegistry_Refuses_EndsWithItsWords(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	f.e.jobs.images.rest = 50 * time.Millisecond
	for status, code := range map[int]market.Code{
		http.StatusUnauthorized: market.CodeImageNotFound, http.StatusForbidden: market.CodeImageNotFound,
		http.StatusInternalServerError: market.CodeRegistryUnreachable,
		http.StatusTooManyRequests:     market.CodeRegistryUnreachable,
	} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			f.k = newKey(t)
			defer remove(t, f.e, f.k)
			f.reg.SetFaults(runtimetest.Faults{Status: status})
			if o := f.failure(t, f.plan()); o.Code != code {
				t.Errorf("got %+v, want %s", o, code)
			}
			if n := f.reg.ManifestGets(); n > 4*maxTries {
				t.Errorf("%d questions", n)
			}
		})
	}
}

// TestRegistry_AsksToWait_IsLeftAlone: nothing is asked before the registry's time is over, and then the pull goes on.
func TestRegistry_AsksToWait_IsLeftAlone(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	f.reg.SetFaults(runtimetest.Faults{Status: http.StatusTooManyRequests, RetryAfter: "4"})
	w := job.Want{Phase: job.WantRunning, Plan: f.plan("forever")}
	f.until(t, w, func(o job.Observed) bool { return o.Detail != "" })
	asked, since := f.reg.ManifestGets(), time.Now()
	for time.Since(since) < 3*time.Second {
		if o := f.until(t, w, is(job.Pulling, job.FailedState)); o.State != job.Pulling {
			t.Fatalf("got %+v", o)
		}
		if n := f.reg.ManifestGets(); n != asked {
			t.Fatalf("asked %d times within its 4 s", n-asked)
		}
	}
	f.reg.SetFaults(runtimetest.Faults{})
	f.until(t, w, is(job.Running))
}

func TestRegistry_AsksForLong_EndsAtOnce(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	f.reg.SetFaults(runtimetest.Faults{Status: http.StatusTooManyRequests, RetryAfter: "3600"})
	start := time.Now()
	if o := f.failure(t, f.plan()); o.Code != market.CodeRegistryUnreachable || time.Since(start) > 10*time.Second {
		t.Errorf("got %+v after %v", o, time.Since(start))
	}
}
