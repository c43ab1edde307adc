package spec

import (
	"strings"
	"testing"

	"github.com/gpuai/gpuai/market"
)

// TestImageRule_Boundaries: a rule is a prefix of whole names, whatever the image calls its registry.
func TestImageRule_Boundaries(t *testing.T) {
	t.Parallel()
	digest, other := "sha256:"+strings.Repeat("a", 64), "sha256:"+strings.Repeat("b", 64)
	for _, c := range []struct {
		rule, image string
		want        bool
	}{
		{"python", "python", true},
		{"python", "python:3.12", true},
		{"python", "docker.io/library/python@" + digest, true},
		{"python", "docker.io/python:3", true},
		{"python", "python-evil", false},
		{"python", "me/python", false},
		{"python", "ghcr.io/library/python", false},
		{"docker.io/library", "python", true},
		{"docker.io/lib", "python", false},
		{"docker.io", "pytorch/pytorch:2.6", true},
		{"docker.io", "docker.io.evil.example/x", false},
		{"pytorch/", "pytorch/pytorch:2.6", true},
		{"pytorch/", "pytorch", false},
		{"pytorch", "pytorch/pytorch", false},
		{"pytorch/pytorch", "pytorch/pytorch-evil", false},
		{"evil/x", "index.docker.io/evil/x", true},
		{"evil/x", "registry-1.docker.io/evil/x:1", true},
		{"evil/x", "DOCKER.io/evil/x", true},
		{"evil/x", "docker.io:443/evil/x", true},
		{"evil/x", "docker.io:0443/evil/x", true},
		{"ghcr.io", "ghcr.io/a/b", true},
		{"ghcr.io/a", "ghcr.io/a/b/c", true},
		{"ghcr.io/a/", "ghcr.io/ab", false},
		{"registry.example", "registry.example:8443/x", true},
		{"registry.example:8443/", "registry.example/x", false},
		{"127.0.0.1:5000/", "127.0.0.1:5000/x", true},
		{"127.0.0.1:5000/", "127.0.0.1:50000/x", false},
		{"[::1]:5000/x", "[::1]:05000/x", true},
		{"localhost", "localhost:5000/x", true},
		{"python@" + digest, "python:3.12@" + digest, true},
		{"python@" + digest, "python@" + other, false},
		{"python@" + digest, "python", false},
	} {
		rule, err := ParseImageRule(c.rule)
		if err != nil {
			t.Errorf("%s: %v", c.rule, err)
			continue
		}
		ref, err := ParseReference(c.image)
		if err != nil {
			t.Fatal(err)
		}
		if got := rule.Matches(ref); got != c.want {
			t.Errorf("%s (%s) matches %s: %v", c.rule, rule, c.image, got)
		}
	}
	if (ImageRule{}).Matches(Reference{Host: hubName, Repo: "library/python"}) {
		t.Error("the zero rule matches")
	}
}

// TestImageRule_Refused: what cannot be checked against a digest, or is no name, is no rule.
func TestImageRule_Refused(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", " ", "python:3.12", "ghcr.io/a/b:1", "127.0.0.1:5000", "python@sha256:12",
		"ghcr.io@sha256:" + strings.Repeat("a", 64), "a//b", "Python", "a b", "-.x/y", strings.Repeat("a", 600)} {
		if r, err := ParseImageRule(s); market.CodeOf(err) != market.CodeSpecImage {
			t.Errorf("%q is taken as %s (%v)", s, r, err)
		}
	}
}
