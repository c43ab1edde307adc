package main

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/node"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/node/rest"
)

// runNode runs a node until ctx ends or its API is told to shut it down. settings are those that cfg was loaded with.
func runNode(ctx context.Context, settings config.Options, cfg config.Config, log *slog.Logger) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if err := makeDataDir(cfg.Node.DataDir); err != nil {
		return err
	}
	n, err := node.New(cfg, node.Deps{}, log)
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
		case <-n.Waiting(): // it is asked what it waits for
		case <-ready:
		}
		b, err := node.NewBackend(n, settings, stop)
		if err != nil {
			return err
		}
		g.Go(func() error { return b.Serve(ctx) })
		m := api.New(b.API(), log.With("part", "api"))
		if cfg.API.Listen != "" {
			l, token, err := listen(ctx, cfg.API)
			if err != nil {
				return err
			}
			log.Info("API listens", "address", l.Addr().String(), "token_file", cfg.API.TokenFile)
			g.Go(func() error { return rest.ServeOn(ctx, l, rest.Local(m, l.Addr(), token)) })
		}
		return rest.ServeGroup(ctx, cfg.API.Socket, cfg.API.Group, m)
	})
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// listen opens api.listen, with the token that its callers need.
func listen(ctx context.Context, c config.API) (net.Listener, string, error) {
	token, err := rest.TokenFile(c.TokenFile)
	if err != nil {
		return nil, "", err
	}
	l, err := rest.Listen(ctx, "api.listen", c.Listen)
	return l, token, err
}
