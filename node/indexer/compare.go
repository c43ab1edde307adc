package indexer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gpuai/gpuai/escrow/solana"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/public"
	"github.com/gpuai/gpuai/node/rest"
)

// Comparison is what two indexers say of the same slots. With Equal all is the same; else A and B are the first rows
// that differ, nil where one has none, and Chain is what the chain says of it, where it was asked.
type Comparison struct {
	Schema string            `json:"schema"`
	Slot   int64             `json:"slot"` // all instructions up to it are compared
	N      int64             `json:"n"`    // instructions at A
	Equal  bool              `json:"equal"`
	Part   int64             `json:"part,omitempty"`
	A      *public.DigestRow `json:"a,omitempty"`
	B      *public.DigestRow `json:"b,omitempty"`
	Chain  *public.DigestRow `json:"chain,omitempty"` // nil: it has no such row, or was not read
	Read   bool              `json:"chain_read"`

	// What is not told by digests. NoCheckpoint: instructions were not compared, since there is none in common yet.
	NoCheckpoint bool        `json:"no_checkpoint,omitempty"`
	Offers       *OffersDiff `json:"offers,omitempty"`
	Channels     *RowsDiff   `json:"channels,omitempty"`
	Leases       *RowsDiff   `json:"leases,omitempty"`
	Agrees       bool        `json:"agrees"`                // nothing differs but what gossip may lose
	ChainFault   string      `json:"chain_fault,omitempty"` // why the chain was not read beside a row that differs
}

// unread keeps why the chain was not read: what differs is told all the same.
func (c *Comparison) unread(err error) error {
	if market.CodeOf(err) != market.CodeChainUnreachable {
		return err
	}
	c.ChainFault = err.Error()
	return nil
}

// CompareAll is Compare, and of offers, channels and leases what both say now. channel reads what a row says of a
// channel from the chain; nil: it is not asked. Errors: as Compare, but for a checkpoint that is missing.
func CompareAll(ctx context.Context, a, b string, read func(context.Context, string) ([]public.DigestRow, error),
	channel func(ctx context.Context, id string) (string, error)) (out Comparison, err error) {
	out, err = Compare(ctx, a, b, read)
	if market.CodeOf(err) == market.CodeNotFound || errors.Is(err, errNoCheckpoint) {
		out.NoCheckpoint, err = true, nil
	}
	if err != nil {
		return out, err
	}
	now := time.Now()
	offers, err := compareOffers(ctx, a, b, now)
	if err != nil {
		return out, err
	}
	channels, err := compareRows(ctx, a, b, channelRows, now)
	if err != nil {
		return out, err
	}
	leases, err := compareRows(ctx, a, b, leaseRows, now)
	if err != nil {
		return out, err
	}
	if channels.Differ > 0 && channel != nil {
		if channels.Chain, err = channel(ctx, channels.Key); err != nil {
			if err = out.unread(err); err != nil {
				return out, err
			}
		}
	}
	out.Offers, out.Channels, out.Leases = &offers, &channels, &leases
	out.Agrees = (out.Equal || out.NoCheckpoint) && offers.agree() && channels.Differ == 0 && leases.Differ == 0
	return out, nil
}

// errNoCheckpoint: two indexers have none in common.
var errNoCheckpoint = errors.New("no checkpoint in common")

// bounds of what an indexer may answer.
const (
	maxAnswer = 16 << 20
	askTime   = 30 * time.Second
	maxPages  = 1000
)

// Compare holds the digests of two indexers against each other, each given by its address, as "http://host:8080". read
// may be nil. Errors: peer-unreachable, peer-failed: an answer that is none; those of the chain.
func Compare(ctx context.Context, a, b string, read func(context.Context, string) ([]public.DigestRow, error)) (
	out Comparison, err error) {
	out.Schema = "gpuai.comparison/v1"
	var da, db public.Digest
	for slot := int64(0); ; {
		if da, err = digestAt(ctx, a, slot); err == nil {
			db, err = digestAt(ctx, b, slot)
		}
		if err != nil {
			return out, err
		}
		at, bt := da.AsOf.Slot, db.AsOf.Slot
		if at == bt {
			break
		}
		if next := min(at, bt); slot == 0 || next < slot {
			slot = next
			continue
		}
		return out, errors.Join(failed("compare indexers", "they have no checkpoint in common"), errNoCheckpoint)
	}
	out.Slot, out.N, out.Equal = da.AsOf.Slot, da.N, true
	for i := range da.Parts {
		if da.Parts[i] == db.Parts[i] {
			continue
		}
		out.Equal, out.Part = false, int64(i)
		if out.A, out.B, err = firstThatDiffers(ctx, a, b, out.Slot, out.Part); err != nil || read == nil {
			return out, err
		}
		return out, out.ask(ctx, read)
	}
	return out, nil
}

