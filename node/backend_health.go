package node

import (
	"context"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/health"
	"github.com/gpuai/gpuai/node/rest"
)

// doctorInput is what this node's doctor looks at: a node that only buys needs neither engine nor GPU.
func (b *Backend) doctorInput() health.Input {
	in := health.Input{Config: b.n.site.Config, Net: &health.Net{Peers: b.n.host.Peers(), Addrs: b.n.host.Addrs()},
		Only: []string{"rig", "net", "chain"}}
	each(b.n, func(g patient) { g.Examine(&in) })
	return in
}

// Health implements api.Backend: what the hourly look found last.
func (b *Backend) Health(context.Context) (api.Doctor, error) {
	r := b.watch.Last()
	d := api.DoctorOf("gpuai.health/v1", r)
	if !r.At.IsZero() {
		at := rest.At(r.At)
		d.CheckedAt = &at
	}
	return d, nil
}

// Doctor implements api.Backend. Error: bad-usage for a group that does not exist.
func (b *Backend) Doctor(ctx context.Context, r api.DoctorRequest) (api.Doctor, error) {
	for _, g := range r.Only {
		if !health.Group(g) {
			return api.Doctor{}, &market.Error{Code: market.CodeBadUsage, Kind: market.KindInvalid, Op: "run doctor",
				Detail: "there is no such group of checks", Hint: "gpuai doctor --list"}
		}
	}
	in := b.doctorInput()
	in.Only, in.Offline = r.Only, r.Offline
	return api.DoctorOf("gpuai.doctor/v1", health.Report{Findings: health.Check(ctx, in)}), nil
}
