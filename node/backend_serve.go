package node

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/node/api"
)

// API is what the API's server needs of this node.
func (b *Backend) API() api.Config {
	return api.Config{Backend: b, Events: b, Answers: b.n.db, Observe: b.metrics.Request, Told: b.operation}
}

// Serve does the backend's own work until ctx ends: the hourly look at the machine, old rows go, and metrics if they
// are on. An error of it ends the node.
func (b *Backend) Serve(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return b.watch.Serve(ctx, b.healthChanged(ctx)) })
	g.Go(func() error { return b.prune(ctx) })
	if b.n.site.Config.API.Metrics != "" {
		b.n.db.OnCommit(b.metrics.Commit)
		g.Go(func() error { return b.serveMetrics(ctx) })
		g.Go(func() error { return b.countEvents(ctx) })
	}
	return ignoreCanceled(g.Wait())
}
