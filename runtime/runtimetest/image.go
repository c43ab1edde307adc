package runtimetest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/runtime/spec"
)

// TestJob is the path of the test program in its image; its arguments are steps, see runtime/runtimetest/testjob.
const TestJob = "/bin/testjob"

// testJob builds once per test binary.
var testJob = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "testjob")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "testjob")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", out,
		"github.com/gpuai/gpuai/runtime/runtimetest/testjob")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if b, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, b)
	}
	return os.ReadFile(out)
})

// BuildTestJob builds the static test program.
func BuildTestJob(t testing.TB) []byte {
	t.Helper()
	b, err := testJob()
	if err != nil {
		t.Fatalf("build testjob: %v", err)
	}
	return b
}

// StartRegistry starts a registry for the test.
func StartRegistry(t testing.TB) *Registry {
	t.Helper()
	r, err := NewRegistry()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// PushTestJob serves an image that holds the test program only.
func PushTestJob(t testing.TB, r *Registry, bin []byte, name string, cfg ImageConfig) spec.ImageRef {
	t.Helper()
	if cfg.Entrypoint == nil {
		cfg.Entrypoint = []string{TestJob}
	}
	ref, err := r.Push(name,
		map[string][]byte{TestJob[1:]: bin, "tmp/": nil,
			"etc/passwd": []byte("root:x:0:0::/:/\nuser:x:1000:1000::/:/\n")}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// NeedDocker returns the address of an engine that answers: DOCKER_HOST, or the one that .ci/dockerd started. Without
// one it skips, except under CI or with GPUAI_NEED=docker, where it fails.
func NeedDocker(t testing.TB) string {
	t.Helper()
	host := os.Getenv("DOCKER_HOST")
	if host == "" {
		dir := os.Getenv("GPUAI_DOCKERD_DIR")
		if dir == "" {
			dir = "/var/tmp/gpuai-dockerd"
		}
		host = "unix://" + dir + "/docker.sock"
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if b, err := exec.CommandContext(ctx, "docker", "--host", host, "version").CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" || strings.Contains(os.Getenv("GPUAI_NEED"), "docker") {
			t.Fatalf("no engine at %s (run .ci/dockerd start): %v\n%s", host, err, b)
		}
		t.Skipf("no engine at %s: run .ci/dockerd start", host)
	}
	return host
}
