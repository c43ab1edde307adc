package orders

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/runtime/spec"
)

// Shelf is api.Files.
type Shelf struct {
	Role func() (*customer.Customer, error)
}

var _ api.Files = Shelf{}

// PutInputs implements api.Files: the archive is rewritten as a safe one while it flows, and counts once it is whole
// on disk.
func (s Shelf) PutInputs(ctx context.Context, ref string, r io.Reader) error {
	c, err := s.Role()
	if err != nil {
		return err
	}
	id, err := market.ParseOrderID(ref)
	if err != nil {
		return &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "take inputs",
			Detail: "this is no order id", Err: err, Hint: "use the id of the created order"}
	}
	req, waits, err := c.Waits(ctx, id)
	if err != nil || !waits {
		return err // placed already: a repeat
	}
	left, err := spool(c.Spool.Inputs(id), r, req.InputBytes)
	if err != nil {
		return err
	}
	return c.Supplied(ctx, id, left)
}

// spool writes inputs as a safe archive, whole or not at all. left has no entries, only what it leaves out.
func spool(path string, r io.Reader, limit uint64) (left spec.Manifest, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return left, fmt.Errorf("make spool: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".inputs-*")
	if err != nil {
		return left, fmt.Errorf("spool inputs: %w", err)
	}
	m, err := spec.Filter(r, f, spec.Limits{Total: limit}, nil)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return left, fmt.Errorf("spool inputs: %w", errors.Join(spec.Full(err, "free some space, then send them again"),
			os.Remove(f.Name())))
	}
	return spec.Manifest{Skipped: m.Skipped, More: m.More}, nil
}

// GetOutputs implements api.Files: all that is to leave the node, or all that there is. Error: not-found while there
// are none.
func (s Shelf) GetOutputs(ctx context.Context, id string, all bool, w io.Writer) error {
	c, err := s.Role()
	if err != nil {
		return err
	}
	v, err := c.Order(id)
	if err != nil {
		return err
	}
	f, err := os.Open(c.Spool.Outputs(v.ID))
	if errors.Is(err, os.ErrNotExist) {
		return &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "read outputs",
			Detail: "the order has no outputs, or not yet", Hint: "gpuai show " + v.ID.String()}
	}
	if err != nil {
		return fmt.Errorf("read outputs: %w", err)
	}
	defer f.Close()
	if all || len(v.Files.Stay) == 0 {
		_, err = io.Copy(w, f)
	} else { // no bound: the archive is ours
		_, err = spec.Filter(f, w, spec.Limits{Total: math.MaxInt64}, v.Comes)
	}
	if err != nil {
		return err
	}
	return c.Spool.Fetched(context.WithoutCancel(ctx), v.ID)
}

// Spool implements api.Files.
func (s Shelf) Spool(context.Context) (api.Spool, error) {
	c, err := s.Role()
	if err != nil {
		return api.Spool{}, err
	}
	list, err := c.Spool.List()
	if err != nil {
		return api.Spool{}, err
	}
	limit, keep := c.Spool.Limits()
	out := api.Spool{Schema: "gpuai.spool/v1", MaxBytes: limit, KeepMS: keep.Milliseconds(),
		Entries: []api.SpoolEntry{}}
	for _, e := range list {
		out.Bytes += e.Inputs + e.Outputs + e.Other
		out.Entries = append(out.Entries, api.SpoolEntry{
			Order: e.Order.String(), Name: e.Name, Standing: e.Standing, Inputs: e.Inputs, Outputs: e.Outputs,
			Other: e.Other, FetchedAt: timeOf(e.Fetched),
		})
	}
	return out, nil
}

// PruneSpool implements api.Files.
func (s Shelf) PruneSpool(ctx context.Context, p api.SpoolPrune) (api.Spool, error) {
	c, err := s.Role()
	if err != nil {
		return api.Spool{}, err
	}
	freed, err := c.Spool.Prune(ctx, p.Orders, p.Unfetched)
	if err != nil {
		return api.Spool{}, err
	}
	out, err := s.Spool(ctx)
	out.Freed = freed
	return out, err
}
