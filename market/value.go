package market

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// ErrUnit reports a number without the unit that its field needs, or with a foreign one.
var ErrUnit = errors.New("bad unit")

type suffix struct {
	text     string
	num, den int64 // value in the field's unit = number · num / den
}

// sizes in bytes, shared with the job file through ParseBytes; longer suffixes first.
var byteSuffixes = []suffix{
	{"KiB", 1 << 10, 1}, {"MiB", 1 << 20, 1}, {"GiB", 1 << 30, 1}, {"TiB", 1 << 40, 1},
	{"kB", 1e3, 1}, {"KB", 1e3, 1}, {"MB", 1e6, 1}, {"GB", 1e9, 1}, {"TB", 1e12, 1}, {"B", 1, 1},
}

var unitSuffixes = map[Unit][]suffix{
	UnitCount: {{"", 1, 1}},
	UnitMiB: {
		{"KiB", 1, 1 << 10}, {"MiB", 1, 1}, {"GiB", 1 << 10, 1}, {"TiB", 1 << 20, 1},
		{"MB", 1e6, 1 << 20}, {"GB", 1e9, 1 << 20}, {"TB", 1e12, 1 << 20},
	},
	UnitMBs:     {{"MB/s", 1, 1}, {"GB/s", 1e3, 1}, {"TB/s", 1e6, 1}},
	UnitGBs:     {{"GB/s", 1, 1}, {"TB/s", 1e3, 1}, {"MB/s", 1, 1e3}},
	UnitMbits:   {{"Mbit/s", 1, 1}, {"Gbit/s", 1e3, 1}, {"kbit/s", 1, 1e3}},
	UnitGiga:    {{"GFLOPS", 1, 1}, {"TFLOPS", 1e3, 1}, {"PFLOPS", 1e6, 1}, {"GOPS", 1, 1}, {"TOPS", 1e3, 1}},
	UnitWatt:    {{"kW", 1e3, 1}, {"W", 1, 1}},
	UnitSeconds: {{"ms", 1, 1e3}, {"s", 1, 1}, {"m", 60, 1}, {"h", 3600, 1}, {"d", 86400, 1}},
	UnitMillis:  {{"ms", 1, 1}, {"s", 1e3, 1}, {"m", 60e3, 1}, {"h", 3600e3, 1}, {"d", 86400e3, 1}},
	UnitMilli:   {{"", 1000, 1}},
	UnitTenths:  {{"", 10, 1}},
	UnitPPM:     {{"%", 10_000, 1}, {"ppm", 1, 1}},
}

// Rounding of a written value that is no whole number of the field's unit.
type rounding uint8

const (
	roundExact rounding = iota + 1
	roundUp             // a minimum never admits less than was written
	roundDown           // a maximum never admits more
)

// ParseValue reads a value of a field as people write it: "24GiB", "8.9", "12.4", "570.86", "web", "DE". Errors:
// ErrUnit, ErrFormat, ErrOverflow. The written value must be a whole number of the field's unit.
func ParseValue(f FieldID, s string) (uint64, error) { return parseValue(f, s, roundExact) }

func parseValue(f FieldID, s string, r rounding) (uint64, error) {
	info, ok := f.Info()
	if !ok || f == FieldClass {
		return 0, fmt.Errorf("%w: field %s takes no number", ErrFormat, f)
	}
	switch info.Unit {
	case UnitWord:
		return parseWord(info, s)
	case UnitCountry:
		if len(s) != 2 || !isUpper(s[0]) || !isUpper(s[1]) {
			return 0, fmt.Errorf("%w: %q is no country, write two letters as in DE", ErrFormat, s)
		}
		return uint64(s[0])<<8 | uint64(s[1]), nil
	case UnitCUDA:
		return parseVersion(s, 1000, 10, 1)
	case UnitDriver:
		return parseVersion(s, 1_000_000, 1000, 1)
	case UnitRate:
		v, err := ParseRateSOL(s)
		return uint64(v), err
	}
	return parseQuantity(s, unitSuffixes[info.Unit], r)
}

// ParseBytes reads a size with its unit ("GB" = 10^9, "GiB" = 2^30) into bytes, rounded down to whole ones. Errors:
// ErrUnit, ErrFormat, ErrOverflow.
func ParseBytes(s string) (uint64, error) { return parseQuantity(s, byteSuffixes, roundDown) }

// ParseMillis reads a duration with its unit ("90s", "1.5h", "7d") into milliseconds. Errors: ErrUnit, ErrFormat,
// ErrOverflow.
func ParseMillis(s string) (uint64, error) {
	return parseQuantity(s, unitSuffixes[UnitMillis], roundExact)
}

func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }

