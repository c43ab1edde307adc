package docker

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/sandbox/guard"
	"github.com/gpuai/gpuai/runtime/spec"
)

const (
	probeMemory = 256 << 20
	probePids   = 4096
)

// Probe runs the probe under the job's profile and returns what the sandbox really is. Weak empty: as strong as the
// profile says. It runs behind a guard, from where the rig must be out of reach; where no guard comes up, Egress is
// false and only egress none can be offered.
// Errors: *market.Error sandbox-missing, engine-error.
func (e *Engine) Probe(ctx context.Context) (guard.ProbeReport, error) {
	e.probeMu.Lock() // the containers have fixed names
	defer e.probeMu.Unlock()
	p, err := e.prepare(ctx)
	if err != nil {
		return guard.ProbeReport{}, err
	}
	cfg, network := guard.ProbeConfig{Memory: probeMemory, Pids: probePids}, "none"
	name := e.prefix() + "probeguard"
	// left by a crash; a failure shows in create
	_ = e.api.ContainerRemove(ctx, name, container.RemoveOptions{Force: true})
	g, gerr := e.probeGuard(ctx, name, p)
	if gerr == nil {
		network, cfg.Unreachable = "container:"+g.ID, e.unreachable(g)
	}
	rep, err := e.runProbe(ctx, p, "probe", cfg, network)
	rctx, cancel := whole(ctx, askTimeout)
	defer cancel()
	if rerr := e.api.ContainerRemove(rctx, name, container.RemoveOptions{Force: true}); rerr != nil && !notFound(rerr) {
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

func (e *Engine) probeGuard(ctx context.Context, name string, p *prepared) (*container.InspectResponse, error) {
	f, err := e.facts(ctx, job.Plan{}, p)
	if err != nil {
		return nil, err
	}
	g, err := e.createGuard(ctx, name, map[string]string{"gpuai.probe": "1"}, guard.NetworkConfig{
		Egress: "web", Resolvers: e.resolvers(nil), Rig: e.rig(), UplinkMbit: 20,
	}, p, f)
	if err != nil {
		return nil, err
	}
	if err := e.api.ContainerStart(ctx, g.ID, container.StartOptions{}); err != nil {
		return nil, engineError("start guard", err)
	}
	if err := e.guardReady(ctx, g.ID); err != nil {
		return nil, err
	}
	if g, err = e.inspect(ctx, g.ID); err != nil || g == nil {
		return nil, engineError("look at guard", errors.Join(err, errGone))
	}
	return g, nil
}

var errGone = errors.New("the container is gone")

// unreachable lists what a job must not reach: the rig's addresses, its gateways, the bridge's, the cloud's metadata,
// the engine's resolver.
func (e *Engine) unreachable(g *container.InspectResponse) (out []string) {
	add := func(host string, ports ...string) {
		for _, p := range ports {
			out = append(out, net.JoinHostPort(host, p))
		}
	}
	for _, p := range e.rig() {
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
func (e *Engine) Sellable(ctx context.Context) (guard.ProbeReport, error) {
	for _, f := range e.Doctor(ctx) {
		if f.Level == "fail" {
			return guard.ProbeReport{}, &market.Error{Code: f.Code, Kind: market.KindUnavailable, Op: "check engine",
				Detail: f.Name + " " + f.Value, Hint: hintOf(f)}
		}
	}
	if err := e.checkDisk(ctx); err != nil {
		return guard.ProbeReport{}, err
	}
	rep, err := e.Probe(ctx)
	if err != nil {
		return rep, err
	}
	if len(rep.Weak) > 0 {
		return rep, &market.Error{
			Code: "sandbox-weak", Kind: market.KindUnavailable, Op: "check sandbox",
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

// probeConfig is the job's own profile for the helper's image, so that what is probed is what jobs get.
func (e *Engine) probeConfig(ctx context.Context, p *prepared, arg, network string) (*container.Config,
	*container.HostConfig, error) {
	plan := job.Plan{Spec: spec.Spec{}, CPUMilli: 1000, RAM: probeMemory, Shm: 16 << 20}
	f, err := e.facts(ctx, plan, p)
	if err != nil {
		return nil, nil, err
	}
	img := &image.InspectResponse{ID: p.tools, Config: &dockerspec.DockerOCIImageConfig{}}
	c, h := jobConfig(plan, img, map[string]string{"gpuai.probe": "1"}, network, p.volume, nil, f)
	c.Entrypoint, c.Cmd = helperArgv("probe"), []string{arg}
	return c, h, nil
}
