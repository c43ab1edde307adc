package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits of event streams.
const (
	MaxStreams  = 64
	heartbeat   = 15 * time.Second
	MaxBacklog  = 256              // rows that a reader may be behind once it has caught up
	writeWithin = 30 * time.Second // one write to a reader
)

// Event is one row of what happened: Seq counts up without a gap, Data is the document that GET returns, with the row's
// cause, time and state.
type Event struct {
	Seq   uint64
	Topic string
	Data  json.RawMessage
}

// Feed is the node's record of what happened.
type Feed interface {
	// Events are rows after a sequence, oldest first, at most limit. last is the newest sequence there is, floor the
	// newest that is not kept.
	Events(ctx context.Context, after uint64, limit int) (rows []Event, floor, last uint64, err error)
	// EventsChanged is closed at the next row.
	EventsChanged() <-chan struct{}
}

// Events is a stream of rows. Dress may change a row before it is sent. At most 64 readers at a time.
type Events struct {
	Feed   Feed
	Topics []string
	Dress  func(Event) Event
	Life   context.Context // its end ends the streams
	Epoch  string          // if set, ids are "EPOCH-SEQ", and one of another epoch is older than what is kept
	Each   int             // streams of one address at most; 0: all of MaxStreams

	once  sync.Once
	slots Slots
}

// EventsIn asks for a stream of events.
type EventsIn struct {
	Topics string `query:"topics" doc:"names with commas between, none: all"`
	Last   string `header:"Last-Event-ID" doc:"the row to go on after; without it the stream begins now"`
}

// Serve streams rows as server-sent events. A reader that was up to date and falls behind by more than MaxBacklog is
// told so and dropped; one that names a row older than what is kept gets reset and goes on from now.
func (s *Events) Serve(w http.ResponseWriter, r *http.Request, in *EventsIn) error {
	topics, after, resumes, err := s.asked(in)
	s.once.Do(func() { s.slots = Slots{What: "event streams", Most: MaxStreams, Each: s.Each} })
	leave := func() {}
	if err == nil && s.Feed == nil {
		err = NoEndpoint()
	}
	if err == nil && r.Method == http.MethodHead { // it would never end
		w.Header().Set("Content-Type", "text/event-stream")
		return nil
	}
	if err == nil {
		leave, err = s.slots.Enter(r)
	}
	if err != nil {
		return err
	}
	defer leave()
	changed := s.Feed.EventsChanged() // first: no row between look and wait is missed
	rows, floor, last, err := s.Feed.Events(r.Context(), after, MaxBacklog)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/event-stream")
	e := &eventWriter{w: w, rc: http.NewResponseController(w), topics: topics}
	if s.Epoch != "" {
		e.epoch = s.Epoch + "-"
	}
	e.text(": ready\n\n")
	switch {
	case !resumes:
		after, rows = last, nil
	case after < floor || after > last: // older than what is kept, or of another store
		e.text(fmt.Sprintf("id: %s%d\nevent: reset\ndata: {}\n\n", e.epoch, last))
		after, rows = last, nil
	}
	e.target = last
	s.follow(r.Context(), e, after, rows, changed)
	return nil
}

// follow writes rows until the reader goes, or is too slow.
func (s *Events) follow(ctx context.Context, e *eventWriter, after uint64, rows []Event, changed <-chan struct{}) {
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	var last uint64
	for e.err == nil {
		for _, row := range rows {
			if s.Dress != nil {
				row = s.Dress(row)
			}
			e.event(row)
			after = row.Seq
		}
		if len(rows) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-s.Life.Done():
				return
			case <-tick.C:
				e.text(": heartbeat\n\n")
			case <-changed:
			}
		}
		changed = s.Feed.EventsChanged()
		var err error
		if rows, _, last, err = s.Feed.Events(ctx, after, MaxBacklog); err != nil {
			return
		}
		if after >= e.target && last > after+MaxBacklog {
			e.text("event: lagged\ndata: {}\n\n")
			return
		}
	}
}

func (s *Events) asked(in *EventsIn) (topics []string, after uint64, resumes bool, err error) {
	if in.Topics != "" {
		topics = strings.Split(in.Topics, ",")
		for _, t := range topics {
			if !slices.Contains(s.Topics, t) {
				return nil, 0, false, Usage(http.StatusBadRequest, "topics are of "+strings.Join(s.Topics, ","))
			}
		}
	}
	if in.Last != "" {
		epoch, number, has := strings.Cut(in.Last, "-")
		if !has {
			epoch, number = "", epoch
		}
		if after, err = strconv.ParseUint(number, 10, 63); err != nil || has && s.Epoch == "" {
			return nil, 0, false, Usage(http.StatusBadRequest, "Last-Event-ID is no id of this stream")
		}
		if resumes = true; epoch != s.Epoch {
			after = math.MaxInt64 // no row of this index: it gets reset
		}
	}
	return topics, after, resumes, nil
}

// eventWriter writes to one reader, each time with a deadline of its own: the server has none, it would cut streams.
type eventWriter struct {
	w      http.ResponseWriter
	rc     *http.ResponseController
	topics []string
	epoch  string // before each number
	target uint64 // the newest row when the reader came
	err    error
}

func (e *eventWriter) text(s string) {
	if e.err != nil {
		return
	}
	_ = e.rc.SetWriteDeadline(time.Now().Add(writeWithin)) // where it is not supported a write may take long
	if _, e.err = e.w.Write([]byte(s)); e.err == nil {
		e.err = e.rc.Flush()
	}
}

// event writes a row; one of another topic is passed over, its id too: a resume skips it again.
func (e *eventWriter) event(row Event) {
	if len(e.topics) > 0 && !slices.Contains(e.topics, row.Topic) {
		return
	}
	e.text(fmt.Sprintf("id: %s%d\nevent: %s\ndata: %s\n\n", e.epoch, row.Seq, row.Topic, row.Data))
}
