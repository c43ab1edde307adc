package solana

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

const (
	connectTimeout = 3 * time.Second
	readTimeout    = 5 * time.Second
	maxBody        = 1 << 20
	defaultBackoff = 2 * time.Second
	maxBackoff     = time.Minute
	silentRest     = 30 * time.Second
	methodGenesis  = "getGenesisHash"
)

// rpcError is an answer of the endpoint that says no.
type rpcError struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
}

func (e *rpcError) Error() string { return fmt.Sprintf("rpc error %d: %s", e.Code, e.Message) }

// rpcClient calls endpoints in order and moves on when one does not answer.
type rpcClient struct {
	urls []string
	http *http.Client

	mu     sync.Mutex
	quiet  map[string]time.Time // until when a 429 or silence rests an endpoint
	silent map[string]int       // calls in a row without an answer
	id     uint64

	genesis string // what every endpoint must say; "": not known yet
	checked map[string]bool
}

func newRPC(urls []string) *rpcClient {
	return &rpcClient{
		urls: urls, quiet: map[string]time.Time{}, silent: map[string]int{}, checked: map[string]bool{},
		http: &http.Client{
			Timeout: connectTimeout + readTimeout,
			Transport: &http.Transport{
				Proxy:       http.ProxyFromEnvironment,
				DialContext: (&net.Dialer{Timeout: connectTimeout}).DialContext, ResponseHeaderTimeout: readTimeout,
				MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// unreachable wraps the reasons why no endpoint answered.
func unreachable(op string, err error) error {
	e := &market.Error{
		Code: market.CodeChainUnreachable, Op: op, Kind: market.KindUnavailable,
		Hint: "check solana.rpc and the network; nothing was lost",
		Err:  errors.Join(escrow.ErrUnreachable, err),
	}
	if errors.Is(err, errOther) {
		e.Detail = "another ledger answers than the one that this node was started with; a local one is new at each " +
			"of its starts"
		e.Hint = "to go on with the new one: gpuai node stop, then gpuai node start"
	}
	return e
}

// call asks endpoints in order until one answers; a refusal (a node that is behind, a limit) moves on like silence.
// Errors: chain-unreachable, with the reasons.
func (c *rpcClient) call(ctx context.Context, out any, method string, params ...any) error {
	var errs []error
	for _, u := range c.urls {
		err := c.one(ctx, u, out, method, params)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return unreachable(method, errors.Join(errs...))
}

// pinned runs f with a caller that asks one endpoint only, in order until f has its answers: what is compared must be
// of one view. Errors: chain-unreachable, with the reasons.
func (c *rpcClient) pinned(op string, f func(one caller) error) error {
	var errs []error
	for _, u := range c.urls {
		err := f(c.at(u))
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return unreachable(op, errors.Join(errs...))
}

// at returns a caller of one endpoint.
func (c *rpcClient) at(url string) caller {
	return func(ctx context.Context, out any, method string, params ...any) error {
		return c.one(ctx, url, out, method, params)
	}
}

type caller func(ctx context.Context, out any, method string, params ...any) error

// sameNetwork checks once that an endpoint is of the network that the answers are taken for: also one that is asked
// only when others fail.
func (c *rpcClient) sameNetwork(ctx context.Context, url, method string) error {
	c.mu.Lock()
	known := c.genesis == "" || c.checked[url] || method == methodGenesis
	c.mu.Unlock()
	if known {
		return nil
	}
	var got string
	if err := c.ask(ctx, url, &got, methodGenesis, nil); err != nil {
		return err
	}
	if got != c.genesis {
		return fmt.Errorf("%w: its genesis is %s", errOther, got)
	}
	c.mu.Lock()
	c.checked[url] = true
	c.mu.Unlock()
	return nil
}

// one asks one endpoint. The error names it by scheme and host only.
func (c *rpcClient) one(ctx context.Context, url string, out any, method string, params []any) error {
	err := c.ask(ctx, url, out, method, params)
	c.heard(ctx, url, err)
	if err != nil {
		return hide(url, err)
	}
	return nil
}

// errOther marks an endpoint of another ledger than the one that was opened.
var errOther = errors.New("endpoint is of another network")

// errRests marks an endpoint that is not asked for a while.
var errRests = errors.New("endpoint rests")

// errSilent marks a call that got no answer at all: the connection failed, or nothing came in time.
var errSilent = errors.New("no answer")

// heard rests an endpoint that twice in a row gave no answer, where others can be asked meanwhile: each call to one
// that hangs costs seconds.
func (c *rpcClient) heard(ctx context.Context, url string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case ctx.Err() != nil, errors.Is(err, errRests):
	case !errors.Is(err, errSilent):
		c.silent[url] = 0
	default:
		delete(c.checked, url) // what answers there next may be another network's: a local one that was started anew
		if c.silent[url]++; c.silent[url] >= 2 && len(c.urls) > 1 {
			c.quiet[url] = time.Now().Add(silentRest)
		}
	}
}

func (c *rpcClient) ask(ctx context.Context, url string, out any, method string, params []any) error {
	c.mu.Lock()
	c.id++
	id, until := c.id, c.quiet[url]
	c.mu.Unlock()
	if wait := time.Until(until); wait > 0 {
		return fmt.Errorf("%w for %s", errRests, wait.Round(time.Second))
	}
	if err := c.sameNetwork(ctx, url, method); err != nil {
		return err
	}
	if params == nil {
		params = []any{}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": id, "method": method, "params": params})
	if err != nil {
		return fmt.Errorf("encoding %s: %w", method, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("preparing %s: the address is not valid", method) // its text repeats the address
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("calling %s: %w: %w", method, errSilent, cause(err))
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return fmt.Errorf("reading the answer to %s: %w: %w", method, errSilent, err)
	}
	if len(raw) > maxBody {
		return fmt.Errorf("answer to %s is over %d bytes", method, maxBody)
	}
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
		c.rest(url, resp.Header.Get("Retry-After"))
		return fmt.Errorf("%s: http status %d", method, resp.StatusCode)
	}
	return decodeReply(raw, resp.StatusCode, id, method, out)
}

func (c *rpcClient) rest(url, after string) {
	d := defaultBackoff
	if s, err := strconv.Atoi(after); err == nil && s > 0 {
		d = min(time.Duration(s)*time.Second, maxBackoff)
	}
	c.mu.Lock()
	c.quiet[url] = time.Now().Add(d)
	c.mu.Unlock()
}

func decodeReply(raw []byte, status int, id uint64, method string, out any) error {
	var reply struct {
		ID     json.RawMessage `json:"id"`
		Result json.RawMessage `json:"result"`
		Error  *rpcError       `json:"error"`
	}
	if err := json.Unmarshal(raw, &reply); err != nil {
		return fmt.Errorf("%s: http status %d, no JSON-RPC answer: %w", method, status, err)
	}
	if reply.Error != nil {
		return fmt.Errorf("%s: %w", method, reply.Error)
	}
	if string(reply.ID) != strconv.FormatUint(id, 10) || reply.Result == nil {
		return fmt.Errorf("%s: answer belongs to another request", method)
	}
	if err := json.Unmarshal(reply.Result, out); err != nil {
		return fmt.Errorf("decoding the answer to %s: %w", method, err)
	}
	return nil
}

// each runs f once per endpoint, all at the same time, and returns their errors in the order of the endpoints.
func (c *rpcClient) each(f func(i int, one caller) error) []error {
	errs := make([]error, len(c.urls))
	var wg sync.WaitGroup
	for i, u := range c.urls {
		wg.Go(func() { errs[i] = f(i, c.at(u)) })
	}
	wg.Wait()
	return errs
}

// everywhere sends to every endpoint; it fails only if none took it.
func (c *rpcClient) everywhere(ctx context.Context, method string, params ...any) error {
	errs := c.each(func(_ int, one caller) error {
		var answer json.RawMessage
		return one(ctx, &answer, method, params...)
	})
	if slices.Contains(errs, nil) {
		return nil
	}
	return errors.Join(errs...)
}
