package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/tunnel"
	"github.com/gpuai/gpuai/p2p/streams"
	"github.com/gpuai/gpuai/p2p/wire"
	"github.com/gpuai/gpuai/runtime/spec"
)

// outputsWithin is how long outputs that the engine does not give are asked for; an engine that is away so long is not
// expected back.
const outputsWithin = time.Hour

// outputs is the hook of what a job leaves: hashed once it is over, named in the Outcome, sent to its customer.
type outputs struct{ l *leaseRun }

// sign hashes the outputs once and signs how the lease ended. While the engine cannot give them nothing is
// signed: the effect is tried again. A root that was signed stays.
func (h outputs) sign(ctx context.Context) error {
	l := h.l
	root := l.actor.Lease().OutputsRoot
	if root == ([32]byte{}) {
		var err error
		if root, err = h.hash(ctx); err != nil {
			return err
		}
	}
	if err := l.tell(ctx, market.OutputsHashed{Root: root}); err != nil {
		return err
	}
	m := l.actor.Lease()
	o := m.Outcome()
	o.OutputsRoot = root
	o = l.public(o)
	raw, err := wire.SealOutcome(l.d.cfg.Key, l.d.cfg.Network, o)
	if err != nil {
		return fmt.Errorf("seal outcome: %w", err)
	}
	if err := l.update(ctx, func(r *leaseRow) { r.Outcome, r.Root = raw, &root }); err != nil {
		return err
	}
	if len(l.spec.Outputs) == 0 {
		if err := l.tell(ctx, market.OutputsServed{}); err != nil {
			return err
		}
	}
	messages{l}.push()
	return nil
}

// public is an Outcome with what everybody may know of the lease: nothing if one side wants that.
func (l *leaseRun) public(o market.Outcome) market.Outcome {
	if l.order.Private || l.d.cfg.Private {
		return o
	}
	with := o
	with.Deal = market.Deal{Class: l.d.rig.ClassOf(l.quote.Devices[0]), Rate: l.quote.Rate,
		Devices: len(l.quote.Devices), Mint: l.quote.Mint, Channel: l.channel, Payer: l.order.Payer,
		Payee: l.quote.Payout, Provider: l.d.cfg.ID, Customer: l.customer, Bind: l.bind}
	if err := with.ValidPublic(); err != nil { // as of a device that is not in the rig any more
		l.d.log.Info("Lease is not made public", "lease", l.id, "error", err)
		return o
	}
	return with
}

// hash is the root of the outputs; zero: there can be none. Error: try again.
func (h outputs) hash(ctx context.Context) ([32]byte, error) {
	l, paths := h.l, h.paths()
	m := l.actor.Lease()
	if len(paths) == 0 || m.Ready.IsZero() {
		return [32]byte{}, nil
	}
	done, err := l.withFiles(ctx)
	if err != nil {
		return [32]byte{}, err
	}
	defer done()
	fs, err := l.d.access.Files(ctx, l.key)
	if err == nil {
		var man spec.Manifest
		if man, err = fs.GetOutputs(ctx, paths, io.Discard); err == nil {
			return man.ID(), nil
		}
	}
	if !lostForGood(err) && l.d.now().Sub(m.Ended) < outputsWithin {
		return [32]byte{}, fmt.Errorf("hash outputs: %w", err)
	}
	l.d.log.Warn("Outputs are lost", "lease", l.id, "error", err)
	return [32]byte{}, nil
}

// lostForGood: what was asked of the engine's files can never succeed. All else may pass with the engine's next start.
func lostForGood(err error) bool {
	switch market.CodeOf(err) {
	case market.CodeNotFound, market.CodeOutputTooBig:
		return true
	}
	return errors.Is(err, spec.ErrArchive)
}

func (h outputs) paths() (paths []string) {
	for _, o := range h.l.spec.Outputs {
		paths = append(paths, o.Path)
	}
	return paths
}

// send sends the outputs as a tar. What can never be sent is output-lost; other failures keep their code, and the
// customer tries again.
func (h outputs) send(ctx context.Context, c *streams.FrameConn) error {
	l := h.l
	done, err := l.withFiles(ctx)
	if err != nil {
		return err
	}
	defer done()
	if s := l.actor.Lease().State; s < market.Closing {
		return c.Write(streams.ChanControl,
			tunnel.Failed(market.Refuse(market.CodeConflict, market.KindConflict, "the job is "+s.String())).Encode())
	}
	fs, err := l.d.access.Files(ctx, l.key)
	var m spec.Manifest
	if err == nil {
		if c.Relayed() { // what does not fit is not even begun: it would come again and again
			_, err = fs.GetOutputs(ctx, h.paths(), &relayBound{})
		}
	}
	if err == nil {
		m, err = fs.GetOutputs(ctx, h.paths(), c.Writer(streams.ChanOut))
	}
	if lostForGood(err) {
		err = market.Refuse(market.CodeOutputLost, market.KindNotFound, public(err))
	}
	if err != nil {
		l.d.log.Warn("Outputs were not sent", "lease", l.id, "error", err)
		return c.Write(streams.ChanControl, tunnel.Failed(err).Encode())
	}
	if err := c.Write(streams.ChanOut, nil); err != nil { // the end of the tar
		return err
	}
	return c.Write(streams.ChanControl, moved(m).Encode())
}
