package api

import (
	"encoding/json"
	"errors"
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
