package customer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/tunnel"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/streams"
	"github.com/gpuai/gpuai/runtime/spec"
)

// LeftOut is what did not travel, and why; More others are not named.
type LeftOut struct {
	Skipped []spec.Skipped `json:"Skipped,omitempty"`
	More    int            `json:"More,omitempty"`
}

func (l *LeftOut) add(m spec.Manifest) {
	l.Skipped, l.More = append(l.Skipped, m.Skipped...), l.More+m.More
}

// Files is what became of an order's files; all fields are optional in a stored row.
type Files struct {
	Inputs        LeftOut     `json:"Inputs"`
	Outputs       LeftOut     `json:"Outputs"`
	Missing       []string    `json:"Missing,omitempty"` // declared outputs that the job has not made
	Failure       market.Code `json:"Failure,omitempty"` // code: why the outputs can never be here
	FailureDetail string      `json:"FailureDetail,omitempty"`
	Stay          []string    `json:"Stay,omitempty"` // declared outputs that do not leave this node, by StayWhy
	StayWhy       string      `json:"StayWhy,omitempty"`
	Fetched       time.Time   `json:"Fetched"` // when the outputs were last read from the spool
	Dropped       time.Time   `json:"Dropped"` // when the spool gave them up
}

// transfers move an order's files. Each direction is an effect of its own, and one goroutine's at a time.
type transfers struct {
	r           *orderRun
	told, tried market.Code // the last failures to send inputs and to fetch outputs
	sent        sent
}

// sent counts the input bytes that have left; the order's progress shows them.
type sent struct{ bytes, size atomic.Uint64 }

func (s *sent) Write(b []byte) (int, error) {
	s.bytes.Add(uint64(len(b)))
	return len(b), nil
}

// neverTaken are answers to inputs that no repeat changes: the order ends with them.
var neverTaken = map[market.Code]bool{market.CodeInputTooBig: true, market.CodeTooLarge: true,
	market.CodeInputHash: true, market.CodeInputLost: true}

// push sends the spooled tar through the lease's tunnel, and frees the spool once it is staged. What can never be
// taken ends the lease; all else is tried again, and its reason is a step of the order.
func (t *transfers) push(ctx context.Context, o orderRow) error {
	r := t.r
	if !o.Request.HasInputs() || o.InputsSent {
		return nil
	}
	man, err := t.send(ctx, o)
	code := market.CodeOf(err)
	switch {
	case err == nil || code == market.CodeInputsStaged:
		err := r.update(ctx, func(o *orderRow) {
			o.InputsSent = true
			if man != nil {
				o.Files.Inputs.add(*man)
			}
		})
		if err == nil {
			if len(o.Lost) >= o.Terms.Retry { // another attempt would need them again
				r.c.Spool.freeInputs(o.ID)
			}
		}
		return err
	case neverTaken[code]:
		r.hire.event(ctx, market.StopAsked{By: market.CustomerSide, Code: code, Detail: err.Error(), Grace: -1})
		return nil
	case ctx.Err() == nil && code != "" && t.told != code:
		t.told = code
		r.say(ctx, "inputs", err.Error())
	}
	return errors.New(err.Error()) // no refusal: it is tried again
}

func (t *transfers) send(ctx context.Context, o orderRow) (*spec.Manifest, error) {
	f, err := os.Open(t.r.c.Spool.Inputs(o.ID))
	if errors.Is(err, os.ErrNotExist) {
		return nil, &market.Error{Code: market.CodeInputLost, Kind: market.KindNotFound, Op: "send inputs",
			Detail: "this node has lost them", Hint: "order it again"}
	}
	if err != nil {
		return nil, fmt.Errorf("open inputs: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open inputs: %w", err)
	}
	size := uint64(info.Size())
	t.sent.bytes.Store(0)
	t.sent.size.Store(size)
	args, err := json.Marshal(tunnel.PutArgs{Total: o.Request.InputBytes})
	if err != nil {
		return nil, err
	}
	c, err := t.r.c.net.Tunnel(ctx, o.Provider,
		streams.TunnelOpen{Lease: o.Lease.ID, Kind: streams.TunnelPut, Args: args})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if c.Relayed() && size > p2p.RelayFiles {
		return nil, tooLargeForRelay("inputs", size)
	}
	stop := context.AfterFunc(ctx, c.Abort)
	defer stop()
	return exchange(c, io.TeeReader(f, &t.sent))
}

