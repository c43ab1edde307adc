package config

import (
	"fmt"
	"regexp"
	"strconv"
)

// ShowText is the setting wallet.show_rate: "1 SOL = 150 USD", or nothing.
type ShowText string

// ShowRate is what it says. It is the user's own figure: nothing is decided by it.
type ShowRate struct {
	PerSOL   float64
	Currency string
}

var showRate = regexp.MustCompile(`^1 SOL = (\d{1,9}(?:\.\d{1,9})?) ([A-Z]{2,5})$`)

// String is the text as it is set.
func (t ShowText) String() string { return string(t) }

// Parts reads the rate; ok is false if there is none.
func (t ShowText) Parts() (r ShowRate, ok bool) {
	m := showRate.FindStringSubmatch(string(t))
	if m == nil {
		return r, false
	}
	r.Currency = m[2]
	var err error
	r.PerSOL, err = strconv.ParseFloat(m[1], 64)
	return r, err == nil && r.PerSOL > 0
}

// UnmarshalText takes "1 SOL = 150 USD" or nothing.
func (t *ShowText) UnmarshalText(b []byte) error {
	*t = ShowText(b)
	if _, ok := t.Parts(); !ok && len(b) > 0 {
		return fmt.Errorf("%q is no rate, write 1 SOL = 150 USD", b)
	}
	return nil
}
