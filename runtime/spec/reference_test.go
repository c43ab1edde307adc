package spec

import (
	"strings"
	"testing"

	"github.com/gpuai/gpuai/market"
)

func TestParseReference_Forms(t *testing.T) {
	t.Parallel()
	d := "sha256:" + strings.Repeat("a", 64)
	for s, want := range map[string]Reference{
		"alpine":                    {"docker.io", "library/alpine", "latest", ""},
		"pytorch/pytorch:2.6":       {"docker.io", "pytorch/pytorch", "2.6", ""},
		"localhost/x":               {"localhost", "x", "latest", ""},
		"127.0.0.1:5000/gpuai/s:v1": {"127.0.0.1:5000", "gpuai/s", "v1", ""},
		"ghcr.io/a/b@" + d:          {"ghcr.io", "a/b", "", d},
		"ghcr.io/a/b:t@" + d:        {"ghcr.io", "a/b", "t", d},
	} {
		got, err := ParseReference(s)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "A", "a//b", "a:", "a@sha256:00", "a/../b", "a b", "-a", "ex ample.com/a",
		strings.Repeat("a", 513)} {
		if _, err := ParseReference(s); market.CodeOf(err) != market.CodeSpecImage {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func FuzzParseReference(f *testing.F) {
	f.Add("ghcr.io/a/b:t@sha256:0000000000000000000000000000000000000000000000000000000000000000")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseReference(s)
		if err == nil && (r.Repo == "" || r.Host == "" || strings.Contains(r.Name(), "..")) {
			t.Fatalf("%q reads as %+v", s, r)
		}
	})
}
