package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/sandbox/guard"
)

const guardTimeout = 15 * time.Second

// ensureGuard returns the lease's running guard that said ready. A guard that ended is never started again: the job
// without it has no network, and a new one could differ.
func (e *Engine) ensureGuard(ctx context.Context, k job.Key, p job.Plan, word string, prep *prepared,
	f facts) (*container.InspectResponse, error) {
	name := e.name(k, "guard")
	g, err := e.inspect(ctx, name)
	if err != nil {
		return nil, engineError("look at guard", err)
	}
	if g == nil {
		labels := map[string]string{labelLease: k.Lease.String(), labelAttempt: strconv.Itoa(k.Attempt)}
		if g, err = e.createGuard(ctx, name, labels, guard.NetworkConfig{
			Egress: word, Resolvers: e.resolvers(p.Resolvers), Rig: e.rig(), UplinkMbit: p.UplinkMbit,
		}, prep, f); err != nil {
			return nil, err
		}
	}
	if g.Config.Labels[labelLease] != k.Lease.String() {
		return nil, guardLost("another container has its name")
	}
	if g.State.Status == "created" {
		sctx, cancel := context.WithTimeout(ctx, startTimeout)
		err := e.api.ContainerStart(sctx, g.ID, container.StartOptions{})
		cancel()
		if err != nil {
			return nil, engineError("start guard", err)
		}
	}
	if err := e.guardReady(ctx, g.ID); err != nil {
		return nil, err
	}
	if g, err = e.inspect(ctx, g.ID); err != nil {
		return nil, engineError("look at guard", err)
	}
	if g == nil || !g.State.Running {
		return nil, guardLost("it ended")
	}
	return g, nil
}

func guardLost(detail string) error {
	return &market.Error{Code: "guard-lost", Kind: market.KindUnavailable, Op: "guard network", Detail: cut(detail),
		Hint: "gpuai doctor"}
}

func (e *Engine) createGuard(ctx context.Context, name string, labels map[string]string, cfg guard.NetworkConfig,
	prep *prepared, f facts) (*container.InspectResponse, error) {
	netName, err := e.ensureNetwork(ctx)
	if err != nil {
		return nil, err
	}
	arg, err := json.Marshal(cfg)
	if err != nil {
		return nil, fmt.Errorf("encode guard: %w", err)
	}
	h := baseHost(64<<20, f)
	pids := int64(64)
	h.CapAdd = []string{"NET_ADMIN"}
	h.Resources.PidsLimit = &pids
	h.OomScoreAdj = 0
	// The root file system stays writable: read-only, the engine mounts the shared resolv.conf read-only too.
	h.NetworkMode = container.NetworkMode(netName)
	if h.Sysctls = loopback6(f); h.Sysctls != nil {
		h.Sysctls["net.ipv6.conf.default.disable_ipv6"] = "1" // the packet filter drops IPv6 too
	}
	h.LogConfig = logs("1m", "2")
	return e.createContainer(ctx, name, &container.Config{
		Image: prep.tools, Cmd: []string{"guard", string(arg)}, Hostname: "job", Labels: labels, User: "0:0",
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
	}, h)
}

// guardReady reads the guard's log until it says ready.
func (e *Engine) guardReady(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, guardTimeout)
	defer cancel()
	errReady := errors.New("ready")
	var buf, words bytes.Buffer
	err := e.readLogs(ctx, id, container.LogsOptions{ShowStdout: true, ShowStderr: true, Follow: true},
		func(stream byte, b []byte) error {
			if stream != 1 {
				words.Write(b)
				return nil
			}
			buf.Write(b)
			for {
				line, err := buf.ReadBytes('\n')
				if err != nil {
					buf.Write(line)
					return nil
				}
				var l guard.NetworkLine
				if json.Unmarshal(line, &l) == nil && l.Ready {
					return errReady
				} else if l.Error != "" {
					return guardLost(l.Error)
				}
			}
		})
	var me *market.Error
	switch {
	case errors.Is(err, errReady):
		return nil
	case errors.As(err, &me):
		return err
	case err == nil:
		return guardLost("it ended: " + words.String())
	case errors.Is(err, context.DeadlineExceeded):
		return guardLost("not ready in " + guardTimeout.String())
	}
	return engineError("read guard", err)
}

