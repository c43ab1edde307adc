package docker

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/docker/docker/api/types/container"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/sandbox/guard"
)

const (
	probeMemory = 256 << 20
	probePids   = 4096
)

// prober finds out what this engine is worth.
type prober struct {
	*containers
	*doctor
	tools  *tools
	guards *guards
	disk   *disk
	turn   slots // the containers have fixed names
}

// Probe runs the probe under the job's profile and returns what the sandbox really is. Weak empty: as strong as the
// profile says. It runs behind a guard, from where the rig must be out of reach; where no guard comes up, Egress is
// false and only egress none can be offered.
// Errors: *market.Error sandbox-missing, engine-error.
func (pb *prober) Probe(ctx context.Context) (guard.ProbeReport, error) {
	free, err := pb.turn.take(ctx)
	if err != nil {
		return guard.ProbeReport{}, err
	}
	defer free()
	p, err := pb.tools.prepare(ctx)
	if err != nil {
		return guard.ProbeReport{}, err
	}
	cfg, network := guard.ProbeConfig{Memory: probeMemory, Pids: probePids}, "none"
	name := pb.prefix() + "probeguard"
	_ = pb.sweep(ctx, name) // left by a crash; a failure shows in create
	g, gerr := pb.probeGuard(ctx, name, p)
	if gerr == nil {
		network, cfg.Unreachable = "container:"+g.ID, pb.unreachable(g)
	}
	rep, err := pb.tools.probe(ctx, p, "probe", cfg, network)
	if rerr := pb.sweep(ctx, name); rerr != nil {
		err = errors.Join(err, engineError("remove guard", rerr))
	}
	if err != nil {
		return guard.ProbeReport{}, err
	}
	if rep.Egress = gerr == nil; gerr != nil {
		rep.EgressDetail = cut(gerr.Error())
	}
	return rep, nil
}

func (pb *prober) probeGuard(ctx context.Context, name string, p *prepared) (*container.InspectResponse, error) {
	f, err := pb.tools.facts(ctx, nil, p)
	if err != nil {
		return nil, err
	}
	g, err := pb.guards.make(ctx, name, map[string]string{"gpuai.probe": "1"}, guard.NetworkConfig{
		Egress: "web", Resolvers: pb.guards.servers(nil), Rig: pb.guards.rig(), UplinkMbit: 20,
	}, p, f)
	if err != nil {
		return nil, err
	}
	if err := pb.start(ctx, g.ID); err != nil {
		return nil, engineError("start guard", err)
	}
	if err := pb.guards.ready(ctx, g.ID); err != nil {
		return nil, err
	}
	if g, err = pb.inspect(ctx, g.ID); err != nil || g == nil {
		return nil, engineError("look at guard", errors.Join(err, errGone))
	}
	return g, nil
}

var errGone = errors.New("the container is gone")

// unreachable lists what a job must not reach: the rig's addresses, its gateways, the bridge's, the cloud's metadata,
// the engine's resolver.
func (pb *prober) unreachable(g *container.InspectResponse) (out []string) {
	add := func(host string, ports ...string) {
		for _, p := range ports {
			out = append(out, net.JoinHostPort(host, p))
		}
	}
	for _, p := range pb.guards.rig() {
		if p.Bits() == 32 && !p.Addr().IsLoopback() && len(out) < 16 {
			add(p.Addr().String(), "22", "80")
		}
	}
	if g.NetworkSettings != nil {
		for _, n := range g.NetworkSettings.Networks {
			if n.Gateway != "" {
				add(n.Gateway, "22", "80")
			}
		}
	}
	add("169.254.169.254", "80")
	add("127.0.0.11", "53")
	return out
}

// Sellable says whether this engine may take leases, by the facts of Doctor and a probe. Errors: *market.Error
// engine-unsupported, runc-old, disk-full, sandbox-weak, sandbox-missing, engine-error.
func (pb *prober) Sellable(ctx context.Context) (guard.ProbeReport, error) {
	for _, f := range pb.Doctor(ctx) {
		if f.Level == "fail" {
			return guard.ProbeReport{}, &market.Error{Code: f.Code, Kind: market.KindUnavailable, Op: "check engine",
				Detail: f.Name + " " + f.Value, Hint: hintOf(f)}
		}
	}
	if err := pb.disk.check(ctx); err != nil {
		return guard.ProbeReport{}, err
	}
	rep, err := pb.Probe(ctx)
	if err != nil {
		return rep, err
	}
	if len(rep.Weak) > 0 {
		return rep, &market.Error{
			Code: market.CodeSandboxWeak, Kind: market.KindUnavailable, Op: "check sandbox",
			Detail: cut(strings.Join(rep.Weak, "; ")), Hint: "gpuai doctor",
		}
	}
	return rep, nil
}

// hintOf is the fix, or where it stands if it is long.
func hintOf(f Fact) string {
	if strings.Contains(f.Fix, "\n") {
		return "gpuai doctor"
	}
	return f.Fix
}
