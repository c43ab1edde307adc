package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/wire"
)

// indexWait is how long an index may take: money is final after 32 slots, and the chain is read once a second.
const indexWait = 30 * time.Second

// money is an amount of the public API.
type money struct {
	Amount market.Amount `json:"amount,string"`
}

// The parts of the public API's answers that are checked. They are read by hand, not by the code that writes them.
type (
	indexedChannel struct {
		Deposit, Paid, Refunded money
	}
	indexedLease struct {
		Code, Channel, Provider string
		Amount                  money
		SignedBy                []string `json:"signed_by"`
		Documents               []struct {
			By       string
			Envelope []byte
		}
	}
	indexedOffers struct {
		Offers []struct{ Peer string }
	}
)

// index is check 9: what anybody may read of this market is what the ledger, the customer and both signatures say.
func (r *run) index(ctx context.Context) error {
	s, err := r.s.indexer.client.Status(ctx)
	if err != nil {
		return err
	}
	o := r.s.order
	deposit, paid, returned := o.Deposit.Lamports(), o.Paid.Lamports(), o.Returned.Lamports()
	var ch indexedChannel
	err = until(ctx, "the channel's end in the index", indexWait, func() (bool, error) {
		found, err := public(ctx, s.Index, "/channels/"+o.Channel, &ch)
		return found && ch.Paid.Amount+ch.Refunded.Amount == ch.Deposit.Amount, err
	})
	if err != nil {
		return err
	}
	if ch.Deposit.Amount != deposit || ch.Paid.Amount != paid || ch.Refunded.Amount != returned {
		return fmt.Errorf("the index says deposit %d, paid %d, refunded %d, the ledger %d, %d, %d", ch.Deposit.Amount,
			ch.Paid.Amount, ch.Refunded.Amount, deposit, paid, returned)
	}
	var l indexedLease
	err = until(ctx, "the lease in the index", indexWait, func() (bool, error) {
		return public(ctx, s.Index, "/leases/"+o.LeaseID, &l)
	})
	if err != nil {
		return err
	}
	if err := r.told(l, paid); err != nil {
		return err
	}
	var offers indexedOffers
	if _, err := public(ctx, s.Index, "/offers", &offers); err != nil {
		return err
	}
	if len(offers.Offers) != 2 {
		return fmt.Errorf("the index lists %d offers, the customer's book 2", len(offers.Offers))
	}
	r.ok("index", "anybody reads it: deposit, paid and refunded are the ledger's, lease %s… as both signed it, "+
		"2 offers; nothing of the job", o.LeaseID[:14])
	return nil
}

// told checks a lease of the index against what the customer knows, and both signatures. Errors: what differs.
func (r *run) told(l indexedLease, paid market.Amount) error {
	o := r.s.order
	if l.Amount.Amount != paid || l.Code != string(market.CodeCompleted) || l.Channel != o.Channel ||
		l.Provider != o.Provider || !slices.Equal(l.SignedBy, []string{"provider", "customer"}) {
		return fmt.Errorf("the index says of the lease %+v, paid are %d to %s", l, paid, o.Provider)
	}
	if len(l.Documents) != 2 {
		return fmt.Errorf("the index shows %d signed documents", len(l.Documents))
	}
	p, err := wire.JoinOutcomes(l.Documents[0].Envelope, l.Documents[1].Envelope, r.w.network)
	if err == nil {
		err = p.Verify(r.w.network)
	}
	if err == nil && (p.Outcome.Lease.String() != o.LeaseID || p.Outcome.Amount != paid) {
		err = errors.New("they are of another lease, or name another amount")
	}
	if err != nil {
		return fmt.Errorf("the signed documents of the index: %w", err)
	}
	return nil
}

// public asks the public API. found false: it has no such thing, or not yet.
func public(ctx context.Context, site, path string, out any) (found bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, site+"/public/v1"+path, nil)
	if err != nil {
		return false, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, fmt.Errorf("ask the index: %w", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return true, json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(out)
	case http.StatusNotFound, http.StatusTooManyRequests:
		return false, nil
	}
	return false, fmt.Errorf("the index answers %s with %s", path, resp.Status)
}
