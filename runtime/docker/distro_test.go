package docker

import (
	"strings"
	"testing"
)

// TestRuncFix_ByDistribution: each line that is printed must be one that works there.
func TestRuncFix_ByDistribution(t *testing.T) {
	const bookworm = "ID=debian\nVERSION_CODENAME=bookworm\nVERSION_ID=\"12\"\n"
	const trixie = "ID=debian\nVERSION_CODENAME=trixie\nVERSION_ID=\"13\"\n"
	const jammy = "ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=jammy\nUBUNTU_CODENAME=jammy\n"
	const noble = "ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\nUBUNTU_CODENAME=noble\n"
	const mint = "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_CODENAME=wilma\nUBUNTU_CODENAME=noble\n"
	for name, c := range map[string]struct {
		release      string
		ours, newest string
		theirs       bool
		first        string // of its lines
		has, not     []string
	}{
		"Debian 12, docker.io": {release: bookworm, ours: "1.1.5+ds1-1+deb12u1", newest: "1.1.5+ds1-1+deb12u1",
			first: "this Debian has no newer runc",
			has:   []string{"/linux/debian bookworm stable", "install docker-ce docker-ce-cli containerd.io"},
			not:   []string{"--only-upgrade"}},
		"Debian 13, docker.io": {release: trixie, ours: "1.1.15+ds1-2+b4", newest: "1.1.15+ds1-2+b4",
			first: "this Debian has no newer runc",
			has:   []string{"/linux/debian trixie stable"}, not: []string{"--only-upgrade"}},
		"Debian 12, docker-ce": {release: bookworm, theirs: true, first: "sudo apt-get update && sudo apt-get " +
			"install --only-upgrade containerd.io", not: []string{"download.docker.com", "runc"}},
		"Ubuntu 22.04, docker.io, a new one is there": {release: jammy, ours: "1.1.12-0ubuntu2~22.04.1",
			newest: "1.3.3-0ubuntu1~22.04.2",
			first:  "sudo apt-get update && sudo apt-get install --only-upgrade runc",
			not:    []string{"containerd.io", "\n"}},
		"Ubuntu 24.04, docker.io, old lists": {release: noble, ours: "1.1.12-0ubuntu3", newest: "1.1.12-0ubuntu3",
			first: "sudo apt-get update && sudo apt-get install --only-upgrade runc",
			has:   []string{"/linux/ubuntu noble stable"}},
		"Ubuntu 24.04, docker-ce": {release: noble, theirs: true,
			first: "sudo apt-get update && sudo apt-get install --only-upgrade containerd.io", not: []string{"runc"}},
		"Mint is Ubuntu": {release: mint, ours: "1.1.12", first: "sudo apt-get update",
			has: []string{"/linux/ubuntu noble stable"}},
		"Fedora":        {release: "ID=fedora\n", first: "sudo dnf upgrade"},
		"by hand":       {release: bookworm, first: "install runc 1.2.8"},
		"nothing known": {first: "install runc 1.2.8"},
	} {
		d := parseRelease(c.release)
		d.ours, d.newest, d.theirs = c.ours, c.newest, c.theirs
		fix := runcFix(d)
		if !strings.HasPrefix(fix, c.first) {
			t.Errorf("%s: %s", name, fix)
		}
		for _, w := range c.has {
			if !strings.Contains(fix, w) {
				t.Errorf("%s: no %q in %s", name, w, fix)
			}
		}
		for _, w := range c.not {
			if strings.Contains(fix, w) {
				t.Errorf("%s: %q in %s", name, w, fix)
			}
		}
	}
	lists := "runc:\n  Installed: 1.1.5\n  Candidate: 1.3.3-0ubuntu1\n  Version table:\n"
	if got := candidate(lists); got != "1.3.3-0ubuntu1" {
		t.Errorf("candidate %q", got)
	}
}
