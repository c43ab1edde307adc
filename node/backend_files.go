package node

import (
	"context"
	"path"
	"time"

	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/rest"
	"github.com/gpuai/gpuai/runtime/spec"
)

// filesOf is what became of an order's files.
func filesOf(v customer.View) (f api.OrderFiles) {
	for _, o := range v.Request.File.Outputs {
		f.Outputs = append(f.Outputs, api.Output{Path: o.Path, To: o.To})
	}
	f.MissingOutputs, f.OutputsCode, f.OutputsDetail = v.Files.Missing, v.Files.Failure, v.Files.FailureDetail
	for _, side := range []struct {
		direction string
		left      customer.LeftOut
	}{{"input", v.Files.Inputs}, {"output", v.Files.Outputs}} {
		for _, s := range side.left.Skipped {
			f.LeftOut = append(f.LeftOut,
				api.LeftOut{Direction: side.direction, Path: path.Join(spec.Workspace, s.Path), Reason: s.Why})
		}
		f.LeftOutMore += side.left.More
	}
	f.OutputsFetchedAt, f.OutputsDroppedAt = timeOf(v.Files.Fetched), timeOf(v.Files.Dropped)
	return f
}

func timeOf(t time.Time) *rest.Time {
	if t.IsZero() {
		return nil
	}
	at := rest.At(t)
	return &at
}

// Spool implements api.Backend.
func (b *Backend) Spool(context.Context) (api.Spool, error) {
	c, err := b.customer()
	if err != nil {
		return api.Spool{}, err
	}
	list, err := c.Spool()
	if err != nil {
		return api.Spool{}, err
	}
	limit, keep := c.SpoolLimits()
	s := api.Spool{Schema: "gpuai.spool/v1", MaxBytes: limit, KeepMS: keep.Milliseconds(), Entries: []api.SpoolEntry{}}
	for _, e := range list {
		s.Bytes += e.Inputs + e.Outputs + e.Other
		s.Entries = append(s.Entries, api.SpoolEntry{
			Order: e.Order.String(), Name: e.Name, Standing: e.Standing, Inputs: e.Inputs, Outputs: e.Outputs,
			Other: e.Other, FetchedAt: timeOf(e.Fetched),
		})
	}
	return s, nil
}

// PruneSpool implements api.Backend.
func (b *Backend) PruneSpool(ctx context.Context, p api.SpoolPrune) (api.Spool, error) {
	c, err := b.customer()
	if err != nil {
		return api.Spool{}, err
	}
	freed, err := c.Prune(ctx, p.Orders, p.Unfetched)
	if err != nil {
		return api.Spool{}, err
	}
	s, err := b.Spool(ctx)
	s.Freed = freed
	return s, err
}