// errAnswered ends a sender whose peer has said something.
var errAnswered = errors.New("the provider has answered")

// exchange sends an archive and reads the answer meanwhile: one that comes early is a refusal, and ends the sending.
func exchange(c *streams.FrameConn, archive io.Reader) (*spec.Manifest, error) {
	type answer struct {
		ctl tunnel.Control
		err error
	}
	answers, early := make(chan answer, 1), make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		ctl, err := readControl(c)
		answers <- answer{ctl, err}
		close(early)
	})
	_, err := io.Copy(c.Writer(streams.ChanIn), readerFunc(func(b []byte) (int, error) {
		select {
		case <-early:
			return 0, errAnswered
		default:
			return archive.Read(b)
		}
	}))
	if err == nil || errors.Is(err, errAnswered) {
		err = c.Write(streams.ChanIn, nil) // the end, also of a sending that was cut: the peer drains
	}
	if err != nil {
		_ = c.SetDeadline(time.Now().Add(answerWithin)) // what it said before the stream broke is why
	}
	a := <-answers
	if a.err != nil {
		return nil, fmt.Errorf("send inputs: %w", cmp.Or(err, a.err))
	}
	return a.ctl.Manifest, a.ctl.Err()
}

// answerWithin is how long a sender whose stream has broken waits for the reason.
const answerWithin = 5 * time.Second

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// archiveReader reads an archive from a tunnel; what the provider says instead of the rest of it is the error.
type archiveReader struct {
	c    *streams.FrameConn
	buf  []byte
	rest []byte // of buf
	end  bool
}

