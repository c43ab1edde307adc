package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/health"
	"github.com/gpuai/gpuai/node/store"
)

// facts are what a scrape of /metrics tells.
func (b *Backend) facts() health.Facts {
	f := health.Facts{Leases: map[health.LeaseKey]int{}, Peers: b.n.host.Peers(), Health: b.Watch.Last().Codes()}
	f.Counts, f.Links = b.n.host.Counts(), map[health.LinkKey]int{}
	for _, l := range b.n.host.Links() {
		k := health.LinkKey{Direction: "outbound", Path: "direct"}
		if l.Inbound {
			k.Direction = "inbound"
		}
		if l.Relayed {
			k.Path = "relay"
		}
		f.Links[k]++
	}
	if fi := b.n.site.finder; fi != nil {
		stats := fi.dht.Stats()
		f.Table = &stats.Table
		if ratio := stats.Seen.Ratio(); stats.Seen.Asked > 0 {
			f.Probe = &ratio
		}
	}
	for _, s := range b.sides() {
		f.Leases[health.LeaseKey{State: s.Doc.State, Role: s.Doc.Role}]++
	}
	each(b.n, func(g gauge) { g.Facts(&f) })
	return f
}

// serveMetrics serves api.metrics until ctx ends.
func (b *Backend) serveMetrics(ctx context.Context) error {
	token := ""
	if path := b.n.site.Config.API.MetricsTokenFile; path != "" {
		raw, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read metrics token: %w", err)
		}
		if token = strings.TrimSpace(string(raw)); token == "" {
			return invalid("api.metrics_token_file", "the file is empty")
		}
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", b.n.site.Config.API.Metrics)
	if err != nil {
		return invalid("api.metrics", err.Error())
	}
	b.n.log.Info("Metrics", "address", l.Addr().String())
	srv := &http.Server{Handler: b.metrics.Handler(token), ReadTimeout: 5 * time.Second, WriteTimeout: 15 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return ctx.Err()
}

// countEvents feeds the series that count what happens: rows from now on.
func (b *Backend) countEvents(ctx context.Context) error {
	seen := map[string]bool{} // orders that were told as ready and are not over
	changed := b.n.db.EventsChanged()
	_, _, after, err := b.n.db.Events(0, 0)
	for err == nil {
		var rows []store.Event
		if rows, _, _, err = b.n.db.Events(after, 256); err != nil {
			break
		}
		for _, e := range rows {
			after = e.Seq
			b.count(ctx, e, seen)
		}
		if len(rows) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
			changed = b.n.db.EventsChanged()
		}
	}
	return fmt.Errorf("count events: %w", err)
}

func (b *Backend) count(ctx context.Context, e store.Event, seen map[string]bool) {
	side := market.ProviderSide
	if e.Role == market.CustomerSide.String() {
		side = market.CustomerSide
	}
	switch {
	case e.Topic == "lease" && e.Money && e.State != "": // its end
		code := market.Code(e.Cause)
		b.metrics.LeaseEnded(code, market.FaultOf(code, side))
	case e.Topic == "lease" && side == market.CustomerSide:
		o, err := b.Order(ctx, e.ID)
		if err == nil && o.ReadyAt != nil && o.ReadyAt.After(b.started) && !seen[o.ID] {
			seen[o.ID] = true
			b.metrics.OrderReady(o.ReadyAt.Sub(o.CreatedAt.Time), orderPhases(o))
		}
	case e.Topic == "order" && (e.State == "ended" || e.State == "failed"):
		delete(seen, e.ID)
	}
}

// orderPhases are the times between the steps of an order: of its last attempt, if there were several.
func orderPhases(o api.Order) map[string]time.Duration {
	out, last := map[string]time.Duration{}, o.CreatedAt
	for _, s := range o.Steps {
		name := map[string]string{"quote": "quote", "funded": "fund", "preparing": "accept"}[s.Phase]
		if name == "" {
			continue
		}
		out[name] = s.At.Sub(last.Time)
		last = s.At
	}
	return out
}
