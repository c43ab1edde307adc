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
	"github.com/gpuai/gpuai/node/rest"
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
				return usage(fmt.Sprintf("--tail %d is no number of lines up to %d", o.tail, maxTail),
					"gpuai logs --help")
			}
			c, id, err := a.orderOf(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if o.follow {
				a.sayNotStarted(cmd.Context(), c, id)
			}
			if err := a.logs(cmd.Context(), c, id, from, o); err != nil {
				return err
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

// sayNotStarted says that a follower waits because the job has not begun. Errors are left to who reads the log.
func (a *App) sayNotStarted(ctx context.Context, c *api.Client, id string) {
	if o, err := c.Order(ctx, id); err == nil && !o.Ended() && o.ReadyAt == nil {
		a.say("logs: %s has not started yet (%s); its output follows here", word(o), state(o))
	}
}

// logs prints a log. What is missing is marked in its place; with tail and follow, what comes after the last lines
// follows them by its place.
func (a *App) logs(ctx context.Context, c *api.Client, id string, from time.Time, o logOptions) error {
	wanted := func(p api.LogPiece) bool {
		return o.source == "all" || (p.Gap > 0 || p.Stream == sourceNode) == (o.source == "node")
	}
	write := func(p api.LogPiece) error {
		if !wanted(p) {
			return nil
		}
		return a.logPiece(p, o.raw)
	}
	q := api.LogQuery{Since: from, Follow: o.follow}
	var state api.LogState
	var err error
	if o.tail >= 0 {
		last := lastLines{most: o.tail}
		state, err = c.Logs(ctx, id, api.LogQuery{Since: from}, func(p api.LogPiece) error {
			q.From, q.Since = max(q.From, p.Offset+p.Gap+uint64(len(p.Data))), time.Time{}
			if wanted(p) {
				last.add(p)
			}
			return nil
		})
		for _, p := range last.lines {
			if err == nil {
				err = a.logPiece(p, o.raw)
			}
		}
	}
	if err == nil && (o.tail < 0 || o.follow) {
		state, err = readLog(ctx, c, id, q, write)
	}
	if words := lacks(state); err == nil && words != "" && o.source != "job" {
		a.say("logs: %s", words)
	}
	return err
}

// lastLines keeps the last lines of a log, and gaps like lines. A line may come in several pieces.
type lastLines struct {
	most  int
	lines []api.LogPiece
}

func (l *lastLines) add(p api.LogPiece) {
	if p.Gap > 0 {
		l.keep(p)
		return
	}
	for line := range bytes.Lines(p.Data) {
		if n := len(l.lines); n > 0 && l.lines[n-1].Stream == p.Stream && l.lines[n-1].Gap == 0 &&
			!bytes.HasSuffix(l.lines[n-1].Data, []byte("\n")) {
			l.lines[n-1].Data = append(l.lines[n-1].Data, line...)
			continue
		}
		l.keep(api.LogPiece{Offset: p.Offset, At: p.At, Stream: p.Stream, Data: bytes.Clone(line)})
		p.Offset += uint64(len(line))
	}
}

func (l *lastLines) keep(p api.LogPiece) {
	if l.lines = append(l.lines, p); len(l.lines) > l.most {
		l.lines = l.lines[1:]
	}
}

// logPiece writes a piece of a log: its bytes, or a document per piece for programs.
func (a *App) logPiece(p api.LogPiece, raw bool) error {
	if !a.json && p.Gap > 0 {
		return a.write(sourceNode, []byte(gapWords(p)+"\n"), raw)
	}
	if !a.json {
		return a.write(p.Stream, p.Data, raw)
	}
	name := streams[p.Stream]
	if p.Gap > 0 {
		name, p.Data = streams[sourceNode], []byte{}
	}
	doc, err := json.Marshal(struct {
		Schema  string    `json:"schema"`
		At      rest.Time `json:"at"`
		Stream  string    `json:"stream"`
		Offset  uint64    `json:"offset"`            // of the first byte in the job's log
		Data    []byte    `json:"data"`              // base64: a job may write anything
		Missing uint64    `json:"missing,omitempty"` // so many bytes are not here, from the offset on
	}{"gpuai.log/v1", rest.At(p.At), name, p.Offset, p.Data, p.Gap})
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
