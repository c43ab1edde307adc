package main

import (
	"context"
	"log/slog"

	"github.com/gpuai/gpuai/node"
	"github.com/gpuai/gpuai/node/config"
)

// runNode runs a node until ctx ends or it is shut down.
func runNode(ctx context.Context, cfg config.Config, log *slog.Logger) error {
	n, err := node.New(ctx, cfg, log)
	if err != nil {
		return err
	}
	return n.Serve(ctx, nil)
}
