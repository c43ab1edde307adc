package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
)

// Client is a Backend over the socket. Errors of the node are *market.Error; node-unreachable if nothing answers.
type Client struct {
	socket string
	http   *http.Client
}

var _ Backend = (*Client)(nil)

// Dial returns a client; it connects at the first call.
func Dial(socket string) *Client {
	c := &Client{socket: socket}
	c.http = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) }}}
	return c
}

func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.socket)
	if err != nil {
		return nil, &market.Error{Code: "node-unreachable", Kind: market.KindUnavailable, Op: "reach node", Detail: "no node answers at " + c.socket, Hint: "gpuai node start", Err: err}
	}
	return conn, nil
}

func (c *Client) do(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://node/api/v1"+path, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var e *market.Error
		if errors.As(err, &e) {
			return nil, e
		}
		return nil, fmt.Errorf("ask node: %w", err)
	}
	if resp.StatusCode >= 400 {
		defer resp.Body.Close()
		return nil, problemFrom(resp)
	}
	return resp, nil
}

func problemFrom(resp *http.Response) error {
	var p Problem
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&p); err != nil || p.Code == "" {
		return fmt.Errorf("node answered %s", resp.Status)
	}
	return p.Err()
}

func call[A any](ctx context.Context, c *Client, method, path string, body any) (a A, err error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return a, fmt.Errorf("encode request: %w", err)
		}
		r = bytes.NewReader(b)
	}
	resp, err := c.do(ctx, method, path, r)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return a, fmt.Errorf("read answer: %w", err)
	}
	return a, nil
}

func order(id, rest string) string { return "/orders/" + url.PathEscape(id) + rest }

// Status implements Backend.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return call[Status](ctx, c, "GET", "/status", nil)
}

// Offers implements Backend.
func (c *Client) Offers(ctx context.Context) ([]Offer, error) {
	l, err := call[offerList](ctx, c, "GET", "/offers", nil)
	return l.Offers, err
}

// Plan implements Backend.
func (c *Client) Plan(ctx context.Context, r OrderRequest) (Plan, error) {
	return call[Plan](ctx, c, "POST", "/plans", r)
}

// CreateOrder implements Backend.
func (c *Client) CreateOrder(ctx context.Context, r OrderRequest) (Order, error) {
	return call[Order](ctx, c, "POST", "/orders", r)
}

