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

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rest"
)

// Client is a Backend over the socket, in the parts that Backend has. Errors of the node are *market.Error;
// node-unreachable if nothing answers.
type Client struct {
	*link
	controlClient
	ordersClient
	filesClient
	leasesClient
	spendingClient
	sellingClient
	networkClient
}

var _ Backend = (*Client)(nil)

// link is the way to the node, which the parts of a Client share.
type link struct {
	network, address string // as net.Dial takes them
	token            string // "" on a socket: who may open it may call
	http             *http.Client
}

type (
	controlClient  struct{ *link }
	ordersClient   struct{ *link }
	filesClient    struct{ *link }
	leasesClient   struct{ *link }
	spendingClient struct{ *link }
	sellingClient  struct{ *link }
	networkClient  struct{ *link }
)

// Transport is put around the way to the node of each client that is dialled later. A test that sets it sees every
// answer.
var Transport = func(rt http.RoundTripper) http.RoundTripper { return rt }

// Dial returns a client of a node's socket; it connects at the first call.
func Dial(socket string) *Client { return dial(&link{network: "unix", address: socket}) }

// DialTCP is Dial of a node's api.listen, as 127.0.0.1:7072, with its token.
func DialTCP(address, token string) *Client {
	return dial(&link{network: "tcp", address: address, token: token})
}

func dial(l *link) *Client {
	l.http = &http.Client{Transport: Transport(&http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return l.dial(ctx) },
	})}
	return &Client{
		l, controlClient{l}, ordersClient{l}, filesClient{l}, leasesClient{l}, spendingClient{l}, sellingClient{l},
		networkClient{l},
	}
}

func (c *link) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, c.network, c.address)
	if err != nil {
		return nil, &market.Error{Code: market.CodeNodeUnreachable, Kind: market.KindUnavailable, Op: "reach node",
			Detail: "no node answers at " + c.address, Hint: "gpuai node start", Err: err}
	}
	return conn, nil
}

func (c *link) do(ctx context.Context, method, path string, body io.Reader, header ...string) (*http.Response,
	error) {
	host := "node"
	if c.network == "tcp" {
		host = c.address
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+host+Base+path, body)
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
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
func (c *link) cutOff(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &market.Error{
		Code: market.CodeNodeUnreachable, Kind: market.KindUnavailable, Op: "ask node", Err: err,
		Detail: "the node at " + c.address + " went away in the middle of an answer; what it had begun goes on when " +
			"it runs again", Hint: "gpuai node start",
	}
}

func problemFrom(resp *http.Response) error {
	var p rest.Problem
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&p); err != nil || p.Code == "" {
		return fmt.Errorf("node answered %s", resp.Status)
	}
	return p.Err()
}