func parseWord(info FieldInfo, s string) (uint64, error) {
	var names []string
	for _, w := range info.Words {
		if w.Name == s {
			return w.Value, nil
		}
		names = append(names, w.Name)
	}
	return 0, fmt.Errorf("%w: %q is no %s, want one of %s", ErrFormat, s, info.Name, strings.Join(names, ", "))
}

// parseVersion reads "a[.b[.c]]"; each part but the first must stay below the weight ratio, so versions never run into
// each other.
func parseVersion(s string, weights ...uint64) (uint64, error) {
	parts := strings.Split(s, ".")
	if len(parts) > len(weights) {
		return 0, fmt.Errorf("%w: %q has too many parts", ErrFormat, s)
	}
	var v uint64
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || i > 0 && n >= weights[i-1]/weights[i] {
			return 0, fmt.Errorf("%w: %q is no version", ErrFormat, s)
		}
		v += n * weights[i]
	}
	return v, nil
}

func parseQuantity(s string, units []suffix, r rounding) (uint64, error) {
	cut := len(s)
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && s[i] != '.' {
			cut = i
			break
		}
	}
	number, unit := s[:cut], s[cut:]
	if number == "" || len(number) > 32 || strings.Count(number, ".") > 1 || number[0] == '.' ||
		number[len(number)-1] == '.' {
		return 0, fmt.Errorf("%w: %q is no number", ErrFormat, s)
	}
	for _, u := range units {
		if u.text != unit {
			continue
		}
		x, ok := new(big.Rat).SetString(number)
		if !ok {
			return 0, fmt.Errorf("%w: %q is no number", ErrFormat, s)
		}
		return roundRat(x.Mul(x, big.NewRat(u.num, u.den)), r, s)
	}
	return 0, fmt.Errorf("%w: %s", ErrUnit, unitHelp(s, unit, units))
}

func unitHelp(s, unit string, units []suffix) string {
	var names []string
	for _, u := range units {
		names = append(names, u.text)
	}
	switch {
	case unit == "":
		return fmt.Sprintf("%q has no unit, write one of %s", s, strings.Join(names, " "))
	case len(names) == 1 && names[0] == "":
		return fmt.Sprintf("%q has a unit, write the bare number", s)
	}
	return fmt.Sprintf("%q is no unit here, write one of %s", unit, strings.Join(names, " "))
}

func roundRat(x *big.Rat, r rounding, s string) (uint64, error) {
	q, m := new(big.Int).QuoRem(x.Num(), x.Denom(), new(big.Int))
	if m.Sign() != 0 {
		switch r {
		case roundUp:
			q.Add(q, big.NewInt(1))
		case roundExact:
			return 0, fmt.Errorf("%w: %q is no whole number of the field's unit", ErrFormat, s)
		}
	}
	if !q.IsUint64() {
		return 0, ErrOverflow
	}
	return q.Uint64(), nil
}

// FormatValue writes a value as ParseValue reads it, in the largest unit that stays exact.
func FormatValue(f FieldID, v uint64) string {
	info, ok := f.Info()
	if !ok {
		return strconv.FormatUint(v, 10)
	}
	switch info.Unit {
	case UnitWord:
		return formatWords(info, v)
	case UnitCountry:
		// a peer's number: print no stray bytes
		if hi, lo := byte(v>>8), byte(v); v <= 0xffff && isUpper(hi) && isUpper(lo) {
			return string([]byte{hi, lo})
		}
		return strconv.FormatUint(v, 10)
	case UnitCUDA:
		return fmt.Sprintf("%d.%d", v/1000, v%1000/10)
	case UnitDriver:
		return fmt.Sprintf("%d.%d.%d", v/1_000_000, v/1000%1000, v%1000)
	case UnitRate:
		return Amount(v).SOL()
	case UnitMilli:
		return decimal(v, 3)
	case UnitTenths:
		return fmt.Sprintf("%d.%d", v/10, v%10)
	}
	best := suffix{num: 1, den: 1}
	for _, u := range unitSuffixes[info.Unit] {
		if u.den == 1 && (best.text == "" || u.num > best.num) && (u.num == 1 || v > 0 && v%uint64(u.num) == 0) {
			best = u
		}
	}
	return strconv.FormatUint(v/uint64(best.num), 10) + best.text
}

func formatWords(info FieldInfo, v uint64) string {
	var names []string
	for _, w := range info.Words {
		if w.Value == v {
			return w.Name
		}
		if info.Bits && w.Value&v != 0 {
			names = append(names, w.Name)
		}
	}
	if len(names) == 0 {
		return strconv.FormatUint(v, 10)
	}
	return strings.Join(names, "+")
}
