package docker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
)

const (
	followAgain  = 100 * time.Millisecond
	followMost   = 5 * time.Second
	readTries    = 10 // of a log that is over and cannot be read
	maxLogLine   = 1 << 20
	logTimestamp = len("2006-01-02T15:04:05.000000000Z")
)

// access reaches into jobs.
type access struct {
	*jobs
	mu    sync.Mutex
	execs map[job.Key]int // that run
}

// Logs implements job.Access. A stream that the engine drops, at a rotation or by a restart, is taken up again.
func (ac *access) Logs(ctx context.Context, k job.Key, from uint64, follow bool,
	f func(job.LogRecord) error) (job.LogEnd, error) {
	rd := &logReader{next: from, rawAt: from, f: f}
	for wait, failed := followAgain, 0; ; wait = min(2*wait, followMost) {
		c, err := ac.inspect(ctx, ac.name(k, "job"))
		over := false
		if err == nil {
			if c == nil {
				return rd.stand(), &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "read logs",
					Detail: "the job has no container", Hint: "gpuai ps"}
			}
			rd.framed = slices.Contains(c.Config.Entrypoint, modeCapture)
			over = !c.State.Running && c.State.Status != "created"
			before := rd.next
			err = ac.pass(ctx, c.ID, rd, follow && !over)
			if rd.next != before {
				wait, failed = followAgain, 0
			}
		}
		var stop stopLogs
		switch {
		case errors.As(err, &stop):
			return rd.stand(), stop.err
		case ctx.Err() != nil:
			return rd.stand(), ctx.Err()
		case rd.ended:
			return job.LogEnd{Total: rd.next, Over: true, Whole: true}, nil
		case errors.Is(err, errReadAgain):
			err, wait = nil, 0
		case err != nil && (!follow || over && failed >= readTries):
			return rd.stand(), engineError("read logs", err)
		case err != nil:
			failed++
		case over && rd.partial: // what the engine's clock left out is in a whole pass
			rd.whole, wait = true, 0
		case over:
			return job.LogEnd{Total: rd.next, Over: true, Whole: !rd.framed && rd.rawHere >= rd.next}, nil
		case !follow:
			return rd.stand(), nil
		}
		if err == nil && wait > followAgain { // it is the engine that is away, not the job that is quiet
			wait = followAgain
		}
		if err := pause(ctx, wait); err != nil {
			return rd.stand(), err
		}
		wait = max(wait, followAgain)
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// stopLogs is the reader's own end.
type stopLogs struct{ err error }

func (s stopLogs) Error() string { return s.err.Error() }

// pass reads the engine's copy once, from the beginning or from a little before the last record.
func (ac *access) pass(ctx context.Context, id string, rd *logReader, follow bool) error {
	o := container.LogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Follow: follow}
	if since := rd.begin(); !since.IsZero() {
		o.Since = fmt.Sprintf("%d.%09d", since.Unix(), since.Nanosecond())
	}
	return ac.readLogs(ctx, id, o, func(stream byte, b []byte) error {
		at, data := stamp(b)
		return rd.take(stream, at, data)
	})
}

// stamp splits the engine's time from a message.
func stamp(b []byte) (time.Time, []byte) {
	i := bytes.IndexByte(b[:min(len(b), logTimestamp+6)], ' ')
	if i < 0 {
		return time.Time{}, b
	}
	at, err := time.Parse(time.RFC3339Nano, string(b[:i]))
	if err != nil {
		return time.Time{}, b
	}
	return at, b[i+1:]
}

// demux reads the engine's frames (stream, 3 zeros, length, payload): each is one message, which the usual helper would
// not tell.
func demux(r io.Reader, f func(stream byte, b []byte) error) error {
	br := bufio.NewReader(r)
	var h [8]byte
	for {
		if _, err := io.ReadFull(br, h[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		n := binary.BigEndian.Uint32(h[4:])
		if n > maxLogLine || h[0] > 3 {
			return fmt.Errorf("frame %d of %d bytes", h[0], n)
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(br, b); err != nil {
			return err
		}
		if h[0] == 3 {
			return fmt.Errorf("engine: %s", cut(string(b)))
		}
		if err := f(h[0], b); err != nil {
			return err
		}
	}
}
