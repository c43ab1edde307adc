package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
)

// sourceNode is the stream of the node's own markers in a job's log.
const sourceNode = 3

// streams names the streams of a log in documents.
var streams = map[uint8]string{1: "stdout", 2: "stderr", sourceNode: "node"}

// maxTail bounds --tail: that many lines are kept in memory.
const maxTail = 100_000

type logOptions struct {
	since, source     string
	tail              int
	follow, exit, raw bool
}

func newLogsCmd(a *App) *cobra.Command {
	var o logOptions
	cmd := &cobra.Command{
		Use: "logs ID", Short: "A job's output", Args: exact(1, "an order, a lease, a name, or - for the last"),
		Example: "  gpuai logs -f -\n  gpuai logs --tail 20 train\n  gpuai logs --since 10m --source job train",
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := parseSince(o.since, time.Now())
			switch {
			case err != nil:
				return err
			case o.source != "all" && o.source != "job" && o.source != "node":
				return usage("--source "+o.source+" is none of all, job, node", "gpuai logs --help")
			case o.tail < -1 || o.tail > maxTail:
				return usage(fmt.Sprintf("--tail %d is no number of lines up to %d", o.tail, maxTail), "gpuai logs --help")
			}
			c, id, err := a.orderOf(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if err := a.logs(cmd.Context(), c, id, from, o); err != nil {
				return logGone(cmd.Context(), c, id, err)
			}
			if !o.exit {
				return nil
			}
			order, err := c.Order(cmd.Context(), id)
			if err != nil {
				return attached{err}
			}
			return jobExit(order)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.follow, "follow", "f", false, "wait for more until the job has ended")
	f.StringVar(&o.since, "since", "", "a span of time back from now, as in 10m, or a time")
	f.IntVar(&o.tail, "tail", -1, "only the last lines, so many")
	f.StringVar(&o.source, "source", "all", "all, job or node")
	f.BoolVar(&o.raw, "raw", false, "keep all bytes on a terminal too, escape sequences among them")
	f.BoolVar(&o.exit, "exit-code", false, "exit with the job's code")
	return cmd
}

// logGone explains why there is no log any more: providers remove it with the container.
func logGone(ctx context.Context, c *api.Client, id string, err error) error {
	if market.CodeOf(err) != "not-found" {
		return err
	}
	o, e := c.Order(ctx, id)
	if e != nil || o.LeaseID == "" || !o.Ended() {
		return err
	}
	return &market.Error{
		Code: "not-found", Kind: market.KindNotFound, Op: "read logs", Err: err,
		Detail: "the job has ended, and its provider keeps no log after that", Hint: "follow the next one while it runs: gpuai logs -f -",
	}
}

// logs prints a log. With tail and follow the lines before the last ones are counted first and then skipped, so that none is lost or twice.
func (a *App) logs(ctx context.Context, c *api.Client, id string, from time.Time, o logOptions) error {
	wanted := func(stream uint8) bool { return o.source == "all" || (stream == sourceNode) == (o.source == "node") }
	write := func(stream uint8, at time.Time, b []byte) error { return a.logPiece(stream, at, b, o.raw) }
	if o.tail < 0 {
		return c.Logs(ctx, id, from, o.follow, func(stream uint8, at time.Time, b []byte) error {
			if !wanted(stream) {
				return nil
			}
			return write(stream, at, b)
		})
	}
	last := lastLines{most: o.tail}
	err := c.Logs(ctx, id, from, false, func(stream uint8, at time.Time, b []byte) error {
		if wanted(stream) {
			last.add(stream, at, b)
		}
		return nil
	})
	if err != nil || !o.follow {
		for _, l := range last.lines {
			if err == nil {
				err = write(l.stream, l.at, l.text)
			}
		}
		return err
	}
	skip := last.total - len(last.lines)
	return c.Logs(ctx, id, from, true, func(stream uint8, at time.Time, b []byte) error {
		for wanted(stream) && len(b) > 0 {
			n := len(b)
			if i := bytes.IndexByte(b, '\n'); i >= 0 {
				n = i + 1
			}
			if skip == 0 {
				if err := write(stream, at, b[:n]); err != nil {
					return err
				}
			} else if b[n-1] == '\n' {
				skip--
			}
			b = b[n:]
		}
		return nil
	})
}

// lastLines keeps the last lines of a log. A line may come in several pieces.
type lastLines struct {
	most, total int
	lines       []logLine
}

type logLine struct {
	stream uint8
	at     time.Time
	text   []byte
}

func (l *lastLines) add(stream uint8, at time.Time, b []byte) {
	for line := range bytes.Lines(b) {
		if n := len(l.lines); n > 0 && l.lines[n-1].stream == stream && !bytes.HasSuffix(l.lines[n-1].text, []byte("\n")) {
			l.lines[n-1].text = append(l.lines[n-1].text, line...)
			continue
		}
		l.total++
		l.lines = append(l.lines, logLine{stream, at, bytes.Clone(line)})
		if len(l.lines) > l.most {
			l.lines = l.lines[1:]
		}
	}
}

// logPiece writes a piece of a log: its bytes, or a document per piece for programs.
func (a *App) logPiece(stream uint8, at time.Time, b []byte, raw bool) error {
	if !a.json {
		return a.write(stream, b, raw)
	}
	doc, err := json.Marshal(struct {
		Schema string   `json:"schema"`
		At     api.Time `json:"at"`
		Stream string   `json:"stream"`
		Data   []byte   `json:"data"` // base64: a job may write anything
	}{"gpuai.log/v1", api.At(at), streams[stream], b})
	if err != nil {
		return fmt.Errorf("encode log: %w", err)
	}
	_, err = a.out.Write(append(doc, '\n'))
	return err
}

// parseSince reads "10m" or a time of RFC 3339; empty is the beginning.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if ms, err := market.ParseMillis(s); err == nil {
		return now.Add(-time.Duration(ms) * time.Millisecond), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, usage("--since "+s+" is neither a time span nor a time", "gpuai logs --since 10m -")
	}
	return t, nil
}
