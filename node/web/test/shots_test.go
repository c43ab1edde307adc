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
