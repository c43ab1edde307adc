package main

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
)

// Table is rows of text: aligned on a terminal, separated by tabs elsewhere. The first row of Head is left out where a
// program reads.
type Table struct {
	head []string
	rows [][]string
}

// Head sets the column names.
func (t *Table) Head(names ...string) { t.head = names }

// Row adds a row; cells are cleaned of control bytes, since peers name things.
func (t *Table) Row(cells ...string) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = clean(c)
	}
	t.rows = append(t.rows, row)
}

// Look is how a table appears: Aligned for people, else separated by tabs, uncut, without head. Width 0: as wide as it
// is.
type Look struct {
	Aligned, Colour bool
	Width           int
}

// Text renders the table.
func (t *Table) Text(l Look) string {
	var b strings.Builder
	if !l.Aligned {
		for _, r := range t.rows {
			b.WriteString(strings.Join(r, "\t") + "\n")
		}
		return b.String()
	}
	rows := t.rows
	if t.head != nil && len(rows) > 0 {
		rows = append([][]string{t.head}, rows...)
	}
	var width []int
	for _, r := range rows {
		for i, c := range r {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	for n, r := range rows {
		var line strings.Builder
		for i, c := range r {
			line.WriteString(c)
			if i < len(r)-1 {
				line.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(c)+2))
			}
		}
		text := strings.TrimRight(line.String(), " ")
		if l.Width > 0 && t.head != nil { // pairs of name and value are whole: people copy them
			text = cutTo(text, l.Width)
		}
		if n == 0 && t.head != nil && l.Colour {
			text = "\x1b[" + bold + "m" + text + "\x1b[0m"
		}
		b.WriteString(text + "\n")
	}
	return b.String()
}

// cutTo shortens text to n characters; the last one then says so.
func cutTo(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:max(n-1, 0)]) + "…"
}

// clean drops what a peer's text could do to a terminal: control bytes, escapes, bidirectional marks.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == utf8.RuneError:
			return -1
		}
		return r
	}, s)
}

// span writes a duration for people: "1h 24m", "12s", "0.26s".
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + span(-d)
	case d < time.Second:
		return fmt.Sprintf("%.2fs", d.Seconds())
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < time.Hour:
		d = d.Round(time.Second)
		return strings.TrimSuffix(fmt.Sprintf("%dm %ds", d/time.Minute, d%time.Minute/time.Second), " 0s")
	}
	d = d.Round(time.Minute)
	return strings.TrimSuffix(fmt.Sprintf("%dh %dm", d/time.Hour, d%time.Hour/time.Minute), " 0m")
}

func ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return span(time.Since(t)) + " ago"
}

// state is an order's standing as people read it.
func state(o api.Order) string {
	switch {
	case o.Standing == "leased" && o.State != "":
		unheard := time.Duration(0)
		if o.HeardAt != nil && !jobOver(o) {
			unheard = time.Since(o.HeardAt.Time)
		}
		switch {
		case o.State == "silent":
			return "silent (its provider is not heard for " + span(unheard) + ")"
		case o.State == "paused" && o.Cause != "":
			return "paused (" + o.Cause + ")"
		case unheard > unheardAfter:
			return o.State + " (not heard for " + span(unheard) + ")"
		}
		return o.State
	case o.Standing == "failed" && o.Code == market.CodeNeverUsed:
		return "given up before it began (never-used)"
	case o.Code != "" && o.Ended():
		return o.Standing + " (" + string(o.Code) + ")"
	}
	return o.Standing
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
