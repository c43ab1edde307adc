package docker

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// distro is what a Linux says about itself, and how its Docker was installed.
type distro struct {
	id, codename string   // "debian", "bookworm"; of the base, where it is a derivative
	like         []string // id first
	// version of the package runc, "" if there is none: then runc came with containerd.io, or by hand
	ours   string
	newest string // the newest that its package lists know of
	theirs bool   // the package containerd.io is there: Docker's own repository
}

// parseRelease reads /etc/os-release.
func parseRelease(text string) distro {
	kv := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			kv[k] = strings.Trim(v, `"'`)
		}
	}
	d := distro{id: kv["ID"], codename: kv["VERSION_CODENAME"],
		like: append([]string{kv["ID"]}, strings.Fields(kv["ID_LIKE"])...)}
	switch {
	case d.id == "ubuntu" || d.id == "debian":
	case kv["UBUNTU_CODENAME"] != "":
		d.id, d.codename = "ubuntu", kv["UBUNTU_CODENAME"]
	case kv["DEBIAN_CODENAME"] != "":
		d.id, d.codename = "debian", kv["DEBIAN_CODENAME"]
	}
	return d
}

// packageTime bounds one question to a package manager.
const packageTime = 3 * time.Second

// thisDistro asks the system.
func thisDistro() distro {
	b, _ := os.ReadFile("/etc/os-release") // without one it is none that we know
	d := parseRelease(string(b))
	d.ours, d.theirs = installed("runc"), installed("containerd.io") != ""
	if d.ours != "" {
		d.newest = candidate(asked("apt-cache", "policy", "runc"))
	}
	return d
}

func asked(name string, args ...string) string {
	ctx, cancel := context.WithTimeout(context.Background(), packageTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	b, _ := cmd.Output() // a system without it says nothing
	return string(b)
}

// candidate reads apt-cache policy.
func candidate(text string) string {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "Candidate: "); ok {
			return v
		}
	}
	return ""
}

// runcFix says what mends an old runc here, a command or an advice a line. Debian's releases keep their old runc, so on
// them only Docker's own packages help; Ubuntu's and Docker's are upgraded where they are.
func runcFix(d distro) string {
	switch {
	case d.theirs:
		return "sudo apt-get update && sudo apt-get install --only-upgrade containerd.io docker-ce docker-ce-cli"
	case d.ours != "" && runcFixed(d.newest):
		return "sudo apt-get update && sudo apt-get install --only-upgrade runc"
	case d.ours != "" && d.id == "ubuntu":
		return "sudo apt-get update && sudo apt-get install --only-upgrade runc\nif it stays old, Docker's own " +
			"packages, which replace docker.io and keep /var/lib/docker:\n" + dockerRepository(d)
	case d.ours != "" && d.id == "debian":
		return "this Debian has no newer runc; Docker's own packages have, which replace docker.io and keep " +
			"/var/lib/docker:\n" + dockerRepository(d)
	case slices.ContainsFunc(d.like, func(s string) bool { return s == "fedora" || s == "rhel" || s == "centos" }):
		return "sudo dnf upgrade containerd.io docker-ce runc"
	}
	return "install runc 1.2.8, 1.3.3, 1.4.0 or newer; Docker's own containerd.io brings it"
}

// dockerRepository is how Docker's documentation installs its packages.
func dockerRepository(d distro) string {
	url := "https://download.docker.com/linux/" + d.id
	return strings.Join([]string{
		"sudo apt-get install ca-certificates curl && sudo install -m 0755 -d /etc/apt/keyrings",
		"sudo curl -fsSL " + url + "/gpg -o /etc/apt/keyrings/docker.asc",
		`sudo sh -c 'echo "deb [arch=amd64 signed-by=/etc/apt/keyrings/docker.asc] ` + url + " " + d.codename +
			` stable" >/etc/apt/sources.list.d/docker.list'`,
		"sudo apt-get update && sudo apt-get install docker-ce docker-ce-cli containerd.io",
	}, "\n")
}
