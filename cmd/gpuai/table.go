package main

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gpuai/gpuai/node/api"
)

// Table is rows of text: aligned on a terminal, separated by tabs elsewhere. The first row of Head is left out where a program reads.
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

// Text renders the table.
func (t *Table) Text(human bool) string {
	var b strings.Builder
	if !human {
		for _, r := range t.rows {
			b.WriteString(strings.Join(r, "\t") + "\n")
		}
		return b.String()
	}
	rows := t.rows
	if t.head != nil {
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
	for _, r := range rows {
		var line strings.Builder
		for i, c := range r {
			line.WriteString(c)
			if i < len(r)-1 {
				line.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(c)+2))
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
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

// span writes a duration for people: "1 h 24 min", "12 s".
func span(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d < time.Minute:
		return d.String()
	case d < time.Hour:
		return strings.TrimSuffix(d.Round(time.Second).String(), "0s")
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
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
		if o.State == "paused" && o.Cause != "" {
			return "paused (" + o.Cause + ")"
		}
		return o.State
	case o.Code != "" && o.Ended():
		return o.Standing + " (" + o.Code + ")"
	}
	return o.Standing
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
