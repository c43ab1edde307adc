package provider

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/tunnel"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/streams"
)

type serveFunc func(ctx context.Context, c *streams.FrameConn) error

// Open admits a tunnel of the lease's own customer. Refusals: unknown-lease, malformed, paused, policy, needs-direct.
func (w *window) Open(ctx context.Context, from market.NodeID,
	o streams.TunnelOpen) (func(context.Context, *streams.FrameConn) error, error) {
	if err := w.started(ctx); err != nil {
		return nil, err
	}
	l, err := w.desk.own(from, o.Lease)
	if err != nil {
		return nil, err
	}
	switch o.Kind {
	case streams.TunnelExec:
		return openExec(l, o.Args)
	case streams.TunnelLogs:
		var a tunnel.LogsArgs
		if err := json.Unmarshal(o.Args, &a); err != nil {
			return nil, market.Refuse(market.CodeMalformed, market.KindInvalid, "logs arguments")
		}
		return func(ctx context.Context, c *streams.FrameConn) error { return sendLogs(ctx, l, a, c) }, nil
	case streams.TunnelPut:
		var a tunnel.PutArgs
		if err := json.Unmarshal(o.Args, &a); err != nil {
			return nil, market.Refuse(market.CodeMalformed, market.KindInvalid, "put arguments")
		}
		if a.Total > l.order.InputBytes {
			return nil, market.Refuse(market.CodeTooLarge, market.KindInvalid,
				fmt.Sprintf("the order names %d input bytes", l.order.InputBytes))
		}
		if o.Relayed && a.Total > p2p.RelayFiles {
			return nil, tooLargeForRelay("inputs")
		}
		return func(ctx context.Context, c *streams.FrameConn) error { return l.inputs.take(ctx, c) }, nil
	case streams.TunnelGet:
		return func(ctx context.Context, c *streams.FrameConn) error { return outputs{l}.send(ctx, c) }, nil
	}
	return nil, market.Refuse(market.CodeMalformed, market.KindInvalid, "unknown tunnel kind")
}
