package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/config"
)

// systemNode is where the node of a whole machine is: its socket, and the unit that starts it. The zero value is none.
type systemNode struct{ socket, unit string }

// installed is what gpuai node install makes.
var installed = systemNode{socket: "/run/gpuai/api.sock", unit: "/etc/systemd/system/gpuai.service"}

// knockWait bounds how long a socket's listener may take to accept.
const knockWait = time.Second

// knock reports why nothing answers at a socket, nil if something does.
func knock(socket string) error {
	c, err := net.DialTimeout("unix", socket, knockWait)
	if err != nil {
		return err
	}
	return c.Close()
}

// named reports whether the user chose a setting: not its default, and not the file of the machine's own node.
func named(c config.Loaded, key string) bool {
	from := c.Origin[key]
	return from == "flag" || from == "env" || from == "file" && c.Path != serviceConfig
}

// socketOf is where this call's node answers: at the socket that a flag, the environment or the file names, else the
// own node's, else the system's. An own node is none beside a system's one, unless its folder was named. Errors:
// not-allowed, node-unreachable of a system's node.
func (a *App) socketOf(c config.Loaded) (string, error) {
	own, system := c.API.Socket, a.system.socket
	if system == "" || own == system || named(c, "api.socket") || named(c, "node.data_dir") || knock(own) == nil {
		return own, nil
	}
	err := knock(system)
	_, unit := os.Stat(a.system.unit)
	switch {
	case err == nil:
		a.sayWhich(c)
		return system, nil
	case errors.Is(err, fs.ErrPermission):
		return "", &market.Error{
			Code: market.CodeNotAllowed, Kind: market.KindDenied, Op: "reach node", Err: err,
			Detail: "a node of this machine runs, and only members of group gpuai reach it at " + system,
			Hint: "sudo usermod -aG gpuai $USER, then log in again; or sudo before this command; or a node of " +
				"your own: --set node.data_dir=FOLDER",
		}
	case unit == nil:
		return "", &market.Error{
			Code: market.CodeNodeUnreachable, Kind: market.KindUnavailable, Op: "reach node", Err: err,
			Detail: "the node of this machine, a service, does not answer at " + system,
			Hint:   "sudo systemctl start gpuai",
		}
	}
	return own, nil
}

// sayWhich tells once that the system's node is asked.
func (a *App) sayWhich(c config.Loaded) {
	if a.which {
		return
	}
	a.which = true
	if _, err := os.Stat(filepath.Join(c.Node.DataDir, "keys")); err == nil {
		a.say("node   the machine's, at %s; your own does not run (gpuai node start --set node.data_dir=%s)",
			a.system.socket, c.Node.DataDir)
		return
	}
	a.say("node   the machine's, at %s", a.system.socket)
}

// restartLine is how the node that this call asked is started anew.
func (a *App) restartLine() string {
	if a.which {
		return "sudo systemctl restart gpuai"
	}
	return "gpuai node stop, then gpuai node start"
}

// client reaches a node that runs already.
func (a *App) client() (*api.Client, error) {
	c, err := a.load()
	if err != nil {
		return nil, err
	}
	if a.api != "" {
		return a.byAddress(c)
	}
	socket, err := a.socketOf(c)
	return api.Dial(socket), err
}

// byAddress is the client of --api. Errors: bad-usage, file-error.
func (a *App) byAddress(c config.Loaded) (*api.Client, error) {
	u, err := url.Parse(a.api)
	if err == nil {
		var at netip.AddrPort
		at, err = netip.ParseAddrPort(strings.Replace(u.Host, "localhost:", "127.0.0.1:", 1))
		if err == nil && (u.Scheme != "http" || strings.Trim(u.Path, "/") != "" || !at.Addr().IsLoopback()) {
			err = errors.New("not this machine's")
		}
	}
	if err != nil {
		return nil, usage("--api "+a.api+" is no address of this machine",
			"write --api http://127.0.0.1:PORT; the token would travel in the clear")
	}
	token, err := os.ReadFile(c.API.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("read api.token_file: %w", err)
	}
	return api.DialTCP(u.Host, strings.TrimSpace(string(token))), nil
}

// running reaches a node, and starts one in the background if none answers.
func (a *App) running(ctx context.Context) (*api.Client, error) {
	c, err := a.client()
	if err != nil || a.api != "" { // an address has an owner who starts its node
		return c, err
	}
	s, err := c.Status(ctx)
	if market.CodeOf(err) != market.CodeNodeUnreachable {
		a.network = s.Network
		return c, err
	}
	started, err := a.start(ctx)
	if err != nil {
		return nil, err
	}
	if started {
		a.say("node   started in the background (stop it: gpuai node stop)")
		if s, err := c.Status(ctx); err == nil && s.Notice != "" {
			a.say("note   %s", clean(s.Notice))
		}
	}
	return c, nil
}

// reached is running for commands about orders that are there already. A socket that was named has an owner who starts
// its node.
func (a *App) reached(ctx context.Context) (*api.Client, error) {
	if a.socket != "" {
		return a.client()
	}
	return a.running(ctx)
}

// hinted names the next step of somebody whose network is not open: starting a node would only say so.
func (a *App) hinted(err error) error {
	if market.CodeOf(err) != market.CodeNodeUnreachable || a.socket+a.api != "" {
		return err
	}
	c, e := a.load()
	if e != nil || c.Origin["api.socket"] != "default" {
		return err
	}
	if shut := c.Open(); shut != nil {
		return shut
	}
	return err
}

// mayRun refuses a node on a network that nobody can trade on, and a second one beside the machine's unless its folder
// was named.
func (a *App) mayRun(c config.Loaded) error {
	if a.system.socket != "" && c.API.Socket != a.system.socket && !named(c, "api.socket") &&
		!named(c, "node.data_dir") {
		if _, unit := os.Stat(a.system.unit); unit == nil || knock(a.system.socket) == nil {
			return &market.Error{
				Code: market.CodeNodeRunning, Kind: market.KindConflict, Op: "start node",
				Detail: "this machine has a node, a service at " + a.system.socket,
				Hint:   "use it: gpuai status; a node of your own beside it needs --set node.data_dir=FOLDER",
			}
		}
	}
	return c.Open()
}
