package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/market"
)

// unitText is the service that gpuai node install writes.
//
//go:embed gpuai.service
var unitText string

// Where a node of a whole machine lives; gpuai.service says the same.
const (
	serviceBin    = "/usr/local/bin/gpuai"
	serviceFolder = "/etc/gpuai"
	serviceConfig = serviceFolder + "/config.toml"
	serviceState  = "/var/lib/gpuai"
	serviceUser   = "gpuai"
)

const firstConfig = `# Settings of this machine's node. All of them, with their defaults: gpuai config example
[node]
roles = ["customer"]
`

// installer makes a node a service, or undoes that. Its steps are said before they are done; dry ones are only said.
type installer struct {
	a       *App
	root    string // of all paths, "" but in tests
	dry     bool
	docker  bool
	run     func(name string, args ...string) error
	present func(name string, args ...string) bool // a question: its exit code
}

func newInstaller(a *App) *installer {
	return &installer{
		a: a,
		run: func(name string, args ...string) error {
			out, err := exec.Command(name, args...).CombinedOutput()
			if err != nil {
				return &market.Error{
					Code: market.CodeInstallFailed, Kind: market.KindConflict, Op: "install", Err: err,
					Detail: name + " " + strings.Join(args, " ") + ": " + strings.TrimSpace(string(out)),
					Hint:   "mend what it names, then run this again: it goes on",
				}
			}
			return nil
		},
		present: func(name string, args ...string) bool { return exec.Command(name, args...).Run() == nil },
	}
}

func newNodeInstall(a *App) *cobra.Command {
	in := newInstaller(a)
	cmd := &cobra.Command{
		Use: "install", Short: "Make the node a service of this machine (systemd, root): unit, user, group and folders",
		Args:    exact(0, "no arguments"),
		Example: "  gpuai node install --dry-run\n  sudo gpuai node install",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := in.may(); err != nil {
				return err
			}
			if err := in.install(); err != nil {
				return err
			}
			in.nextSteps()
			return nil
		},
	}
	cmd.Flags().BoolVar(&in.dry, "dry-run", false, "say what would be done, do nothing")
	cmd.Flags().BoolVar(&in.docker, "docker", false,
		"to sell: put user gpuai into group docker, which equals root on this machine")
	return cmd
}

func newNodeUninstall(a *App) *cobra.Command {
	in := newInstaller(a)
	cmd := &cobra.Command{
		Use: "uninstall", Short: "Undo install; keys, money and settings stay", Args: exact(0, "no arguments"),
		Example: "  sudo gpuai node uninstall",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := in.may(); err != nil {
				return err
			}
			if !in.dry {
				err := a.confirm("stop the service and remove it? jobs run on as long as they are paid for")
				if err != nil {
					return err
				}
			}
			return in.uninstall()
		},
	}
	cmd.Flags().BoolVar(&in.dry, "dry-run", false, "say what would be done, do nothing")
	return cmd
}

// may refuses a machine without systemd, and who is not root. What is only said may be said to anybody. Errors:
// needs-systemd, not-allowed.
func (in *installer) may() error {
	if in.dry {
		return nil
	}
	if _, err := os.Stat(in.root + "/run/systemd/system"); err != nil {
		return &market.Error{
			Code: market.CodeNeedsSystemd, Kind: market.KindConflict, Op: "install",
			Detail: "systemd does not run this machine, and a service of another kind is not made",
			Hint: "let what starts your services run: " + serviceBin + " node --config " + serviceConfig +
				" --socket " + installed.socket + " --set node.data_dir=" + serviceState + " --set api.group=" +
				serviceUser,
		}
	}
	if in.root == "" && os.Geteuid() != 0 {
		return &market.Error{Code: market.CodeNotAllowed, Kind: market.KindDenied, Op: "install",
			Detail: "only root can add a user and a service", Hint: "put sudo before this command"}
	}
	return nil
}

// step says what is done, and does it unless this is a dry run.
func (in *installer) step(say string, do func() error) error {
	if _, err := fmt.Fprintln(in.a.out, say); err != nil || in.dry {
		return err
	}
	return do()
}

