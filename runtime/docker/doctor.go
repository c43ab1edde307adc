package docker

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/client"

	"github.com/gpuai/gpuai/market"
)

// Fact is one line of doctor's report. Level: "ok", "warn" or "fail"; Code and Fix, a command or an advice a line, are
// set below ok.
type Fact struct {
	Name, Value, Level string
	Code               market.Code
	Fix                string
}

// doctor reads what an engine says of itself.
type doctor struct {
	api       *client.Client
	allowWeak bool // Config.AllowWeakRuntime
}

// Doctor reports what this engine is and what keeps it from selling. It never fails: an engine that does not answer is
// a fact too.
func (d *doctor) Doctor(ctx context.Context) []Fact {
	ctx, cancel := ask(ctx)
	defer cancel()
	v, err := d.api.ServerVersion(ctx)
	if err != nil {
		return []Fact{{"engine", "does not answer: " + cut(err.Error()), "fail", market.CodeEngineError,
			"start Docker, or set provider.docker"}}
	}
	info, err := d.api.Info(ctx)
	if err != nil {
		return []Fact{{"engine", "does not answer: " + cut(err.Error()), "fail", market.CodeEngineError,
			"start Docker, or set provider.docker"}}
	}
	out := []Fact{engineFact(v.Version, v.APIVersion, info)}
	runc := ""
	for _, c := range v.Components {
		if c.Name == "runc" {
			runc = c.Version
		}
	}
	out = append(out, d.runcFact(runc))
	live := Fact{"live-restore", "on", "ok", "", ""}
	if !info.LiveRestoreEnabled {
		live = Fact{"live-restore", "off: jobs end with the engine", "warn", market.CodeNoLiveRestore,
			`set "live-restore": true in /etc/docker/daemon.json`}
	}
	out = append(out, live, Fact{"storage", info.Driver + " on " + status(info, "Backing Filesystem"), "ok", "", ""},
		Fact{"cgroup", "v" + info.CgroupVersion + ", " + info.CgroupDriver, "ok", "", ""})
	if info.DefaultRuntime == "nvidia" {
		out = append(out, Fact{"default runtime", "nvidia", "warn", market.CodeNvidiaDefaultRuntime,
			"set it to runc: jobs ask for devices by name"})
	}
	return out
}

func engineFact(version, api string, info system.Info) Fact {
	f := Fact{"engine", fmt.Sprintf("Docker %s, API %s, %s", version, api, info.OperatingSystem), "ok", "", ""}
	bad := ""
	switch {
	case !atLeast(api, "1.41"):
		bad = "older than 20.10"
	case hasOption(info, "rootless"):
		bad = "rootless"
	case strings.Contains(info.DockerRootDir, "/snap/"):
		bad = "from snap"
	case strings.Contains(info.OperatingSystem, "Docker Desktop"):
		bad = "Docker Desktop"
	case strings.Contains(strings.ToLower(version+info.ServerVersion), "podman"):
		bad = "Podman"
	case info.OSType != "linux" || info.Architecture != "x86_64":
		bad = info.OSType + "/" + info.Architecture
	}
	if bad != "" {
		f.Value += " (" + bad + ")"
		f.Level, f.Code, f.Fix = "fail", market.CodeEngineUnsupported,
			"install Docker Engine 20.10 or newer for Linux, run by root"
	}
	return f
}

func hasOption(info system.Info, word string) bool {
	for _, o := range info.SecurityOptions {
		if strings.Contains(o, word) {
			return true
		}
	}
	return false
}

func status(info system.Info, key string) string {
	for _, kv := range info.DriverStatus {
		if kv[0] == key {
			return kv[1]
		}
	}
	return "unknown"
}

// runcFact compares with the floors (CVE-2025-31133, -52565, -52881), back-ports included.
func (d *doctor) runcFact(version string) Fact {
	f := Fact{"runc", version, "ok", "", ""}
	if version == "" {
		f.Value = "unknown"
	}
	if runcFixed(version) || packageFixed(installed("runc")) {
		return f
	}
	f.Level, f.Code, f.Fix = "fail", market.CodeRuncOld, runcFix(thisDistro())
	if d.allowWeak {
		f.Level, f.Value = "warn", f.Value+" (below the floor, allowed on this local network)"
	}
	return f
}

// runcFixed knows upstream's fixed versions.
func runcFixed(v string) bool {
	v = strings.TrimPrefix(v, "v")
	switch {
	case strings.HasPrefix(v, "1.2."):
		return atLeast(v, "1.2.8")
	case strings.HasPrefix(v, "1.3."):
		return atLeast(v, "1.3.3")
	case strings.HasPrefix(v, "1.4.0-rc."):
		return atLeast(strings.TrimPrefix(v, "1.4.0-rc."), "3")
	}
	return atLeast(v, "1.4.0")
}

// fixedPackages are distribution packages that carry the fix under an old version, by the distributions' security
// trackers. None is listed without its tracker's word.
var fixedPackages = map[string]string{}

func packageFixed(version string) bool {
	_, ok := fixedPackages[version]
	return ok
}

// installed asks the distribution; empty where there is none.
func installed(pkg string) string {
	b, err := exec.Command("dpkg-query", "-W", "-f=${Version}", pkg).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

var number = regexp.MustCompile(`^\d+`)

// atLeast compares dotted numbers.
func atLeast(have, want string) bool {
	h, w := strings.Split(have, "."), strings.Split(want, ".")
	for i := range w {
		a := 0
		if i < len(h) {
			a, _ = strconv.Atoi(number.FindString(h[i]))
		}
		b, _ := strconv.Atoi(w[i])
		if a != b {
			return a > b
		}
	}
	return true
}