// call asks for a document. header: names and values in turn.
func call[A any](ctx context.Context, c *link, method, path string, body any, header ...string) (a A, err error) {
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
func create[A any](ctx context.Context, c *link, path string, body any) (A, error) {
	return call[A](ctx, c, "POST", path, body, "Idempotency-Key", rand.Text())
}

// all collects the pages of a list.
func all[L, T any](ctx context.Context, c *link, path string, of func(L) (items []T, cursor string)) ([]T, error) {
	out, _, err := some(ctx, c, path, "", 0, of)
	return out, err
}

// some fetches at most n items of a list, 0: all, that come after a cursor, and says what continues it.
func some[L, T any](ctx context.Context, c *link, path, cursor string, n int, of func(L) (items []T, cursor string)) (
	out []T, next string, err error) {
	out = []T{}
	for {
		most := rest.MaxLimit
		if n > 0 {
			most = min(most, n-len(out))
		}
		l, err := call[L](ctx, c, "GET", path+"limit="+strconv.Itoa(most)+"&cursor="+url.QueryEscape(cursor), nil)
		if err != nil {
			return nil, "", err
		}
		items, next := of(l)
		if out = append(out, items...); next == "" || n > 0 && len(out) >= n {
			return out, next, nil
		}
		cursor = next
	}
}

// wait follows an operation to its end and reads its result.
func wait[A any](ctx context.Context, c *link, op rest.Operation, err error) (a A, _ error) {
	if err == nil && op.State == "running" {
		op, err = c.follow(ctx, op)
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
func (c ordersClient) Operation(ctx context.Context, id string) (rest.Operation, error) {
	return call[rest.Operation](ctx, c.link, "GET", "/operations/"+url.PathEscape(id), nil)
}

func lease(id, rest string) string { return "/leases/" + url.PathEscape(id) + rest }

func order(id, rest string) string { return "/orders/" + url.PathEscape(id) + rest }

// Status implements Control.
func (c controlClient) Status(ctx context.Context) (Status, error) {
	return call[Status](ctx, c.link, "GET", "/status", nil)
}

// Offers implements Orders.
func (c ordersClient) Offers(ctx context.Context, by market.Sort) ([]Offer, error) {
	return all(ctx, c.link, "/offers?sort="+url.QueryEscape(by.String())+"&",
		func(l offerList) ([]Offer, string) { return l.Offers, l.Cursor })
}

// Depth implements Orders.
func (c ordersClient) Depth(ctx context.Context, class string) (Depth, error) {
	return call[Depth](ctx, c.link, "GET", "/book/"+url.PathEscape(class), nil)
}

// Plan implements Orders.
func (c ordersClient) Plan(ctx context.Context, r OrderRequest) (Plan, error) {
	return call[Plan](ctx, c.link, "POST", "/plans", r)
}

// CreateOrder implements Orders.
func (c ordersClient) CreateOrder(ctx context.Context, r OrderRequest) (Order, error) {
	return call[Order](ctx, c.link, "POST", "/orders", r, "Idempotency-Key", r.Key)
}

// PutInputs implements Files.
func (c filesClient) PutInputs(ctx context.Context, id string, r io.Reader) error {
	resp, err := c.do(ctx, "PUT", order(id, "/inputs/0"), r, "Content-Type", "application/x-tar")
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Orders implements Orders.
func (c ordersClient) Orders(ctx context.Context, o OrderQuery) ([]Order, error) {
	q := url.Values{"all": {strconv.FormatBool(o.All)}, "label": o.Labels}
	if o.Name != "" {
		q.Set("name", o.Name)
	}
	if o.Newest > 0 {
		q["newest"], q["limit"] = []string{"true"}, []string{strconv.Itoa(min(o.Newest, rest.MaxLimit))}
		l, err := call[orderList](ctx, c.link, "GET", "/orders?"+q.Encode(), nil)
		return l.Orders, err
	}
	return all(ctx, c.link, "/orders?"+q.Encode()+"&",
		func(l orderList) ([]Order, string) { return l.Orders, l.Cursor })
}

// Order implements Orders.
func (c ordersClient) Order(ctx context.Context, id string) (Order, error) {
	return call[Order](ctx, c.link, "GET", order(id, ""), nil)
}

// RaiseCap implements Orders.
func (c ordersClient) RaiseCap(ctx context.Context, id string, amount market.Amount) (Order, error) {
	return call[Order](ctx, c.link, "PUT", order(id, "/cap"), capBody{Lamports(amount)})
}

// StopOrder implements Orders.
func (c ordersClient) StopOrder(ctx context.Context, id string, now bool) error {
	_, err := call[done](ctx, c.link, "POST", order(id, "/stop?now="+strconv.FormatBool(now)), nil)
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
			var p rest.Problem
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

// Exec implements Leases. A stdin that blocks forever keeps one goroutine until the process ends.
func (c leasesClient) Exec(ctx context.Context, id string, argv []string, tty *Terminal, stdin io.Reader,
	out func(stream uint8, b []byte) error) (int, error) {
	q := url.Values{"arg": argv}
	tty.query(q)
	resp, err := c.do(ctx, "POST", lease(id, "/exec?"+q.Encode()), nil, "Connection", "Upgrade", "Upgrade",
		"gpuai-exec")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	conn, ok := resp.Body.(io.ReadWriter)
	if !ok {
		return 0, c.cutOff(ctx, errCut)
	}
	stop := context.AfterFunc(ctx, func() { _ = resp.Body.Close() })
	defer stop()
	var wg sync.WaitGroup // not waited for: a terminal's read cannot be cancelled
	fw := &frameWriter{w: conn}
	wg.Go(func() { sendStdin(fw, stdin) })
	over, end := context.WithCancel(ctx)
	defer end()
	if tty != nil && tty.Resized != nil {
		wg.Go(func() { sendSizes(over, fw, tty.Resized) })
	}
	exit, err := readStream(bufio.NewReader(conn), out)
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

// GetOutputs implements Files.
func (c filesClient) GetOutputs(ctx context.Context, id string, every bool, w io.Writer) error {
	path := order(id, "/outputs/0")
	if every {
		path += "?all=true"
	}
	resp, err := c.do(ctx, "GET", path, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err = io.Copy(w, resp.Body); err != nil && isCut(err) {
		return c.cutOff(ctx, err)
	}
	return err
}

// Receipt implements Leases.
func (c leasesClient) Receipt(ctx context.Context, id string) (Receipt, error) {
	return call[Receipt](ctx, c.link, "GET", order(id, "/receipt"), nil)
}

// Wallet implements Spending.
func (c spendingClient) Wallet(ctx context.Context) (Wallet, error) {
	return call[Wallet](ctx, c.link, "GET", "/wallet", nil)
}

// WalletNew implements Spending.
func (c spendingClient) WalletNew(ctx context.Context) (Wallet, error) {
	return create[Wallet](ctx, c.link, "/wallet", nil)
}

// Airdrop implements Spending.
func (c spendingClient) Airdrop(ctx context.Context, amount market.Amount) (Wallet, error) {
	op, err := create[rest.Operation](ctx, c.link, "/wallet/airdrop", amountBody{Amount: Lamports(amount)})
	return wait[Wallet](ctx, c.link, op, err)
}

// Withdraw implements Spending.
func (c spendingClient) Withdraw(ctx context.Context, w Withdrawal) (Transfer, error) {
	op, err := call[rest.Operation](ctx, c.link, "POST", "/wallet/withdraw",
		amountBody{To: w.To, Amount: Lamports(w.Amount), All: w.All}, "Idempotency-Key", w.Key)
	return wait[Transfer](ctx, c.link, op, err)
}

// Channels implements Spending.
func (c spendingClient) Channels(ctx context.Context) ([]Channel, error) {
	return all(ctx, c.link, "/channels?", func(l channelList) ([]Channel, string) { return l.Channels, l.Cursor })
}

// CloseChannel implements Spending.
func (c spendingClient) CloseChannel(ctx context.Context, addr string) (Channel, error) {
	op, err := call[rest.Operation](ctx, c.link, "POST", "/channels/"+url.PathEscape(addr)+"/close", nil)
	return wait[Channel](ctx, c.link, op, err)
}

// Shutdown implements Control.
func (c controlClient) Shutdown(ctx context.Context, endLeases bool) error {
	_, err := call[done](ctx, c.link, "POST", "/shutdown?end_leases="+strconv.FormatBool(endLeases), nil)
	return err
}

// PatchProvider implements Selling.
func (c sellingClient) PatchProvider(ctx context.Context, p ProviderPatch) error {
	_, err := call[Provider](ctx, c.link, "PATCH", "/provider", p)
	return err
}

// Leases implements Leases.
func (c leasesClient) Leases(ctx context.Context) ([]Lease, error) {
	return all(ctx, c.link, "/leases?", func(l leaseList) ([]Lease, string) { return l.Leases, l.Cursor })
}

// Lease implements Leases.
func (c leasesClient) Lease(ctx context.Context, id string) (Lease, error) {
	return call[Lease](ctx, c.link, "GET", lease(id, ""), nil)
}

// LeaseReceipts implements Leases.
func (c leasesClient) LeaseReceipts(ctx context.Context, id string) ([]LeaseReceipt, error) {
	return all(ctx, c.link, lease(id, "/receipts?"), func(l receiptList) ([]LeaseReceipt, string) {
		return l.Receipts,
			l.Cursor
	})
}

// LeaseOutcome implements Leases.
func (c leasesClient) LeaseOutcome(ctx context.Context, id string) (LeaseOutcome, error) {
	return call[LeaseOutcome](ctx, c.link, "GET", lease(id, "/outcome"), nil)
}

// Health implements Control.
func (c controlClient) Health(ctx context.Context) (Doctor, error) {
	return call[Doctor](ctx, c.link, "GET", "/health", nil)
}

// Doctor implements Control.
func (c controlClient) Doctor(ctx context.Context, r DoctorRequest) (Doctor, error) {
	return call[Doctor](ctx, c.link, "POST", "/doctor", r)
}

// Config implements Control.
func (c controlClient) Config(ctx context.Context) (Settings, error) {
	return call[Settings](ctx, c.link, "GET", "/config", nil)
}

// PatchConfig implements Control.
func (c controlClient) PatchConfig(ctx context.Context, p SettingsPatch) ([]string, error) {
	got, err := call[Settings](ctx, c.link, "PATCH", "/config", p)
	return got.Restart, err
}
