package main

import (
	"context"
	"errors"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/node"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/config"
)

// runNode runs a node until ctx ends or its API is told to shut it down. settings are those that cfg was loaded with.
func runNode(ctx context.Context, settings config.Options, cfg config.Config, log *slog.Logger) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if err := makeDataDir(cfg.Node.DataDir); err != nil {
		return err
	}
	n, err := node.New(ctx, cfg, log)
	if err != nil {
		return err
	}
	ready := make(chan struct{})
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer stop() // the API ends with the node
		return n.Serve(ctx, ready)
	})
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-n.Waiting():
			if err := serveEarly(ctx, n, settings, cfg, stop, ready, log); err != nil {
				return err
			}
		case <-ready:
		}
		b, err := node.NewBackend(n, settings, stop)
		if err != nil {
			return err
		}
		g.Go(func() error { return b.Serve(ctx) })
		return api.ServeGroup(ctx, cfg.API.Socket, cfg.API.Group, api.New(b.API(), log.With("part", "api")))
	})
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// serveEarly serves the API of a node whose roles wait for their ledger, until they run or ctx ends.
func serveEarly(ctx context.Context, n *node.Node, settings config.Options, cfg config.Config, stop func(),
	ready <-chan struct{}, log *slog.Logger) error {
	b, err := node.NewBackend(n.Early(), settings, stop)
	if err != nil {
		return err
	}
	early, end := context.WithCancel(ctx)
	defer end()
	var g errgroup.Group
	g.Go(func() error {
		defer end()
		select {
		case <-ready:
		case <-early.Done():
		}
		return nil
	})
	g.Go(func() error {
		defer end()
		return api.ServeGroup(early, cfg.API.Socket, cfg.API.Group, api.New(b.API(), log.With("part", "api")))
	})
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return ctx.Err()
}
