package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/sandbox/guard"
)

const guardTimeout = 15 * time.Second

// guards makes and watches the network guards of leases, and the one network that they are in.
type guards struct {
	*containers
	rig       func() []netip.Prefix // addresses and routes that no job reaches
	resolvers []string              // where a plan names none
	needed    atomic.Bool           // the network, in this life
}

// ensure returns the lease's running guard that said ready. A guard that ended is never started again: the job
// without it has no network, and a new one could differ.
func (gs *guards) ensure(ctx context.Context, k job.Key, p job.Plan, word string, prep *prepared,
	f facts) (*container.InspectResponse, error) {
	name := gs.name(k, "guard")
	g, err := gs.inspect(ctx, name)
	if err != nil {
		return nil, engineError("look at guard", err)
	}
	if g == nil {
		if g, err = gs.make(ctx, name, leaseLabels(k), guard.NetworkConfig{
			Egress: word, Resolvers: gs.servers(p.Resolvers), Rig: gs.rig(), UplinkMbit: p.UplinkMbit,
		}, prep, f); err != nil {
			return nil, err
		}
	}
	if g.Config.Labels[labelLease] != k.Lease.String() {
		return nil, guardLost("another container has its name")
	}
	if g.State.Status == "created" {
		if err := gs.start(ctx, g.ID); err != nil {
			return nil, engineError("start guard", err)
		}
	}
	if err := gs.ready(ctx, g.ID); err != nil {
		return nil, err
	}
	if g, err = gs.inspect(ctx, g.ID); err != nil {
		return nil, engineError("look at guard", err)
	}
	if g == nil || !g.State.Running {
		return nil, guardLost("it ended")
	}
	return g, nil
}

func guardLost(detail string) error {
	return &market.Error{Code: market.CodeGuardLost, Kind: market.KindUnavailable, Op: "guard network",
		Detail: cut(detail),
		Hint:   "gpuai doctor"}
}

func (gs *guards) make(ctx context.Context, name string, labels map[string]string, cfg guard.NetworkConfig,
	prep *prepared, f facts) (*container.InspectResponse, error) {
	netName, err := gs.network(ctx)
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
	return gs.create(ctx, name, &container.Config{
		Image: prep.tools, Cmd: []string{"guard", string(arg)}, Hostname: "job", Labels: labels, User: "0:0",
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
	}, h)
}

// ready reads the guard's log until it says ready.
func (gs *guards) ready(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, guardTimeout)
	defer cancel()
	errReady := errors.New("ready")
	var buf, words bytes.Buffer
	err := gs.readLogs(ctx, id, container.LogsOptions{ShowStdout: true, ShowStderr: true, Follow: true},
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

// alive reports whether the guard of a job that has one is the one that it started with.
func (gs *guards) alive(ctx context.Context, h handle) (bool, error) {
	if h.GuardID == "" {
		return true, nil
	}
	g, err := gs.inspect(ctx, h.GuardID)
	if err != nil {
		return false, engineError("look at guard", err)
	}
	return g != nil && g.State.Running && g.State.StartedAt == h.GuardStarted, nil
}

// stop ends the guard's process; the container stays for Remove.
func (gs *guards) stop(ctx context.Context, k job.Key) error {
	g, err := gs.inspect(ctx, gs.name(k, "guard"))
	if err != nil || g == nil || !g.State.Running || g.Config.Labels[labelLease] != k.Lease.String() {
		return err
	}
	return gs.kill(ctx, g.ID, "KILL")
}

// network makes the node's one bridge: icc off, a /22 that no route of the rig covers.
func (gs *guards) network(ctx context.Context) (string, error) {
	name := gs.names.network()
	gs.needed.Store(true)
	ctx, cancel := whole(ctx, askTimeout)
	defer cancel()
	_, err := gs.api.NetworkInspect(ctx, name, network.InspectOptions{})
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
			_, err := gs.api.NetworkCreate(ctx, name, network.CreateOptions{
				Driver: "bridge", Labels: map[string]string{"gpuai.peer": string(gs.names)},
				IPAM:    &network.IPAM{Config: []network.IPAMConfig{{Subnet: p.String()}}},
				Options: map[string]string{"com.docker.network.bridge.enable_icc": "false"},
			})
			if err == nil {
				return name, nil
			}
			if _, ierr := gs.api.NetworkInspect(ctx, name, network.InspectOptions{}); ierr == nil {
				return name, nil
			}
			if last = err; !saysOverlap(err) {
				return "", engineError("create network", err)
			}
		}
	}
	return "", engineError("create network", errors.Join(errors.New("no free address range"), last))
}

// leave removes the network if no container needs it: its range is one of few.
func (gs *guards) leave(ctx context.Context) {
	if !gs.needed.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	if found, err := gs.list(ctx); err == nil && len(found) == 0 {
		_ = gs.api.NetworkRemove(ctx, gs.names.network()) // one in use is refused, one that stays is used again
	}
}

// servers are the resolvers of a plan, or the node's.
func (gs *guards) servers(words []string) (out []netip.Addr) {
	if len(words) == 0 {
		words = gs.resolvers
	}
	for _, w := range words {
		if a, err := netip.ParseAddr(w); err == nil && a.Is4() {
			out = append(out, a)
		}
	}
	return out
}

func overlaps(p netip.Prefix, taken []netip.Prefix) bool {
	for _, t := range taken {
		if t.Overlaps(p) {
			return true
		}
	}
	return false
}