// ask reads the row that differs from the chain itself.
func (c *Comparison) ask(ctx context.Context, read func(context.Context, string) ([]public.DigestRow, error)) error {
	one := c.A
	if one == nil {
		one = c.B
	}
	if one == nil {
		return failed("compare indexers", "the digests differ and the rows do not: one is not made of its rows")
	}
	rows, err := read(ctx, one.Signature)
	if err != nil {
		return c.unread(err)
	}
	c.Read = true
	for _, r := range rows {
		if r.Outer == one.Outer && r.Inner == one.Inner {
			c.Chain = &r
		}
	}
	return nil
}

func failed(op, detail string) error {
	return &market.Error{Code: market.CodePeerFailed, Kind: market.KindUnavailable, Op: op, Detail: detail,
		Hint: "ask a third indexer"}
}

func digestAt(ctx context.Context, base string, slot int64) (d public.Digest, err error) {
	path := "/digest"
	if slot > 0 {
		path += "?slot=" + strconv.FormatInt(slot, 10)
	}
	if err = fetch(ctx, base, path, &d); err == nil && len(d.Parts) != 256 {
		err = failed("read digest", fmt.Sprintf("%s tells %d parts of 256", base, len(d.Parts)))
	}
	return d, err
}

// firstThatDiffers is the first row, in order, that is not the same at both.
func firstThatDiffers(ctx context.Context, a, b string, slot, part int64) (ra, rb *public.DigestRow, err error) {
	all := [2][]public.DigestRow{}
	for i, base := range []string{a, b} {
		if all[i], err = partOf(ctx, base, slot, part); err != nil {
			return nil, nil, err
		}
	}
	for i := 0; i < max(len(all[0]), len(all[1])); i++ {
		switch {
		case i >= len(all[0]):
			return nil, &all[1][i], nil
		case i >= len(all[1]):
			return &all[0][i], nil, nil
		case all[0][i] == all[1][i]:
		case place(all[0][i]) < place(all[1][i]):
			return &all[0][i], nil, nil
		case place(all[0][i]) > place(all[1][i]):
			return nil, &all[1][i], nil
		default:
			return &all[0][i], &all[1][i], nil
		}
	}
	return nil, nil, nil
}

// place sorts rows as a digest does. Numbers are below 10^6: a transaction has few instructions.
func place(r public.DigestRow) string {
	return fmt.Sprintf("%s %06d %06d", r.Signature, r.Outer+1, r.Inner+1)
}

func partOf(ctx context.Context, base string, slot, part int64) (out []public.DigestRow, err error) {
	cursor := ""
	for range maxPages {
		var page public.DigestRows
		q := url.Values{"slot": {strconv.FormatInt(slot, 10)}, "part": {strconv.FormatInt(part, 10)}}
		if cursor != "" {
			q.Set("cursor", cursor)
		}
		if err := fetch(ctx, base, "/digest/rows?"+q.Encode(), &page); err != nil {
			return nil, err
		}
		out = append(out, page.Rows...)
		if cursor = page.Cursor; cursor == "" {
			return out, nil
		}
	}
	return nil, failed("read rows", base+" has no end of rows")
}

// fetch reads a document of an indexer. Errors: peer-unreachable; peer-failed; the problem that it answers.
func fetch(ctx context.Context, base, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, askTime+waitTimes*waitMost)
	defer cancel()
	resp, err := ask(ctx, base, path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
		return failed("ask indexer", base+" answers something else than its document")
	}
	return nil
}

const addressHint = "write its address as http://host:8080"

func askOnce(ctx context.Context, base, path string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+public.Base+path, nil)
	if err != nil || (r.URL.Scheme != "http" && r.URL.Scheme != "https") || r.URL.Host == "" {
		return nil, &market.Error{Code: market.CodeBadUsage, Kind: market.KindInvalid, Op: "ask indexer",
			Detail: fmt.Sprintf("%q is no address of an indexer", base), Hint: addressHint}
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, &market.Error{Code: market.CodePeerUnreachable, Kind: market.KindUnavailable, Op: "ask indexer",
			Err: err, Detail: err.Error(), Hint: addressHint}
	}
	return resp, nil
}

// problemOf is what an indexer answers instead of a document.
func problemOf(base string, resp *http.Response) error {
	var p rest.Problem
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&p); err != nil || p.Code == "" {
		return failed("ask indexer", fmt.Sprintf("%s answers %d", base, resp.StatusCode))
	}
	return p.Err()
}

// OnChain reads a transaction's rows from the chain, for Compare.
func OnChain(chain interface {
	Transaction(ctx context.Context, sig string) (solana.Landed, error)
}) func(context.Context, string) ([]public.DigestRow, error) {
	return func(ctx context.Context, sig string) (out []public.DigestRow, err error) {
		l, err := chain.Transaction(ctx, sig)
		if err != nil {
			return nil, err
		}
		txs, _, err := rowsOf(l)
		for _, t := range txs {
			out = append(out, public.DigestRow{Signature: t.Sig, Outer: t.Outer, Inner: t.Inner, Slot: t.Slot, At: t.At,
				Result: t.Result, Name: t.Name, Channel: t.Channel, Authority: t.Authority,
				Amount: strconv.FormatInt(t.Amount, 10)})
		}
		return out, err
	}
}
