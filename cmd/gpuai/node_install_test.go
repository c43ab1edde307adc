package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/market"
)

// bench is an installer of a machine below a folder; its commands are noted and not run.
func bench(t *testing.T, systemd bool) (in *installer, out *bytes.Buffer, did *[]string) {
	t.Helper()
	root := t.TempDir()
	dirs := []string{"/etc/systemd/system", "/run"}
	if systemd {
		dirs = append(dirs, "/run/systemd/system")
	}
	for _, d := range dirs {
		if err := os.MkdirAll(root+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	out, did = &bytes.Buffer{}, &[]string{}
	in = newInstaller(&App{out: out, err: out, yes: true})
	in.root = root
	in.run = func(name string, args ...string) error {
		*did = append(*did, name+" "+strings.Join(args, " "))
		return nil
	}
	in.present = func(string, ...string) bool { return false }
	return in, out, did
}

// TestInstall_WritesWhatTheServiceNeeds: user and group, program, settings, unit; a second time it makes no user and
// keeps the settings.
func TestInstall_WritesWhatTheServiceNeeds(t *testing.T) {
	t.Parallel()
	in, out, did := bench(t, true)
	if err := in.may(); err != nil {
		t.Fatal(err)
	}
	if err := in.install(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := []string{
		"groupadd --system gpuai",
		"useradd --system --gid gpuai --home-dir /var/lib/gpuai --no-create-home --shell /usr/sbin/nologin gpuai",
		"chown --recursive gpuai:gpuai /etc/gpuai", "systemctl daemon-reload",
	}
	if got := strings.Join(*did, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("did\n%s", got)
	}
	for path, mode := range map[string]os.FileMode{serviceBin: 0o755, serviceConfig: 0o640, installed.unit: 0o644} {
		if info, err := os.Stat(in.root + path); err != nil || info.Mode().Perm()&^mode != 0 || info.Size() == 0 {
			t.Errorf("%s: %v %v", path, info, err)
		}
	}
	config := in.root + serviceConfig
	if err := os.WriteFile(config, []byte("[node]\nnetwork = \"localnet\"\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	*did, in.docker = nil, true
	in.present = func(string, ...string) bool { return true }
	if err := in.install(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(*did, "\n"); strings.Contains(got, "useradd") ||
		!strings.Contains(got, "usermod --append --groups docker gpuai") {
		t.Errorf("did\n%s", got)
	}
	if b, err := os.ReadFile(config); err != nil || !strings.Contains(string(b), "localnet") {
		t.Errorf("settings are lost: %s %v", b, err)
	}
	*did = nil
	if err := in.uninstall(); err != nil || (*did)[0] != "systemctl disable --now gpuai" {
		t.Errorf("%v %v", *did, err)
	}
	if _, err := os.Stat(in.root + installed.unit); err == nil {
		t.Error("the unit is still there")
	}
	if _, err := os.Stat(config); err != nil || !strings.Contains(out.String(), "these stay: /var/lib/gpuai") {
		t.Errorf("%v %s", err, out)
	}
	if err := in.uninstall(); market.CodeOf(err) != market.CodeNotFound {
		t.Error(err)
	}
}

// TestInstall_WithoutSystemd_RefusesAndSaysWhatElse; a dry run only says what it would do, to anybody, anywhere.
func TestInstall_WithoutSystemd_RefusesAndSaysWhatElse(t *testing.T) {
	t.Parallel()
	in, out, did := bench(t, false)
	if err := in.may(); market.CodeOf(err) != market.CodeNeedsSystemd {
		t.Error(err)
	}
	in.dry = true
	if err := in.may(); err != nil {
		t.Error(err)
	}
	if err := in.install(); err != nil || len(*did) > 0 {
		t.Errorf("%v %v", *did, err)
	}
	for _, say := range []string{"useradd --system", "write /etc/gpuai/config.toml",
		"write /etc/systemd/system/gpuai.service", "systemctl daemon-reload"} {
		if !strings.Contains(out.String(), say) {
			t.Errorf("it does not say %q:\n%s", say, out)
		}
	}
	if _, err := os.Stat(in.root + installed.unit); err == nil {
		t.Error("a dry run wrote the unit")
	}
}

// TestInstall_StepFails_SaysWhich: the words of the command that failed, and nothing after it is done.
func TestInstall_StepFails_SaysWhich(t *testing.T) {
	t.Parallel()
	in, _, _ := bench(t, true)
	real := newInstaller(in.a)
	in.run = func(string, ...string) error { return real.run("sh", "-c", "echo no room >&2; exit 3") }
	err := in.install()
	if market.CodeOf(err) != market.CodeInstallFailed || !strings.Contains(err.Error(), "no room") {
		t.Error(err)
	}
	if _, err := os.Stat(in.root + installed.unit); err == nil {
		t.Error("it went on")
	}
}

// TestUnit_SaysWhatTheProgramDoes: folders and socket of the unit are those that commands look for, and systemd
// understands it where it is.
func TestUnit_SaysWhatTheProgramDoes(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"ExecStart=" + serviceBin + " node --config " + serviceConfig + " --socket " + installed.socket +
			" --set node.data_dir=" + serviceState + " --set api.group=" + serviceUser,
		"User=" + serviceUser, "Group=" + serviceUser, "StateDirectory=" + filepath.Base(serviceState),
		"RuntimeDirectory=" + filepath.Base(filepath.Dir(installed.socket)),
		"RuntimeDirectoryMode=0750", "StateDirectoryMode=0700", "ReadWritePaths=" + serviceFolder,
		"WantedBy=multi-user.target",
	} {
		if !strings.Contains(unitText, "\n"+line+"\n") {
			t.Errorf("the unit lacks %s", line)
		}
	}
	exe, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not here")
	}
	unit := filepath.Join(t.TempDir(), "gpuai.service")
	// it looks whether the program is there
	text := strings.Replace(unitText, "ExecStart="+serviceBin, "ExecStart=/bin/true", 1)
	if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if b, err := exec.Command(exe, "verify", unit).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze verify: %v\n%s", err, b)
	}
}
