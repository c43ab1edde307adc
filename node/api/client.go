package api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
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
	c.http = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn,
		error) {
		return c.dial(ctx)
	}}}
	return c
}

func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.socket)
	if err != nil {
		return nil, &market.Error{Code: "node-unreachable", Kind: market.KindUnavailable, Op: "reach node",
			Detail: "no node answers at " + c.socket, Hint: "gpuai node start", Err: err}
	}
	return conn, nil
}

func (c *Client) do(ctx context.Context, method, path string, body io.Reader, header ...string) (*http.Response,
	error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://node"+base+path, body)
	if err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var e *market.Error
		if errors.As(err, &e) {
			return nil, e
		}
		return nil, c.cutOff(ctx, err)
	}
	if resp.StatusCode >= 400 {
		defer resp.Body.Close()
		return nil, problemFrom(resp)
	}
	return resp, nil
}

// cutOff is the error of a node that took a call and did not answer it, or not to the end: it stopped, or was stopped.
func (c *Client) cutOff(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &market.Error{
		Code: "node-unreachable", Kind: market.KindUnavailable, Op: "ask node", Err: err,
		Detail: "the node at " + c.socket + " went away in the middle of an answer; what it had begun goes on when " +
			"it runs again", Hint: "gpuai node start",
	}
}

func problemFrom(resp *http.Response) error {
	var p Problem
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&p); err != nil || p.Code == "" {
		return fmt.Errorf("node answered %s", resp.Status)
	}
	return p.Err()
}

// call asks for a document. header: names and values in turn.
func call[A any](ctx context.Context, c *Client, method, path string, body any, header ...string) (a A, err error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return a, fmt.Errorf("encode request: %w", err)
		}
		r = bytes.NewReader(b)
		header = append(header, "Content-Type", "application/json")
	}
	resp, err := c.do(ctx, method, path, r, header...)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		if isCut(err) || ctx.Err() != nil {
			return a, c.cutOff(ctx, err)
		}
		return a, fmt.Errorf("read answer: %w", err)
	}
	return a, nil
}

// isCut tells a connection that ended from an answer that is wrong.
func isCut(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) ||
		errors.As(err, &op)
}

// create asks once for a key; a repeat of the call has another.
func create[A any](ctx context.Context, c *Client, path string, body any) (A, error) {
	return call[A](ctx, c, "POST", path, body, "Idempotency-Key", rand.Text())
}

// all collects the pages of a list.
func all[L, T any](ctx context.Context, c *Client, path string, of func(L) (items []T, cursor string)) ([]T, error) {
	out, cursor := []T{}, ""
	for {
		l, err := call[L](ctx, c, "GET", path+"limit="+strconv.Itoa(maxLimit)+cursor, nil)
		if err != nil {
			return nil, err
		}
		items, next := of(l)
		out = append(out, items...)
		if next == "" {
			return out, nil
		}
		cursor = "&cursor=" + url.QueryEscape(next)
	}
}

// operationPoll is how often the client looks at an operation.
const operationPoll = 100 * time.Millisecond

// wait follows an operation to its end and reads its result.
func wait[A any](ctx context.Context, c *Client, op Operation, err error) (a A, _ error) {
	for err == nil && op.State == "running" {
		select {
		case <-ctx.Done():
			return a, ctx.Err()
		case <-time.After(operationPoll):
		}
		op, err = c.Operation(ctx, op.ID)
	}
	if err != nil {
		return a, err
	}
	if op.Error != nil {
		return a, op.Error.Err()
	}
	if err := json.Unmarshal(op.Result, &a); err != nil {
		return a, fmt.Errorf("read result: %w", err)
	}
	return a, nil
}

// Operation is one by its id.
func (c *Client) Operation(ctx context.Context, id string) (Operation, error) {
	return call[Operation](ctx, c, "GET", "/operations/"+url.PathEscape(id), nil)
}

func lease(id, rest string) string { return "/leases/" + url.PathEscape(id) + rest }

func order(id, rest string) string { return "/orders/" + url.PathEscape(id) + rest }

