package node

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/backend/leases"
	"github.com/gpuai/gpuai/node/backend/money"
	"github.com/gpuai/gpuai/node/health"
	"github.com/gpuai/gpuai/node/rest"
	"github.com/gpuai/gpuai/node/store"
)

var _ rest.Feed = (*Backend)(nil)

// EventsChanged implements rest.Feed.
func (b *Backend) EventsChanged() <-chan struct{} { return b.n.db.EventsChanged() }

// Events implements rest.Feed.
func (b *Backend) Events(ctx context.Context, after uint64, limit int) (out []rest.Event, floor, last uint64,
	err error) {
	rows, floor, last, err := b.n.db.Events(after, limit)
	if err != nil {
		return nil, 0, 0, fmt.Errorf("read events: %w", err)
	}
	for _, row := range rows {
		data, err := b.eventData(ctx, row)
		if err != nil {
			return nil, 0, 0, err
		}
		out = append(out, rest.Event{Seq: row.Seq, Topic: row.Topic, Data: data})
	}
	return out, floor, last, nil
}

// eventData is the document that GET returns, over it what the row says: that was true then, the rest is true now. What
// is gone since leaves the row alone.
func (b *Backend) eventData(ctx context.Context, row store.Event) (json.RawMessage, error) {
	fields := map[string]any{"schema": "gpuai." + row.Topic + "/v1", "id": row.ID}
	if doc := b.eventDoc(ctx, row); doc != nil {
		raw, err := json.Marshal(doc)
		if err == nil {
			err = json.Unmarshal(raw, &fields)
		}
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", row.Seq, err)
		}
	}
	fields["cause"], fields["at"] = row.Cause, rest.At(row.At)
	for name, amount := range row.Amounts {
		fields[name] = api.SOL(amount)
	}
	if row.State != "" {
		name := "state"
		if row.Topic == "order" {
			name = "standing"
		}
		fields[name] = row.State
	}
	return json.Marshal(fields)
}

func (b *Backend) eventDoc(ctx context.Context, row store.Event) any {
	switch row.Topic {
	case "order":
		if o, err := b.Order(ctx, row.ID); err == nil {
			return o
		}
	case "lease":
		if row.Role == "provider" {
			if s, found, err := b.sold(row.ID); found && err == nil {
				return s.Doc
			}
			return nil
		}
		if c := b.n.Customer(); c != nil {
			if v, err := c.Order(row.ID); err == nil {
				if s, ok := leases.Bought(v); ok && s.Doc.ID == row.ID {
					return s.Doc
				}
			}
		}
	case "channel":
		c := b.n.Customer()
		if c == nil {
			return nil
		}
		if a, err := market.ParseAddress(row.ID); err == nil {
			if v, ok := c.Channel(market.ChannelID(a)); ok {
				return money.Channel(v)
			}
		}
	case "offer":
		if p, err := b.Provider(ctx); err == nil {
			return p
		}
	case "health":
		if h, err := b.Health(ctx); err == nil {
			return h
		}
	}
	return nil
}

// tell writes an event of the node itself. Its cause is in memory or in a file, so there is no commit to join.
func (b *Backend) tell(ctx context.Context, e store.Event) {
	if b.n.db == nil {
		return // a part of a node, without a store
	}
	e.At = time.Now()
	if err := b.n.db.Commit(context.WithoutCancel(ctx), store.Change{Events: []store.Event{e}}); err != nil {
		b.n.log.Warn("Event was not stored", "topic", e.Topic, "cause", e.Cause, "error", err)
	}
}

// operation tells that one has begun or ended; the API's server, which runs it, adds the document.
func (b *Backend) operation(op rest.Operation) {
	b.tell(context.Background(), store.Event{Topic: "operation", ID: op.ID, Cause: op.Phase, State: op.State})
}

func (b *Backend) healthChanged(ctx context.Context) func(health.Report) {
	return func(r health.Report) {
		b.tell(ctx, store.Event{Topic: "health", ID: b.n.host.ID().String(), Cause: "checked", State: r.Level()})
	}
}

// watchNet looks at the machine when the node's standing in the network turns, not only at the next hour.
func (b *Backend) watchNet(ctx context.Context) error {
	var seen <-chan struct{}
	if f := b.n.site.finder; f != nil {
		seen = f.dht.Turned()
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-b.n.host.Turned():
		case <-seen:
		}
		b.Watch.Look()
	}
}

// pruneEvery is how often old events and answers go.
const pruneEvery = time.Hour

func (b *Backend) prune(ctx context.Context) error {
	for {
		now := time.Now()
		if err := b.n.db.PruneEvents(ctx, now, store.KeepEvents); err != nil {
			b.n.log.Warn("Old events were not deleted", "error", err)
		}
		if err := (store.Answers{DB: b.n.db}).Prune(ctx, now); err != nil {
			b.n.log.Warn("Old answers were not deleted", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pruneEvery):
		}
	}
}
