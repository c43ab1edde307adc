package indexer

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/public"
	"github.com/gpuai/gpuai/node/indexer/rows"
)

// RowsDiff is what two indexers say of the rows of a table: how many both have, of how many they say something else,
// and how many only one has. A and B are the first that differs, "" where one has none; Chain is what the chain says.
type RowsDiff struct {
	Common  int64  `json:"common"`
	Differ  int64  `json:"differ"`
	OnlyOne int64  `json:"only_one"`
	Key     string `json:"key,omitempty"`
	A       string `json:"a,omitempty"`
	B       string `json:"b,omitempty"`
	Chain   string `json:"chain,omitempty"`
}

// settling is how long gossip and the chain may take to be the same everywhere: what is newer is not compared.
const settling = 2 * time.Minute

// compared is a table that is compared row by row. Keys are in the order of the file; a row that changes has the column
// of its last change.
type compared struct {
	file   string
	keys   []string
	says   []string
	moved  string
	absent bool // a row that only one has is a difference
}

var (
	channelRows = compared{"channels", []string{"channel"}, []string{"status", "payer", "payee", "deposit", "settled",
		"paid", "refunded", "mint"}, "moved_at", true}
	leaseRows = compared{"leases", []string{"ended_at", "lease", "provider", "customer"}, []string{"slug", "devices",
		"rate", "amount", "mint", "channel", "payer", "payee", "started_at", "billable_ms", "code", "fault",
		"outputs"}, "ended_at", false}
)

// row is one of a file: its key, what it says, and whether it is too new to compare.
type row struct {
	key, says string
	fresh     bool
}

// compareRows joins two files, which are in the order of their keys.
func compareRows(ctx context.Context, a, b string, t compared, now time.Time) (out RowsDiff, err error) {
	ra, err := openRows(ctx, a, t, now)
	if err != nil {
		return out, err
	}
	defer ra.Close()
	rb, err := openRows(ctx, b, t, now)
	if err != nil {
		return out, err
	}
	defer rb.Close()
	one, two := ra.next, rb.next
	va, errA := one()
	vb, errB := two()
	for errA == nil || errB == nil {
		side := strings.Compare(va.key, vb.key)
		if errA != nil {
			side = 1
		} else if errB != nil {
			side = -1
		}
		out.take(t, side, va, vb)
		if side <= 0 {
			va, errA = one()
		}
		if side >= 0 {
			vb, errB = two()
		}
	}
	if err := errors.Join(errA, errB); !errors.Is(errA, io.EOF) || !errors.Is(errB, io.EOF) {
		return out, err
	}
	return out, nil
}

// take counts a row that both have (side 0), or one.
func (d *RowsDiff) take(t compared, side int, a, b row) {
	differs := false
	switch {
	case side == 0:
		d.Common++
		differs = a.says != b.says && !a.fresh && !b.fresh
	case side < 0:
		if b = (row{}); !a.fresh {
			d.OnlyOne++
			differs = t.absent
		}
	default:
		if a = (row{}); !b.fresh {
			d.OnlyOne++
			differs = t.absent
		}
	}
	if !differs {
		return
	}
	if d.Differ++; d.Differ == 1 {
		d.Key, d.A, d.B = strings.ReplaceAll(max(a.key, b.key), "\x00", " "), a.says, b.says
	}
}

// file reads rows as it comes.
type file struct {
	io.Closer
	next func() (row, error)
}

func openRows(ctx context.Context, base string, t compared, now time.Time) (out file, err error) {
	resp, err := ask(ctx, base, "/export/"+t.file+".csv")
	if err != nil {
		return out, err
	}
	r := csv.NewReader(&lines{r: resp.Body})
	r.ReuseRecord = true
	broken := func(err error) error {
		return errors.Join(failed("read "+t.file, base+" answers something else than its table"), err)
	}
	head, err := r.Read()
	if err != nil {
		return out, errors.Join(broken(err), resp.Body.Close())
	}
	at := map[string]int{}
	for i, name := range head {
		at[name] = i
	}
	for _, name := range slices.Concat(t.keys, t.says, []string{t.moved}) {
		if _, ok := at[name]; !ok {
			return out, errors.Join(broken(nil), resp.Body.Close())
		}
	}
	last := ""
	return file{resp.Body, func() (v row, err error) {
		cells, err := r.Read()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				err = broken(err)
			}
			return v, err
		}
		join := func(names []string, with string) string {
			var parts []string
			for _, n := range names {
				parts = append(parts, cells[at[n]])
			}
			return strings.Join(parts, with)
		}
		v = row{key: join(t.keys, "\x00"), says: join(t.says, " ")}
		if v.key <= last {
			return v, broken(errors.New("rows are out of order"))
		}
		last = v.key
		moved, err := time.Parse(time.RFC3339, cells[at[t.moved]])
		v.fresh = err == nil && now.Sub(moved) < settling
		return v, nil
	}}, nil
}