func (r *archiveReader) Read(b []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.end {
			return 0, io.EOF
		}
		ch, data, err := r.c.ReadInto(r.buf)
		switch {
		case errors.Is(err, io.EOF):
			return 0, io.ErrUnexpectedEOF // the end is an empty frame
		case err != nil:
			return 0, err
		case ch == streams.ChanControl:
			ctl, err := tunnel.DecodeControl(data)
			return 0, cmp.Or(err, ctl.Err(), errors.New("the archive ends early"))
		}
		r.buf, r.rest, r.end = data, data, len(data) == 0
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func readControl(c *streams.FrameConn) (tunnel.Control, error) {
	ch, b, err := c.Read()
	if err != nil {
		return tunnel.Control{}, err
	}
	if ch != streams.ChanControl {
		return tunnel.Control{}, fmt.Errorf("frame on channel %d, want control", ch)
	}
	return tunnel.DecodeControl(b)
}

// fetch brings the outputs home and checks them against the root that the provider signed.
func (t *transfers) fetch(ctx context.Context) error {
	r := t.r
	o := r.snapshot()
	if len(o.Request.File.Outputs) == 0 {
		r.hire.event(ctx, market.OutputsVerified{})
		return nil
	}
	out, err := agreement{&r.hire}.peer(ctx)
	if err != nil {
		return err
	}
	if !wasReady(out) {
		r.hire.event(ctx, market.OutputsVerified{})
		return nil
	}
	if err := t.stay(ctx, &o, out); err != nil {
		return err
	}
	if out.OutputsRoot == ([32]byte{}) {
		return t.none(ctx, market.CodeOutputLost, "the provider has signed that it cannot give them")
	}
	if t.have(o, out.OutputsRoot) { // brought home before this store was put back
		r.hire.event(ctx, market.OutputsVerified{Root: out.OutputsRoot})
		return nil
	}
	if t.tried == market.CodeNeedsDirect { // what a relay does not carry is not begun again over one
		if relayed, err := r.c.net.Relayed(ctx, o.Provider, nil); relayed || err != nil {
			return cmp.Or(err, errStillRelayed)
		}
	}
	man, err := t.download(ctx, o)
	switch code := market.CodeOf(err); {
	case code == market.CodeOutputLost || code == market.CodeOutputTooBig:
		return t.none(ctx, code, err.Error())
	case errors.Is(err, spec.ErrArchive):
		return t.none(ctx, market.CodeOutputLost, err.Error())
	case err != nil:
		if code != "" && code != t.tried && ctx.Err() == nil {
			t.tried = code
			r.say(ctx, "outputs", waiting(err))
		}
		return errors.New(err.Error()) // no refusal: it is tried again
	}
	if man.ID() != out.OutputsRoot {
		return fmt.Errorf("outputs are %x, the provider signed %x", man.ID(), out.OutputsRoot)
	}
	path := r.c.Spool.Outputs(o.ID)
	if err := os.Rename(path+partEnd, path); err != nil {
		return fmt.Errorf("keep outputs: %w", err)
	}
	var paths []string
	for _, p := range o.Request.File.Outputs {
		if !o.Files.Stays(p) {
			paths = append(paths, p.Path)
		}
	}
	if err := r.update(ctx, func(o *orderRow) {
		o.Files.Missing, o.Files.Outputs = man.Missing(paths), LeftOut{man.Skipped, man.More}
		o.Files.Failure, o.Files.FailureDetail = "", ""
		if len(man.Entries) == 0 || len(paths) == 0 { // nobody needs to fetch nothing
			o.Files.Fetched = r.c.now()
		}
	}); err != nil {
		return err
	}
	r.hire.event(ctx, market.OutputsVerified{Root: man.ID()})
	r.c.Spool.look()
	return nil
}

// have reports that the outputs of that root are here already, whole.
func (t *transfers) have(o orderRow, root [32]byte) bool {
	f, err := os.Open(t.r.c.Spool.Outputs(o.ID))
	if err != nil {
		return false
	}
	defer f.Close()
	man, err := spec.Filter(f, io.Discard,
		spec.Limits{Total: max(o.Request.File.Disk, 1<<30), Code: market.CodeOutputTooBig},
		nil)
	return err == nil && man.ID() == root
}

// none ends the wait for outputs that can never come. Too large ones are the job's own doing, the rest the
// provider's.
func (t *transfers) none(ctx context.Context, code market.Code, detail string) error {
	err := t.r.update(ctx, func(o *orderRow) { o.Files.Failure, o.Files.FailureDetail = code, detail })
	if err != nil {
		return err
	}
	t.r.hire.event(ctx, market.OutputsVerified{Lost: code == market.CodeOutputLost})
	return nil
}

// partEnd marks an archive that is not checked yet. Outputs may be outputsRoom times the granted disk, and outputsLeast
// in any case: files with holes are larger than what they take.
const (
	partEnd      = ".part"
	outputsRoom  = 2
	outputsLeast = 4 << 30
	maxPadding   = 1 << 20
)

// download writes the outputs' tar beside its place in the spool, re-made by us from checked entries.
func (t *transfers) download(ctx context.Context, o orderRow) (man spec.Manifest, err error) {
	c, err := t.r.c.net.Tunnel(ctx, o.Provider,
		streams.TunnelOpen{Lease: o.Lease.ID, Kind: streams.TunnelGet, Args: []byte("{}")})
	if err != nil {
		return man, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, c.Abort)
	defer stop()
	path := t.r.c.Spool.Outputs(o.ID)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return man, err
	}
	f, err := os.OpenFile(path+partEnd, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return man, err
	}
	defer f.Close()
	limit := max(outputsRoom*o.Request.File.Disk, outputsLeast)
	var archive io.Reader = &archiveReader{c: c}
	if c.Relayed() {
		archive = newRelayBound(archive)
	}
	man, err = spec.Filter(archive, f, spec.Limits{Total: limit, Code: market.CodeOutputTooBig}, nil)
	if err != nil {
		return man, fmt.Errorf("fetch outputs: %w", spec.Full(err, "free some space: gpuai spool"))
	}
	// what pads an archive comes before the list
	if n, err := io.Copy(io.Discard, io.LimitReader(archive, maxPadding)); err != nil || n == maxPadding {
		return man, fmt.Errorf("fetch outputs: %w", cmp.Or(err, spec.ErrArchive))
	}
	_ = c.SetDeadline(time.Now().Add(answerWithin))
	// an older provider's list may be cut: then it is not known
	if ctl, err := readControl(c); err == nil && ctl.Manifest != nil {
		for _, s := range ctl.Manifest.Skipped {
			man.Skip(s.Path, strings.ToValidUTF8(s.Why[:min(len(s.Why), 256)], "?"))
		}
		man.More += max(0, min(ctl.Manifest.More, spec.MaxEntries))
	}
	return man, f.Sync()
}