// Status implements Backend.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return call[Status](ctx, c, "GET", "/status", nil)
}

// Offers implements Backend.
func (c *Client) Offers(ctx context.Context) ([]Offer, error) {
	return all(ctx, c, "/offers?", func(l offerList) ([]Offer, string) { return l.Offers, l.Cursor })
}

// Plan implements Backend.
func (c *Client) Plan(ctx context.Context, r OrderRequest) (Plan, error) {
	return call[Plan](ctx, c, "POST", "/plans", r)
}

// CreateOrder implements Backend.
func (c *Client) CreateOrder(ctx context.Context, r OrderRequest) (Order, error) {
	return call[Order](ctx, c, "POST", "/orders", r, "Idempotency-Key", r.Key)
}

// PutInputs implements Backend.
func (c *Client) PutInputs(ctx context.Context, id string, r io.Reader) error {
	resp, err := c.do(ctx, "PUT", order(id, "/inputs/0"), r, "Content-Type", "application/x-tar")
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Orders implements Backend.
func (c *Client) Orders(ctx context.Context, over bool) ([]Order, error) {
	return c.OrdersLabelled(ctx, over, nil)
}

// OrdersLabelled lists the orders that have all of these labels, each NAME=VALUE.
func (c *Client) OrdersLabelled(ctx context.Context, over bool, labels []string) ([]Order, error) {
	q := url.Values{"all": {strconv.FormatBool(over)}, "label": labels}
	return all(ctx, c, "/orders?"+q.Encode()+"&",
		func(l orderList) ([]Order, string) { return l.Orders, l.Cursor })
}

// Order implements Backend.
func (c *Client) Order(ctx context.Context, id string) (Order, error) {
	return call[Order](ctx, c, "GET", order(id, ""), nil)
}

// RaiseCap implements Orders.
func (c *Client) RaiseCap(ctx context.Context, id string, amount market.Amount) (Order, error) {
	return call[Order](ctx, c, "PUT", order(id, "/cap"), capBody{Lamports(amount)})
}

// StopOrder implements Backend.
func (c *Client) StopOrder(ctx context.Context, id string, now bool) error {
	_, err := call[done](ctx, c, "POST", order(id, "/stop?now="+strconv.FormatBool(now)), nil)
	return err
}

// errCut is a stream of the node that ended without its end frame.
var errCut = errors.New("stream of the node was cut")

// readStream gives frames to f until the end frame.
func readStream(r io.Reader, f func(stream uint8, b []byte) error) (exit int, err error) {
	for {
		stream, b, err := readFrame(r)
		switch {
		case err != nil:
			return 0, fmt.Errorf("%w: %w", errCut, err)
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
func (c *Client) Exec(ctx context.Context, id string, argv []string, tty *Terminal, stdin io.Reader,
	out func(stream uint8, b []byte) error) (int, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	q := url.Values{"arg": argv}
	tty.query(q)
	req, err := http.NewRequestWithContext(ctx, "POST", "http://node"+base+lease(id, "/exec?"+q.Encode()), nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "gpuai-exec")
	if err := req.Write(conn); err != nil {
		return 0, c.cutOff(ctx, err)
	}
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, req)
	if err != nil {
		return 0, c.cutOff(ctx, err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return 0, problemFrom(resp)
	}
	var wg sync.WaitGroup // not waited for: a terminal's read cannot be cancelled
	fw := &frameWriter{w: conn}
	wg.Go(func() { sendStdin(fw, stdin) })
	over, end := context.WithCancel(ctx)
	defer end()
	if tty != nil && tty.Resized != nil {
		wg.Go(func() { sendSizes(over, fw, tty.Resized) })
	}
	exit, err := readStream(br, out)
	if errors.Is(err, errCut) {
		return 0, c.cutOff(ctx, err)
	}
	return exit, err
}

func sendSizes(ctx context.Context, fw *frameWriter, sizes <-chan [2]uint16) {
	for {
		select {
		case <-ctx.Done():
			return
		case s, ok := <-sizes:
			if !ok || fw.write(frameResize, encodeSize(s)) != nil {
				return
			}
		}
	}
}

func sendStdin(fw *frameWriter, stdin io.Reader) {
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
	resp, err := c.do(ctx, "GET", order(id, "/outputs/0"), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err = io.Copy(w, resp.Body); err != nil && isCut(err) {
		return c.cutOff(ctx, err)
	}
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
	return create[Wallet](ctx, c, "/wallet", nil)
}

// Airdrop implements Backend.
func (c *Client) Airdrop(ctx context.Context, amount market.Amount) (Wallet, error) {
	op, err := create[Operation](ctx, c, "/wallet/airdrop", amountBody{Amount: Lamports(amount)})
	return wait[Wallet](ctx, c, op, err)
}

// Withdraw implements Backend.
func (c *Client) Withdraw(ctx context.Context, w Withdrawal) (Transfer, error) {
	op, err := call[Operation](ctx, c, "POST", "/wallet/withdraw",
		amountBody{To: w.To, Amount: Lamports(w.Amount), All: w.All}, "Idempotency-Key", w.Key)
	return wait[Transfer](ctx, c, op, err)
}

// Channels implements Backend.
func (c *Client) Channels(ctx context.Context) ([]Channel, error) {
	return all(ctx, c, "/channels?", func(l channelList) ([]Channel, string) { return l.Channels, l.Cursor })
}

// CloseChannel implements Backend.
func (c *Client) CloseChannel(ctx context.Context, addr string) (Channel, error) {
	op, err := call[Operation](ctx, c, "POST", "/channels/"+url.PathEscape(addr)+"/close", nil)
	return wait[Channel](ctx, c, op, err)
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
	return all(ctx, c, "/provider/leases?", func(l leaseList) ([]Lease, string) { return l.Leases, l.Cursor })
}

// Shutdown implements Backend.
func (c *Client) Shutdown(ctx context.Context, endLeases bool) error {
	_, err := call[done](ctx, c, "POST", "/shutdown?end_leases="+strconv.FormatBool(endLeases), nil)
	return err
}

// PatchProvider implements Backend.
func (c *Client) PatchProvider(ctx context.Context, p ProviderPatch) error {
	_, err := call[Provider](ctx, c, "PATCH", "/provider", p)
	return err
}

// Leases implements Backend.
func (c *Client) Leases(ctx context.Context) ([]Lease, error) {
	return all(ctx, c, "/leases?", func(l leaseList) ([]Lease, string) { return l.Leases, l.Cursor })
}

// Lease implements Backend.
func (c *Client) Lease(ctx context.Context, id string) (Lease, error) {
	return call[Lease](ctx, c, "GET", lease(id, ""), nil)
}

// LeaseReceipts implements Backend.
func (c *Client) LeaseReceipts(ctx context.Context, id string) ([]LeaseReceipt, error) {
	return all(ctx, c, lease(id, "/receipts?"), func(l receiptList) ([]LeaseReceipt, string) {
		return l.Receipts,
			l.Cursor
	})
}

// LeaseOutcome implements Backend.
func (c *Client) LeaseOutcome(ctx context.Context, id string) (LeaseOutcome, error) {
	return call[LeaseOutcome](ctx, c, "GET", lease(id, "/outcome"), nil)
}

// Health implements Backend.
func (c *Client) Health(ctx context.Context) (Doctor, error) {
	return call[Doctor](ctx, c, "GET", "/health", nil)
}

// Doctor implements Backend.
func (c *Client) Doctor(ctx context.Context, r DoctorRequest) (Doctor, error) {
	return call[Doctor](ctx, c, "POST", "/doctor", r)
}

// Config implements Backend.
func (c *Client) Config(ctx context.Context) (Settings, error) {
	return call[Settings](ctx, c, "GET", "/config", nil)
}

// PatchConfig implements Backend.
func (c *Client) PatchConfig(ctx context.Context, p SettingsPatch) ([]string, error) {
	got, err := call[Settings](ctx, c, "PATCH", "/config", p)
	return got.Restart, err
}