// checkGuard ends a job whose guard is gone.
func (e *Engine) checkGuard(ctx context.Context, k job.Key, r row, c *container.InspectResponse,
	o job.Observed) (job.Observed, error) {
	if r.Handle.GuardID == "" {
		return o, nil
	}
	g, err := e.inspect(ctx, r.Handle.GuardID)
	if err != nil {
		return silent(r), engineError("look at guard", err)
	}
	if g != nil && g.State.Running && g.State.StartedAt == r.Handle.GuardStarted {
		return o, nil
	}
	r.EndCode = "guard-lost"
	return e.endJob(ctx, k, r, c, o)
}

// endJob kills a job for the cause in its row, which is saved first.
func (e *Engine) endJob(ctx context.Context, k job.Key, r row, c *container.InspectResponse,
	o job.Observed) (job.Observed, error) {
	if err := e.save(ctx, k, r); err != nil {
		return o, fmt.Errorf("save job row: %w", err)
	}
	if err := e.killJob(ctx, c); err != nil {
		return o, engineError("kill job", err)
	}
	return e.look(ctx, k, r)
}

// stopGuard ends the guard's process; the container stays for Remove.
func (e *Engine) stopGuard(ctx context.Context, k job.Key) error {
	g, err := e.inspect(ctx, e.name(k, "guard"))
	if err != nil || g == nil || !g.State.Running || g.Config.Labels[labelLease] != k.Lease.String() {
		return err
	}
	return e.kill(ctx, g.ID, "KILL")
}

// ensureNetwork makes the node's one bridge: icc off, a /22 that no route of the rig covers.
func (e *Engine) ensureNetwork(ctx context.Context) (string, error) {
	name := e.networkName()
	e.network.Store(true)
	ctx, cancel := whole(ctx, askTimeout)
	defer cancel()
	_, err := e.api.NetworkInspect(ctx, name, network.InspectOptions{})
	if err == nil {
		return name, nil
	}
	if !notFound(err) {
		return "", engineError("look at network", err)
	}
	taken := rigPrefixes()
	var last error
	for second := 213; second <= 222; second++ {
		for third := 0; third < 256; third += 64 { // four tries each are plenty
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(second), byte(third), 0}), 22)
			if overlaps(p, taken) {
				continue
			}
			_, err := e.api.NetworkCreate(ctx, name, network.CreateOptions{
				Driver: "bridge", Labels: map[string]string{"gpuai.peer": e.cfg.Peer8},
				IPAM:    &network.IPAM{Config: []network.IPAMConfig{{Subnet: p.String()}}},
				Options: map[string]string{"com.docker.network.bridge.enable_icc": "false"},
			})
			if err == nil {
				return name, nil
			}
			if _, ierr := e.api.NetworkInspect(ctx, name, network.InspectOptions{}); ierr == nil {
				return name, nil
			}
			if last = err; !saysOverlap(err) {
				return "", engineError("create network", err)
			}
		}
	}
	return "", engineError("create network", errors.Join(errors.New("no free address range"), last))
}

func overlaps(p netip.Prefix, taken []netip.Prefix) bool {
	for _, t := range taken {
		if t.Overlaps(p) {
			return true
		}
	}
	return false
}

// rigPrefixes are the IPv4 addresses of the rig and every route but the default one.
func rigPrefixes() (out []netip.Prefix) {
	addrs, err := net.InterfaceAddrs()
	if err == nil {
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap().Is4() {
					out = append(out, netip.PrefixFrom(ip.Unmap(), 32))
				}
			}
		}
	}
	raw, _ := os.ReadFile("/proc/net/route") // linux only; elsewhere there are no guards
	for line := range strings.Lines(string(raw)) {
		if p, ok := parseRoute(line); ok {
			out = append(out, p)
		}
	}
	return out
}

// parseRoute reads a line of /proc/net/route: addresses are little-endian hex.
func parseRoute(line string) (netip.Prefix, bool) {
	f := strings.Fields(line)
	if len(f) < 8 {
		return netip.Prefix{}, false
	}
	dst, err1 := strconv.ParseUint(f[1], 16, 32)
	mask, err2 := strconv.ParseUint(f[7], 16, 32)
	if err1 != nil || err2 != nil || mask == 0 {
		return netip.Prefix{}, false
	}
	bits := 0
	for m := mask; m != 0; m &= m - 1 {
		bits++
	}
	a := netip.AddrFrom4([4]byte{byte(dst), byte(dst >> 8), byte(dst >> 16), byte(dst >> 24)})
	return netip.PrefixFrom(a, bits), true
}
