//go:build web

package test

import (
	"os"
	"strings"
	"testing"
)

// TestShots takes pictures of the pages that GPUAI_SHOTS names ("all": every one) into node/web/shots.
func TestShots(t *testing.T) {
	want := os.Getenv("GPUAI_SHOTS")
	if want == "" {
		t.Skip("make web-shots")
	}
	built(t)
	args := []string{"test/shots.mjs"}
	if want != "all" {
		args = append(args, strings.Split(want, ",")...)
	}
	run(t, marketOf(t), args...)
}

// TestVitals measures how soon pages are there and answer, on a processor four times as slow: figures of
// docs/benchmarks.md.
func TestVitals(t *testing.T) {
	if os.Getenv("GPUAI_VITALS") == "" {
		t.Skip("GPUAI_VITALS=1 measures")
	}
	built(t)
	run(t, marketOf(t), "test/vitals.mjs")
}