// lines is a reader of lines that are not too long: a table has none.
type lines struct {
	r    io.Reader
	long int // bytes since a line's end
}

const maxLine = 64 << 10

// Read implements io.Reader.
func (l *lines) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if i := bytes.LastIndexByte(p[:n], '\n'); i >= 0 {
		l.long = n - i
	} else {
		l.long += n
	}
	if l.long > maxLine {
		return 0, errors.New("a line has no end")
	}
	return n, err
}

// ChannelOnChain reads what channelRows say of a channel from the chain, for CompareAll.
func ChannelOnChain(chain interface {
	Channel(ctx context.Context, id market.ChannelID) (escrow.ChannelState, error)
}) func(context.Context, string) (string, error) {
	return func(ctx context.Context, key string) (string, error) {
		id, err := market.ParseAddress(key)
		if err != nil {
			return "no such address", nil //nolint:nilerr // an indexer made it up
		}
		s, err := chain.Channel(ctx, market.ChannelID(id))
		if err != nil {
			return "", err
		}
		if s.Status == escrow.StatusGone {
			return "gone: its account is closed, its instructions tell how", nil
		}
		c, err := rows.Channel(s)
		if err != nil {
			return "", err
		}
		n := func(v int64) string { return strconv.FormatInt(v, 10) }
		return strings.Join([]string{public.Status(c.Status), c.Payer, c.Payee, n(c.Deposit), n(c.Settled), n(c.Paid),
			n(c.Refunded), c.Mint}, " "), nil
	}
}

// OffersDiff compares the rigs that are live at either indexer and were not heard just now. Common have the same
// number at both. Examples are the first that have not.
type OffersDiff struct {
	Common   int64      `json:"common"`
	Differ   int64      `json:"differ"`
	Examples []OfferRow `json:"examples,omitempty"`
}

// OfferRow is a rig of which two indexers say something else. 0: that one does not have it live.
type OfferRow struct {
	Peer string `json:"peer"`
	A    int64  `json:"a,omitempty"`
	B    int64  `json:"b,omitempty"`
}

// maxExamples of offers that differ.
const maxExamples = 20

// agree is how much of the offers must be the same at both: 99 of 100.
func (d OffersDiff) agree() bool { return d.Common*100 >= (d.Common+d.Differ)*99 }

func compareOffers(ctx context.Context, a, b string, now time.Time) (out OffersDiff, err error) {
	var sides [2]map[string]public.Provider
	for i, base := range []string{a, b} {
		if sides[i], err = liveAt(ctx, base); err != nil {
			return out, err
		}
	}
	all := map[string]bool{}
	for _, side := range sides {
		for peer := range side {
			all[peer] = true
		}
	}
	for _, peer := range slices.Sorted(keysOf(all)) {
		pa, pb := sides[0][peer], sides[1][peer]
		if now.Sub(pa.AsOf.At.Time) < settling || now.Sub(pb.AsOf.At.Time) < settling {
			continue
		}
		r := OfferRow{Peer: peer}
		if pa.Live {
			r.A = pa.Seq
		}
		if pb.Live {
			r.B = pb.Seq
		}
		switch {
		case r.A == 0 && r.B == 0:
		case r.A == r.B:
			out.Common++
		default:
			if out.Differ++; len(out.Examples) < maxExamples {
				out.Examples = append(out.Examples, r)
			}
		}
	}
	return out, nil
}

func keysOf(m map[string]bool) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// liveAt are the rigs that an indexer has, also those that are over: they tell what is only slow.
func liveAt(ctx context.Context, base string) (map[string]public.Provider, error) {
	out, cursor := map[string]public.Provider{}, ""
	for range maxPages {
		var page public.Providers
		if err := fetch(ctx, base, "/providers?limit=200&cursor="+url.QueryEscape(cursor), &page); err != nil {
			return nil, err
		}
		for _, p := range page.Providers {
			out[p.Peer] = p
		}
		if cursor = page.Cursor; cursor == "" {
			return out, nil
		}
	}
	return nil, failed("read providers", base+" has no end of providers")
}

// Waits for an indexer that has no room: as long as it says, so often at most.
const (
	waitMost  = time.Minute
	waitTimes = 5
)

// ask gets an answer of an indexer; one that says when to come again is asked again then. Errors: peer-unreachable,
// peer-failed, the problem that it answers.
func ask(ctx context.Context, base, path string) (*http.Response, error) {
	for n := 0; ; n++ {
		resp, err := askOnce(ctx, base, path)
		if err != nil {
			return nil, err
		}
		after, bad := strconv.Atoi(resp.Header.Get("Retry-After"))
		again := resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable
		switch {
		case resp.StatusCode == http.StatusOK:
			return resp, nil
		case !again || bad != nil || n == waitTimes:
			return nil, errors.Join(problemOf(base, resp), resp.Body.Close())
		}
		_ = resp.Body.Close() // it is not read
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for %s: %w", base, ctx.Err())
		case <-time.After(min(time.Duration(max(after, 1))*time.Second, waitMost)):
		}
	}
}
