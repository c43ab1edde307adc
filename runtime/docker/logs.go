package docker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
)

const (
	maxRecord    = 16 << 10
	followAgain  = 200 * time.Millisecond
	maxLogLine   = 1 << 20
	logTimestamp = len("2006-01-02T15:04:05.000000000Z")
)

// Logs implements job.Access: records after since, oldest first. With follow it waits for more until the job has ended, and comes back
// when the engine drops the stream.
func (e *Engine) Logs(ctx context.Context, k job.Key, since time.Time, follow bool, f func(job.LogRecord) error) error {
	name := e.name(k, "job")
	last := since
	for {
		c, err := e.inspect(ctx, name)
		if err != nil {
			return engineError("read logs", err)
		}
		if c == nil {
			return &market.Error{Code: "not-found", Kind: market.KindNotFound, Op: "read logs", Detail: "the job has no container", Hint: "gpuai ps"}
		}
		over := !c.State.Running && c.State.Status != "created"
		o := container.LogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Follow: follow && !over}
		if !last.IsZero() {
			o.Since = fmt.Sprintf("%d.%09d", last.Unix(), last.Nanosecond())
		}
		err = e.readLogs(ctx, c.ID, o, func(stream byte, b []byte) error {
			at, data := stamp(b)
			if !last.IsZero() && !at.After(last) {
				return nil
			}
			last = at
			for len(data) > 0 {
				n := min(len(data), maxRecord)
				if err := f(job.LogRecord{Time: at, Stream: stream, Data: data[:n]}); err != nil {
					return stopLogs{err}
				}
				data = data[n:]
			}
			return nil
		})
		var stop stopLogs
		switch {
		case errors.As(err, &stop):
			return stop.err
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !follow:
			return engineError("read logs", err)
		case !follow || over:
			return nil
		}
		t := time.NewTimer(followAgain)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
	}
}

// stopLogs is the reader's own end.
type stopLogs struct{ err error }

func (s stopLogs) Error() string { return s.err.Error() }

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

func (e *Engine) readLogs(ctx context.Context, id string, o container.LogsOptions, f func(stream byte, b []byte) error) error {
	rc, err := e.api.ContainerLogs(ctx, id, o)
	if err != nil {
		return err
	}
	defer rc.Close()
	return demux(rc, f)
}

// demux reads the engine's frames (stream, 3 zeros, length, payload): each is one message, which the usual helper would not tell.
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
