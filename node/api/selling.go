package api

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rest"
)

// EarnedDay is what one device brought on one UTC day. A negative amount takes back what a close did not settle.
type EarnedDay struct {
	Day     string `json:"day"` // 2026-11-30
	Device  string `json:"device_id,omitempty"`
	Class   string `json:"class,omitempty"`
	Jobs    int    `json:"jobs"`
	RunMS   int64  `json:"run_ms"`
	Earned  Money  `json:"earned"`  // of jobs that ended, and what is settled of others
	Settled Money  `json:"settled"` // of it, on the ledger
}

// Earnings are the rows since a day, and all that was ever earned.
type Earnings struct {
	Schema  string      `json:"schema"`
	Since   *rest.Time  `json:"since,omitempty"`
	Days    []EarnedDay `json:"days"`
	Earned  Money       `json:"earned"` // all of it, whatever since says
	Settled Money       `json:"settled"`
	Claim   Money       `json:"claimable"`
	Now     Money       `json:"earning_now"`
}

// IdleReason counts orders that this rig refused alike.
type IdleReason struct {
	Code   market.Code `json:"code"`
	Detail string      `json:"detail,omitempty"`
	Orders int         `json:"orders"`
}

// PriceRank compares an own rate with the offers of others for the same model, as this node's book has them. Rank 1 is
// the cheapest.
type PriceRank struct {
	Class    string `json:"class"`
	Own      Money  `json:"own"`
	Rank     int    `json:"rank"`
	Offers   int    `json:"offers"` // of others
	Lowest   Money  `json:"lowest,omitzero"`
	Middle   Money  `json:"middle,omitzero"`
	Cheaper  int    `json:"cheaper"`      // offers of others below the own rate
	FreeElse int    `json:"free_cheaper"` // free devices among them
}

// Idle says who asked this rig in the last 24 h, what came of it, and how its price stands.
type Idle struct {
	Schema    string       `json:"schema"`
	Selling   bool         `json:"selling"`
	Why       string       `json:"why,omitempty"` // it does not sell
	Since     *rest.Time   `json:"since,omitempty"`
	Asked     int          `json:"asked"` // orders
	Customers int          `json:"customers"`
	Quoted    int          `json:"quoted"`
	Leased    int          `json:"leased"`
	Waiting   int          `json:"waiting"` // quoted a moment ago
	Lost      int          `json:"lost"`    // quoted, and taken elsewhere or not at all
	Refused   []IdleReason `json:"refused"`
	Prices    []PriceRank  `json:"prices"` // empty where the node keeps no offers of others
}

// Kick is the body that ends a lease as its provider.
type Kick struct {
	Reason string `json:"reason,omitempty"`
}

// Provider implements Selling.
func (c sellingClient) Provider(ctx context.Context) (Provider, error) {
	return call[Provider](ctx, c.link, "GET", "/provider", nil)
}

// ProviderSell implements Selling.
func (c sellingClient) ProviderSell(ctx context.Context, on bool) (Provider, error) {
	verb := "pause"
	if on {
		verb = "resume"
	}
	return call[Provider](ctx, c.link, "POST", "/provider/"+verb, nil)
}

// ProviderLeases implements Selling.
func (c sellingClient) ProviderLeases(ctx context.Context, q LeaseQuery) ([]Lease, string, error) {
	list, next, err := some(ctx, c.link, "/provider/leases?live="+strconv.FormatBool(q.Live)+"&", q.After, q.Limit,
		func(l leaseList) ([]Lease, string) { return l.Leases, l.Cursor })
	seen := map[string]bool{}
	return slices.DeleteFunc(list, func(l Lease) bool { // one that ended meanwhile came twice
		had := seen[l.ID]
		seen[l.ID] = true
		return had
	}), next, err
}

// ProviderEarnings implements Selling.
func (c sellingClient) ProviderEarnings(ctx context.Context, since time.Time) (Earnings, error) {
	path := "/provider/earnings"
	if !since.IsZero() {
		path += "?since=" + url.QueryEscape(since.UTC().Format(time.RFC3339))
	}
	return call[Earnings](ctx, c.link, "GET", path, nil)
}

// ProviderIdle implements Selling.
func (c sellingClient) ProviderIdle(ctx context.Context) (Idle, error) {
	return call[Idle](ctx, c.link, "GET", "/provider/idle", nil)
}

// KickLease implements Selling.
func (c sellingClient) KickLease(ctx context.Context, id, reason string) error {
	_, err := call[done](ctx, c.link, "POST", "/provider/leases/"+url.PathEscape(id)+"/kick", Kick{reason})
	return err
}
