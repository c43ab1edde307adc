package docker

import (
	"errors"
	"time"

	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/sandbox/guard"
)

const (
	maxRecord = 16 << 10
	overlap   = 2 * time.Second // how far before the last record a later pass begins, by the engine's clock
)

// errReadAgain asks for another pass over the whole log: what this one showed may not be all.
var errReadAgain = errors.New("read the log again")

// logReader puts the passes over an engine's log together: each byte once, in order, by its place. The engine's times
// only shorten a pass; a pass that they misled is repeated from the beginning.
type logReader struct {
	f    func(job.LogRecord) error
	next uint64 // the next byte that is wanted
	// the job's init numbers its output; else the place is counted from the oldest byte that the engine has
	framed bool
	ended  bool // the end frame was seen

	mark    time.Time // the engine's time of the last record that was new
	whole   bool      // the next pass reads from the beginning
	checked uint64    // a gap at next was looked for in a whole pass, plus one
	rawAt   uint64    // how many bytes beside the numbering were given at which offset
	rawGot  uint64

	partial bool   // this pass does not begin at the beginning
	placed  bool   // this pass knows where it is
	here    uint64 // the place behind this pass's last frame
	rawHere uint64 // bytes beside the numbering since then; without frames: all
}

// begin starts a pass and says from what time on; zero: from the beginning.
func (rd *logReader) begin() time.Time {
	rd.partial = rd.framed && !rd.whole && !rd.mark.IsZero()
	rd.placed, rd.here, rd.rawHere, rd.whole = !rd.partial, 0, 0, false
	if !rd.partial {
		return time.Time{}
	}
	return rd.mark.Add(-overlap)
}

func (rd *logReader) stand() job.LogEnd { return job.LogEnd{Total: rd.next} }

// take takes one message of the engine.
func (rd *logReader) take(stream byte, at time.Time, b []byte) error {
	if !rd.framed {
		return rd.count(stream, at, b)
	}
	fr, ok, torn := guard.ParseLog(b)
	switch {
	case ok:
		return rd.frame(at, fr)
	case torn: // its place shows as a gap
		return nil
	}
	return rd.raw(stream, at, b)
}

func (rd *logReader) frame(at time.Time, fr guard.LogFrame) error {
	behind := fr.Offset + uint64(len(fr.Data))
	rd.placed, rd.here, rd.rawHere = true, behind, 0
	if fr.Offset > rd.next {
		if rd.checked != rd.next+1 { // a follower may have missed what the engine has
			rd.checked, rd.whole = rd.next+1, true
			return errReadAgain
		}
		if err := rd.give(job.LogRecord{Offset: rd.next, Time: fr.Time, Gap: fr.Offset - rd.next}); err != nil {
			return err
		}
		rd.next = fr.Offset
	}
	if fr.Stream == guard.StreamEnd {
		rd.ended = behind == rd.next
		return nil
	}
	if behind <= rd.next {
		return nil
	}
	data := fr.Data[rd.next-fr.Offset:]
	if err := rd.give(job.LogRecord{Offset: rd.next, Time: fr.Time, Stream: fr.Stream, Data: data}); err != nil {
		return err
	}
	rd.next, rd.mark = behind, at
	return nil
}

// raw gives a line that is no frame: someone wrote into the engine's own pipe.
func (rd *logReader) raw(stream byte, at time.Time, b []byte) error {
	if !rd.placed {
		rd.whole = true
		return errReadAgain
	}
	if rd.here < rd.rawAt || rd.here > rd.next {
		return nil
	}
	if rd.here > rd.rawAt {
		rd.rawAt, rd.rawGot = rd.here, 0
	}
	began := rd.rawHere
	rd.rawHere += uint64(len(b))
	if rd.rawHere <= rd.rawGot {
		return nil
	}
	b = b[max(rd.rawGot, began)-began:]
	rd.rawGot = rd.rawHere
	return rd.pieces(job.LogRecord{Offset: rd.here, Time: at, Stream: stream, Raw: true}, b)
}

// count gives output of a job whose init does not number it.
func (rd *logReader) count(stream byte, at time.Time, b []byte) error {
	began := rd.rawHere
	rd.rawHere += uint64(len(b))
	if rd.rawHere <= rd.next {
		return nil
	}
	b = b[max(rd.next, began)-began:]
	err := rd.pieces(job.LogRecord{Offset: rd.next, Time: at, Stream: stream}, b)
	rd.next = rd.rawHere
	return err
}

func (rd *logReader) pieces(r job.LogRecord, b []byte) error {
	for len(b) > 0 {
		n := min(len(b), maxRecord)
		r.Data, b = b[:n], b[n:]
		if err := rd.give(r); err != nil {
			return err
		}
		r.Offset = r.Next()
	}
	return nil
}

func (rd *logReader) give(r job.LogRecord) error {
	if err := rd.f(r); err != nil {
		return stopLogs{err}
	}
	return nil
}
