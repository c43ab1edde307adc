package api

import (
	"encoding/binary"
	"math"
	"net/url"
	"strconv"
)

// Terminal is what an exec is shown on. Cols and Rows 0: not known. Term: its kind, as the TERM of its user; "" = not
// known. Resized: later sizes, nil if it keeps its size.
type Terminal struct {
	Cols, Rows uint16
	Term       string
	Resized    <-chan [2]uint16
}

// query adds the terminal to the words of a request.
func (t *Terminal) query(q url.Values) {
	q.Set("tty", strconv.FormatBool(t != nil))
	if t == nil {
		return
	}
	for name, n := range map[string]uint16{"cols": t.Cols, "rows": t.Rows} {
		if n > 0 {
			q.Set(name, strconv.Itoa(int(n)))
		}
	}
	if t.Term != "" {
		q.Set("term", t.Term)
	}
}

// terminal is what query wrote; nil if none is asked for. An odd size is not known. resized gets the later sizes.
func (in *execIn) terminal(resized <-chan [2]uint16) *Terminal {
	if !in.TTY {
		return nil
	}
	size := func(n uint64) uint16 {
		if n > math.MaxUint16 {
			return 0
		}
		return uint16(n)
	}
	return &Terminal{Cols: size(in.Cols), Rows: size(in.Rows), Term: in.Term, Resized: resized}
}

func encodeSize(s [2]uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, s[0]), s[1])
}

func decodeSize(b []byte) (s [2]uint16, ok bool) {
	if len(b) != 4 {
		return s, false
	}
	return [2]uint16{binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])}, true
}

// newest keeps only the last size that nobody has taken yet.
func newest(ch chan [2]uint16, s [2]uint16) {
	select {
	case <-ch:
	default:
	}
	ch <- s // one sender: there is room
}
