package main

import (
	"unicode"
	"unicode/utf8"
)

// output writes a job's bytes: as they are into pipes, without what could harm a terminal otherwise.
func (a *App) output(stream uint8, b []byte) error { return a.write(stream, b, false) }

func (a *App) write(stream uint8, b []byte, raw bool) error {
	w := a.out
	if stream != 1 {
		w = a.err
	}
	a.screen.Lock()
	defer a.screen.Unlock()
	a.wipe()
	if !raw && terminal(w) {
		b = a.rest[min(stream, sourceNode)].clean(b)
	}
	_, err := w.Write(b)
	return err
}

// maxEscape bounds an escape sequence that is waited for.
const maxEscape = 256

// cleaner makes a stream of bytes fit for a terminal. It keeps the beginning of what is not whole yet.
type cleaner struct{ rest []byte }

// clean keeps text, line ends, tabs and colours. It drops other escapes (some write the clipboard or the title),
// control characters of both sets, marks that turn the direction of text, and what is not UTF-8.
func (c *cleaner) clean(b []byte) []byte {
	b = append(c.rest, b...)
	c.rest = nil
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); {
		if b[i] == 0x1b {
			n, colour, whole := escape(b[i:])
			if !whole && len(b)-i < maxEscape {
				c.rest = append(c.rest, b[i:]...)
				return out
			}
			if colour && whole {
				out = append(out, b[i:i+n]...)
			}
			i += n
			continue
		}
		if !utf8.FullRune(b[i:]) {
			c.rest = append(c.rest, b[i:]...)
			return out
		}
		r, n := utf8.DecodeRune(b[i:])
		line := r == '\n' || r == '\r' || r == '\t'
		if line || !unicode.IsControl(r) && !unicode.Is(unicode.Bidi_Control, r) && (r != utf8.RuneError || n > 1) {
			out = append(out, b[i:i+n]...)
		}
		i += n
	}
	return out
}

// escape measures an escape sequence, tells colours (SGR) from the rest, and whether its end has come.
func escape(b []byte) (length int, colour, whole bool) {
	if len(b) < 2 {
		return len(b), false, false
	}
	switch b[1] {
	case '[':
		for i := 2; i < len(b); i++ {
			if b[i] >= 0x40 && b[i] <= 0x7e {
				return i + 1, b[i] == 'm', true
			}
		}
		return len(b), false, false
	case ']', 'P', '^', '_', 'X': // strings up to BEL or ESC \
		for i := 2; i < len(b); i++ {
			if b[i] == 0x07 {
				return i + 1, false, true
			}
			if b[i] == 0x1b && i+1 < len(b) && b[i+1] == '\\' {
				return i + 2, false, true
			}
		}
		return len(b), false, false
	}
	return 2, false, true
}
