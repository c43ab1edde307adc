package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
)

// timeForm is RFC 3339 in UTC with milliseconds.
const timeForm = "2006-01-02T15:04:05.000Z"

// Time is a moment in documents: RFC 3339, UTC, milliseconds.
type Time struct{ time.Time }

// At makes a Time.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Millisecond)} }

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) { return []byte(`"` + t.UTC().Format(timeForm) + `"`), nil }

// Lamports is an amount of SOL in a request: text, or the money document.
type Lamports market.Amount

// MarshalJSON implements json.Marshaler.
func (l Lamports) MarshalJSON() ([]byte, error) {
	return json.Marshal(strconv.FormatUint(uint64(l), 10))
}

// UnmarshalJSON implements json.Unmarshaler. Errors name no value of the text.
func (l *Lamports) UnmarshalJSON(b []byte) error {
	m := Money{Mint: solMint}
	if len(b) > 0 && b[0] == '{' {
		if err := strict(strings.NewReader(string(b)), &m); err != nil {
			return errors.New("no money document")
		}
	} else if err := json.Unmarshal(b, &m.Amount); err != nil {
		return errors.New("an amount is text, or a money document")
	}
	n, err := strconv.ParseUint(m.Amount, 10, 64)
	if err != nil || m.Mint != solMint || m.Per != "" {
		return errors.New("no amount of lamports")
	}
	*l = Lamports(n)
	return nil
}

// Terms are constraints; in documents fields have names, and bounds are text, because u64 does not fit a JavaScript
// number.
type Terms []market.Term

type termDoc struct {
	Field   string   `json:"field,omitempty"`
	Lo      string   `json:"lo,omitempty"`
	Hi      string   `json:"hi,omitempty"`
	In      []string `json:"in,omitempty"`
	Classes []string `json:"classes,omitempty"`
	Not     bool     `json:"not,omitempty"`
	Soft    bool     `json:"soft,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (l Terms) MarshalJSON() ([]byte, error) {
	out := []termDoc{}
	for _, t := range l {
		d := termDoc{Classes: t.Classes, Not: t.Not, Soft: t.Soft}
		if t.Field != 0 {
			d.Field, d.Lo = t.Field.String(), strconv.FormatUint(t.Lo, 10)
		}
		if t.HasHi {
			d.Hi = strconv.FormatUint(t.Hi, 10)
		}
		for _, v := range t.In {
			d.In = append(d.In, strconv.FormatUint(v, 10))
		}
		out = append(out, d)
	}
	return json.Marshal(out)
}

// UnmarshalJSON implements json.Unmarshaler. Errors name no value of the text.
func (l *Terms) UnmarshalJSON(b []byte) error {
	var docs []termDoc
	if err := strict(strings.NewReader(string(b)), &docs); err != nil {
		return err
	}
	*l = nil
	for i, d := range docs {
		t := market.Term{Classes: d.Classes, Not: d.Not, Soft: d.Soft, HasHi: d.Hi != ""}
		if d.Field != "" {
			f, ok := market.FieldByName(d.Field)
			if !ok {
				return fmt.Errorf("term %d: no such field", i)
			}
			t.Field = f.ID
		}
		var err error
		number := func(s string) (n uint64) {
			if s != "" && err == nil {
				n, err = strconv.ParseUint(s, 10, 64)
			}
			return n
		}
		t.Lo, t.Hi = number(d.Lo), number(d.Hi)
		for _, s := range d.In {
			t.In = append(t.In, number(s))
		}
		if err != nil {
			return fmt.Errorf("term %d: a bound is no number", i)
		}
		*l = append(*l, t)
	}
	return nil
}
