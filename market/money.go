package market

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Amount counts the smallest unit of a channel's mint (SOL: lamport). Amounts of two mints never meet in one sum.
type Amount uint64

// Rate is smallest units per device-hour: per second is too coarse for small mints. At most MaxRate.
type Rate uint64

// MaxDevices is the largest number of devices of one lease; MaxRate bounds a Rate; maxTotalMS bounds
// device-milliseconds.
const (
	MaxDevices       = 64
	MaxRate     Rate = 1_000_000_000_000
	maxTotalMS       = 1 << 45
	msPerHour        = 3_600_000
	LamportsSOL      = 1_000_000_000
	SOLDecimals      = 9
)

// ErrRange reports an argument outside its documented range; ErrOverflow a result that 64 bits cannot hold.
var (
	ErrRange    = errors.New("out of range")
	ErrOverflow = errors.New("amount overflows")
)

// For returns the price of n devices for d: floor(r · n · d / 1 h). n is 1..MaxDevices; d ≥ 0, cut to whole ms. 128
// bits inside, so the result is exact; it rounds down, for the customer. Pass the lease's whole duration, never one
// tick: then rounding happens once.
// Errors: ErrRange: n or d out of range; ErrOverflow: n·d over 2^45 ms or the price over 64 bits. Formula:
// docs/flows/payment.md.
func (r Rate) For(n int, d time.Duration) (Amount, error) {
	if n < 1 || n > MaxDevices || d < 0 {
		return 0, fmt.Errorf("%w: %d devices for %s", ErrRange, n, d)
	}
	hi, total := bits.Mul64(uint64(d.Milliseconds()), uint64(n))
	if hi != 0 || total > maxTotalMS {
		return 0, ErrOverflow
	}
	hi, lo := bits.Mul64(total, uint64(r))
	if hi >= msPerHour {
		return 0, ErrOverflow
	}
	q, _ := bits.Div64(hi, lo, msPerHour)
	return Amount(q), nil
}

// Reach returns the longest whole-millisecond duration whose price does not exceed a. A zero rate or n < 1 returns 0.
func (r Rate) Reach(n int, a Amount) time.Duration {
	if r == 0 || n < 1 {
		return 0
	}
	// owed(ms) ≤ a  <=>  ms·n·r < (a+1)·1h; the largest such ms is ((a+1)·1h − 1) / (n·r).
	hi, lo := bits.Mul64(uint64(a)+1, msPerHour)
	lo, borrow := bits.Sub64(lo, 1, 0)
	hi -= borrow
	per := uint64(r) * uint64(n)
	if hi >= per {
		return time.Duration(1<<63 - 1)
	}
	q, _ := bits.Div64(hi, lo, per)
	if q > maxTotalMS {
		q = maxTotalMS
	}
	return time.Duration(q) * time.Millisecond
}

// SOL prints lamports as SOL without trailing zeros, e.g. "0.0024".
func (a Amount) SOL() string { return decimal(uint64(a), SOLDecimals) }

func decimal(v uint64, places int) string {
	s := fmt.Sprintf("%0*d", places+1, v)
	s = s[:len(s)-places] + "." + s[len(s)-places:]
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}

// ParseSOL parses a decimal number of SOL (at most 9 places, no sign or exponent) into lamports. Errors: ErrFormat,
// ErrOverflow.
func ParseSOL(s string) (Amount, error) {
	whole, frac, _ := strings.Cut(s, ".")
	if whole == "" && frac == "" || len(frac) > SOLDecimals || strings.ContainsAny(s, "+-eE_") {
		return 0, fmt.Errorf("%w: %q is no amount of SOL", ErrFormat, s)
	}
	v, err := strconv.ParseUint("0"+whole+frac+strings.Repeat("0", SOLDecimals-len(frac)), 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return 0, ErrOverflow
	}
	if err != nil {
		return 0, fmt.Errorf("%w: %q is no amount of SOL", ErrFormat, s)
	}
	return Amount(v), nil
}

// ParseRateSOL parses "0.0024" or "0.0024/h" into lamports per device-hour. Errors: ErrFormat, ErrOverflow, ErrRange
// above MaxRate.
func ParseRateSOL(s string) (Rate, error) {
	a, err := ParseSOL(strings.TrimSuffix(s, "/h"))
	if err == nil && Rate(a) > MaxRate {
		err = fmt.Errorf("%w: rate above %d", ErrRange, MaxRate)
	}
	return Rate(a), err
}