func (in *installer) command(name string, args ...string) error {
	return in.step(name+" "+strings.Join(args, " "), func() error { return in.run(name, args...) })
}

// install makes what is missing, in an order in which each step finds what it needs; done again it changes nothing but
// program and unit.
func (in *installer) install() error {
	var errs []error
	add := func(err error) bool { errs = append(errs, err); return err == nil }
	ok := in.present("getent", "group", serviceUser) || add(in.command("groupadd", "--system", serviceUser))
	ok = ok && (in.present("getent", "passwd", serviceUser) ||
		add(in.command("useradd", "--system", "--gid", serviceUser, "--home-dir", serviceState, "--no-create-home",
			"--shell", "/usr/sbin/nologin", serviceUser)))
	if ok && in.docker {
		ok = add(in.command("usermod", "--append", "--groups", "docker", serviceUser))
	}
	ok = ok && add(in.program())
	ok = ok && add(in.step("make "+serviceFolder+" (0750, of gpuai)",
		func() error { return os.MkdirAll(in.root+serviceFolder, 0o750) }))
	if _, err := os.Stat(in.root + serviceConfig); ok && errors.Is(err, fs.ErrNotExist) {
		ok = add(in.step("write "+serviceConfig+" (0640)",
			func() error { return os.WriteFile(in.root+serviceConfig, []byte(firstConfig), 0o640) }))
	}
	ok = ok && add(in.command("chown", "--recursive", serviceUser+":"+serviceUser, serviceFolder))
	ok = ok && add(in.step("write "+installed.unit,
		func() error { return os.WriteFile(in.root+installed.unit, []byte(unitText), 0o644) }))
	if ok {
		add(in.command("systemctl", "daemon-reload"))
	}
	return errors.Join(errs...)
}

// program copies this program to where the service finds it; a running one is replaced, not written over.
func (in *installer) program() error {
	self, err := os.Executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err != nil {
		return fmt.Errorf("find own program: %w", err)
	}
	if self == serviceBin {
		return nil
	}
	return in.step("copy "+self+" to "+serviceBin, func() error {
		from, err := os.Open(self)
		if err != nil {
			return err
		}
		defer from.Close()
		if err := os.MkdirAll(filepath.Dir(in.root+serviceBin), 0o755); err != nil {
			return err
		}
		to, err := os.OpenFile(in.root+serviceBin+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
		if err != nil {
			return err
		}
		_, err = io.Copy(to, from)
		if err = errors.Join(err, to.Sync(), to.Close()); err != nil {
			return err
		}
		return os.Rename(in.root+serviceBin+".new", in.root+serviceBin)
	})
}

func (in *installer) nextSteps() {
	in.a.say("next:")
	in.a.say("  sudo gpuai config set node.network=localnet        # devnet is not open yet")
	in.a.say("  sudo gpuai provider setup                          # only to sell; then also: sudo gpuai node " +
		"install --docker")
	in.a.say("  sudo systemctl enable --now gpuai                  # now, and at each boot")
	in.a.say("  sudo usermod -aG gpuai USER                        # who may use it without sudo, and spend its " +
		"money; log in again")
	in.a.say("  gpuai status")
}

// uninstall ends the service and removes what starts it.
func (in *installer) uninstall() error {
	if _, err := os.Stat(in.root + installed.unit); err != nil && !in.dry {
		return &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "uninstall",
			Detail: "there is no " + installed.unit, Hint: "gpuai node stop ends a node that is no service"}
	}
	err := in.command("systemctl", "disable", "--now", "gpuai")
	if err == nil {
		err = in.step("remove "+installed.unit, func() error { return os.Remove(in.root + installed.unit) })
	}
	if err == nil {
		err = in.command("systemctl", "daemon-reload")
	}
	if err == nil {
		in.a.say("these stay: %s (keys: the money of its wallet), %s, %s, user and group %s", serviceState,
			serviceFolder, serviceBin, serviceUser)
	}
	return err
}
