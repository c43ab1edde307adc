package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rest"
)

// leases are the routes of Leases.
type leases struct {
	b      Leases
	orders Orders
}

type (
	leaseList struct {
		Schema string  `json:"schema"`
		Leases []Lease `json:"leases"`
		Cursor string  `json:"cursor,omitempty"`
	}
	receiptList struct {
		Schema   string         `json:"schema"`
		Receipts []LeaseReceipt `json:"receipts"`
		Cursor   string         `json:"cursor,omitempty"`
	}
)

func (s *leases) routes() []rest.Route {
	return []rest.Route{
		rest.Get("/orders/{id}/receipt", "receipt", "order, lease and signed documents in one", s.receipt).
			Fails(market.CodeNotFound),
		rest.Get("/leases", "leases", "of both roles", s.list),
		rest.Get("/leases/{id}", "lease", "a lease id, or its order's", s.lease).Fails(market.CodeNotFound),
		rest.Get("/leases/{id}/receipts", "leaseReceipts",
			"the newest one; each says all that the ones before it said", s.receipts).Fails(market.CodeNotFound),
		rest.Get("/leases/{id}/outcome", "leaseOutcome", "what each side signed about the end", s.outcome).
			Fails(market.CodeNotFound),
		rest.Stream("GET", "/leases/{id}/logs", "logs", "`follow=true`, `since=TIME`, `from=OFFSET`, `places=true`; "+
			"out of the node's own copy, also after the end", s.logs).In(rest.ScopeJobs).
			Gives(200, "application/x-gpuai-frames", framesAbout).Fails(market.CodeNotFound).Fails(market.CodeNotReady),
		rest.Stream("POST", "/leases/{id}/exec", "exec", "`arg=…` repeated; `tty=true` with `cols`, `rows` and "+
			"`term`; header `Upgrade: gpuai-exec`; frame 6 to the node is a new size: columns, rows, u16 each", s.exec).
			In(rest.ScopeJobs).Gives(101, "", "the connection carries frames both ways. "+framesAbout).
			Fails(market.CodeNotFound).Answers(http.StatusUpgradeRequired, market.CodeBadUsage),
	}
}

const framesAbout = "Frames: a byte for the stream, a u32 length, big-endian, then so many bytes. 1 stdout, 2 " +
	"stderr, " +
	"4 the end with a u32 exit code, 5 the end with a Problem; towards the node 0 stdin, 3 its end. In logs " +
	"the bytes " +
	"begin with the time, u64 Unix ms; with places=true the offset in the log follows, 6 is a gap and 7 the " +
	"log's state."

func (s *leases) receipt(ctx context.Context, in *ByID) (Receipt, error) {
	return s.b.Receipt(ctx, in.ID)
}

func (s *leases) lease(ctx context.Context, in *ByID) (Lease, error) { return s.b.Lease(ctx, in.ID) }

func (s *leases) outcome(ctx context.Context, in *ByID) (LeaseOutcome, error) {
	return s.b.LeaseOutcome(ctx, in.ID)
}

func (s *leases) list(ctx context.Context, in *rest.Paging) (leaseList, error) {
	l, err := s.b.Leases(ctx)
	if err != nil {
		return leaseList{}, err
	}
	l, cursor, err := rest.Page(*in, l, func(l Lease) string { return byAge(l.CreatedAt, l.ID+l.Role) })
	return leaseList{"gpuai.leases/v1", l, cursor}, err
}

type receiptsIn struct {
	ByID
	rest.Paging
}

func (s *leases) receipts(ctx context.Context, in *receiptsIn) (out receiptList, err error) {
	l, err := s.b.LeaseReceipts(ctx, in.ID)
	if err != nil {
		return out, err
	}
	// twenty digits: text order is the order of numbers
	l, cursor, err := rest.Page(in.Paging, l, func(x LeaseReceipt) string { return fmt.Sprintf("%020d", x.Seq) })
	return receiptList{"gpuai.receipts/v1", l, cursor}, err
}

type logsIn struct {
	ByID
	Follow bool      `query:"follow" doc:"until the job has ended and its log is whole, or as whole as it gets"`
	Since  time.Time `query:"since" doc:"begin with the first piece that is not before it"`
	From   uint64    `query:"from" doc:"begin with this byte of the log"`
	Places bool      `query:"places" doc:"frames name their offset, gaps and the log's state"`
}

type execIn struct {
	ByID
	Arg  []string `query:"arg,explode" doc:"the command and its arguments, each one arg"`
	TTY  bool     `query:"tty" doc:"in a terminal"`
	Cols uint64   `query:"cols" doc:"its columns"`
	Rows uint64   `query:"rows" doc:"its rows"`
	Term string   `query:"term" doc:"its kind, as TERM"`
}
