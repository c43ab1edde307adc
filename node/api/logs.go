package api

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gpuai/gpuai/node/rest"
)

// LogQuery is what to read of a job's log: from the byte From on, beginning with the first piece that is not before
// Since.
type LogQuery struct {
	From   uint64
	Since  time.Time
	Follow bool // until the job has ended and its log is whole, or as whole as it gets
}

// LogPiece is a piece of a job's log. Stream 1 is stdout, 2 stderr. Its place is Offset; a piece with a Gap has no
// Data: so many bytes are missing from Offset on.
type LogPiece struct {
	Offset uint64
	At     time.Time
	Stream uint8
	Data   []byte
	Gap    uint64
}

// LogState is how the node's own copy of a job's log stands.
type LogState struct {
	Bytes    uint64 `json:"bytes"`         // written by the job, as far as is known
	Missing  uint64 `json:"missing"`       // of them not here
	Over     bool   `json:"over"`          // nothing more will come
	Complete bool   `json:"complete"`      // over, and every byte is here
	Why      string `json:"why,omitempty"` // over and the end is unknown: lost-on-the-rig, not-handed-over
}

// Frames of a log whose caller knows places.
const (
	frameGap   uint8 = 6 // u64 time, u64 offset, u64 bytes
	frameState uint8 = 7 // a LogState; the end frame follows
)

func (s *leases) logs(w http.ResponseWriter, r *http.Request, in *logsIn) error {
	rc := http.NewResponseController(w)
	out := &typed{ResponseWriter: w, media: "application/x-gpuai-frames"}
	fw := &frameWriter{w: out, flush: func() { _ = rc.Flush() }}
	state, err := s.b.Logs(r.Context(), in.ID, LogQuery{From: in.From, Since: in.Since, Follow: in.Follow},
		func(p LogPiece) error { return writePiece(fw, p, in.Places) })
	if err != nil && !out.begun {
		return err
	}
	if err == nil && in.Places {
		b, _ := json.Marshal(state) // numbers and words only
		err = fw.write(frameState, b)
	}
	fw.end(0, err)
	return rest.Told(err)
}

// writePiece writes a piece as frames. A caller that does not know places gets gaps as words of the node.
func writePiece(fw *frameWriter, p LogPiece, places bool) error {
	head := binary.BigEndian.AppendUint64(nil, uint64(p.At.UnixMilli()))
	if p.Gap > 0 && !places {
		return fw.write(3, append(head, fmt.Sprintf("[%d bytes of the log are missing]\n", p.Gap)...))
	}
	if p.Gap > 0 {
		return fw.write(frameGap, binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(head, p.Offset), p.Gap))
	}
	for data := p.Data; len(data) > 0; {
		n := min(len(data), maxFrame/4)
		b := head
		if places {
			b = binary.BigEndian.AppendUint64(b, p.Offset+uint64(len(p.Data)-len(data)))
		}
		if err := fw.write(p.Stream, append(b, data[:n]...)); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// Logs implements Leases.
func (c leasesClient) Logs(ctx context.Context, id string, q LogQuery, f func(LogPiece) error) (state LogState,
	err error) {
	query := "/logs?places=true&follow=" + strconv.FormatBool(q.Follow)
	if q.From > 0 {
		query += "&from=" + strconv.FormatUint(q.From, 10)
	}
	if !q.Since.IsZero() {
		query += "&since=" + url.QueryEscape(q.Since.UTC().Format(rest.TimeForm))
	}
	resp, err := c.do(ctx, "GET", lease(id, query), nil)
	if err != nil {
		return state, err
	}
	defer resp.Body.Close()
	_, err = readStream(bufio.NewReader(resp.Body), func(stream uint8, b []byte) error {
		if stream == frameState {
			return json.Unmarshal(b, &state)
		}
		p := LogPiece{Stream: stream}
		if len(b) < 16 {
			return io.ErrUnexpectedEOF
		}
		p.At, p.Offset, p.Data = time.UnixMilli(int64(binary.BigEndian.Uint64(b))), binary.BigEndian.Uint64(b[8:]),
			b[16:]
		if stream == frameGap {
			if len(p.Data) != 8 {
				return errors.New("a gap of the log is cut")
			}
			p.Gap, p.Data = binary.BigEndian.Uint64(p.Data), nil
		}
		return f(p)
	})
	if errors.Is(err, errCut) {
		err = c.cutOff(ctx, err)
	}
	return state, err
}