// PutInputs implements Backend.
func (c *Client) PutInputs(ctx context.Context, id string, r io.Reader) error {
	resp, err := c.do(ctx, "PUT", order(id, "/inputs"), r)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Orders implements Backend.
func (c *Client) Orders(ctx context.Context, all bool) ([]Order, error) {
	l, err := call[orderList](ctx, c, "GET", "/orders?all="+strconv.FormatBool(all), nil)
	return l.Orders, err
}

// Order implements Backend.
func (c *Client) Order(ctx context.Context, id string) (Order, error) {
	return call[Order](ctx, c, "GET", order(id, ""), nil)
}

// StopOrder implements Backend.
func (c *Client) StopOrder(ctx context.Context, id string, now bool) error {
	_, err := call[none](ctx, c, "POST", order(id, "/stop?now="+strconv.FormatBool(now)), nil)
	return err
}

// Logs implements Backend.
func (c *Client) Logs(ctx context.Context, id string, since time.Time, follow bool, f func(stream uint8, t time.Time, data []byte) error) error {
	q := "/logs?follow=" + strconv.FormatBool(follow)
	if !since.IsZero() {
		q += "&since=" + strconv.FormatInt(since.UnixMilli(), 10)
	}
	resp, err := c.do(ctx, "GET", order(id, q), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = readStream(bufio.NewReader(resp.Body), func(stream uint8, b []byte) error {
		if len(b) < 8 {
			return io.ErrUnexpectedEOF
		}
		return f(stream, time.UnixMilli(int64(binary.BigEndian.Uint64(b))), b[8:])
	})
	return err
}

// readStream gives frames to f until the end frame.
func readStream(r io.Reader, f func(stream uint8, b []byte) error) (exit int, err error) {
	for {
		stream, b, err := readFrame(r)
		switch {
		case err != nil:
			return 0, fmt.Errorf("stream of the node was cut: %w", err)
		case stream == frameExit && len(b) == 4:
			return int(int32(binary.BigEndian.Uint32(b))), nil
		case stream == frameError:
			var p Problem
			if err := json.Unmarshal(b, &p); err != nil {
				return 0, fmt.Errorf("read problem: %w", err)
			}
			return 0, p.Err()
		}
		if err := f(stream, b); err != nil {
			return 0, err
		}
	}
}

// Exec implements Backend. A stdin that blocks forever keeps one goroutine until the process ends.
func (c *Client) Exec(ctx context.Context, id string, argv []string, tty bool, stdin io.Reader, out func(stream uint8, b []byte) error) (int, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	q := url.Values{"arg": argv, "tty": {strconv.FormatBool(tty)}}
	req, err := http.NewRequestWithContext(ctx, "POST", "http://node/api/v1"+order(id, "/exec?"+q.Encode()), nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "gpuai-exec")
	if err := req.Write(conn); err != nil {
		return 0, fmt.Errorf("ask node: %w", err)
	}
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, req)
	if err != nil {
		return 0, fmt.Errorf("read answer: %w", err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return 0, problemFrom(resp)
	}
	var wg sync.WaitGroup // not waited for: a terminal's read cannot be cancelled
	wg.Go(func() { sendStdin(conn, stdin) })
	return readStream(br, out)
}

func sendStdin(w io.Writer, stdin io.Reader) {
	fw := &frameWriter{w: w}
	if stdin == nil {
		stdin = strings.NewReader("")
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := stdin.Read(buf)
		if n > 0 && fw.write(frameStdin, buf[:n]) != nil {
			return
		}
		if err != nil {
			_ = fw.write(frameEOF, nil) // the node is gone if this fails
			return
		}
	}
}

// GetOutputs implements Backend.
func (c *Client) GetOutputs(ctx context.Context, id string, w io.Writer) error {
	resp, err := c.do(ctx, "GET", order(id, "/outputs"), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(w, resp.Body)
	return err
}

// Receipt implements Backend.
func (c *Client) Receipt(ctx context.Context, id string) (Receipt, error) {
	return call[Receipt](ctx, c, "GET", order(id, "/receipt"), nil)
}

// Wallet implements Backend.
func (c *Client) Wallet(ctx context.Context) (Wallet, error) {
	return call[Wallet](ctx, c, "GET", "/wallet", nil)
}

// WalletNew implements Backend.
func (c *Client) WalletNew(ctx context.Context) (Wallet, error) {
	return call[Wallet](ctx, c, "POST", "/wallet", nil)
}

// Airdrop implements Backend.
func (c *Client) Airdrop(ctx context.Context, amount market.Amount) (Wallet, error) {
	return call[Wallet](ctx, c, "POST", "/wallet/airdrop", amountBody{Amount: amount})
}

// Withdraw implements Backend.
func (c *Client) Withdraw(ctx context.Context, to string, amount market.Amount, all bool) (Transfer, error) {
	return call[Transfer](ctx, c, "POST", "/wallet/withdraw", amountBody{To: to, Amount: amount, All: all})
}

// Channels implements Backend.
func (c *Client) Channels(ctx context.Context) ([]Channel, error) {
	l, err := call[channelList](ctx, c, "GET", "/channels", nil)
	return l.Channels, err
}

// CloseChannel implements Backend.
func (c *Client) CloseChannel(ctx context.Context, addr string) (Channel, error) {
	return call[Channel](ctx, c, "POST", "/channels/"+url.PathEscape(addr)+"/close", nil)
}

// Provider implements Backend.
func (c *Client) Provider(ctx context.Context) (Provider, error) {
	return call[Provider](ctx, c, "GET", "/provider", nil)
}

// ProviderSell implements Backend.
func (c *Client) ProviderSell(ctx context.Context, on bool) (Provider, error) {
	verb := "pause"
	if on {
		verb = "resume"
	}
	return call[Provider](ctx, c, "POST", "/provider/"+verb, nil)
}

// ProviderLeases implements Backend.
func (c *Client) ProviderLeases(ctx context.Context) ([]Lease, error) {
	l, err := call[leaseList](ctx, c, "GET", "/provider/leases", nil)
	return l.Leases, err
}

// Shutdown implements Backend.
func (c *Client) Shutdown(ctx context.Context, endLeases bool) error {
	_, err := call[none](ctx, c, "POST", "/shutdown?end_leases="+strconv.FormatBool(endLeases), nil)
	return err
}
