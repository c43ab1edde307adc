package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gpuai/gpuai/escrow/solana"
	"github.com/gpuai/gpuai/market"
)

// Duration is a time span as people write it: "15m", "30d", "0s".
type Duration time.Duration

// UnmarshalText parses it. Errors: market.ErrUnit, market.ErrFormat.
func (d *Duration) UnmarshalText(b []byte) error {
	ms, err := market.ParseMillis(string(b))
	if err == nil && ms > uint64((1<<63-1)/time.Millisecond) {
		err = market.ErrOverflow
	}
	*d = Duration(time.Duration(ms) * time.Millisecond)
	return err
}

func (d Duration) String() string {
	t := time.Duration(d)
	for _, u := range []struct {
		d time.Duration
		s string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if t%u.d == 0 && (t != 0 || u.d == time.Second) {
			return fmt.Sprintf("%d%s", t/u.d, u.s)
		}
	}
	return fmt.Sprintf("%dms", t.Milliseconds())
}

// Size is bytes as people write them: "20GiB".
type Size uint64

// UnmarshalText parses it. Errors: market.ErrUnit, market.ErrFormat, market.ErrOverflow.
func (s *Size) UnmarshalText(b []byte) error {
	v, err := market.ParseBytes(string(b))
	*s = Size(v)
	return err
}

func (s Size) String() string {
	for _, u := range []struct {
		n Size
		s string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if s > 0 && s%u.n == 0 {
			return fmt.Sprintf("%d%s", s/u.n, u.s)
		}
	}
	return fmt.Sprintf("%dB", uint64(s))
}

// Money is lamports, written "0.002 SOL"; "SOL" may be left out.
type Money uint64

// UnmarshalText parses it. Errors: market.ErrFormat, market.ErrOverflow.
func (m *Money) UnmarshalText(b []byte) error {
	a, err := market.ParseSOL(strings.TrimSpace(strings.TrimSuffix(string(b), "SOL")))
	*m = Money(a)
	return err
}

func (m Money) String() string { return market.Amount(m).SOL() + " SOL" }

// PerHour is how often something may happen in an hour: "3/h".
type PerHour uint16

// UnmarshalText parses it; "/h" may be left out. Errors: market.ErrFormat.
func (n *PerHour) UnmarshalText(b []byte) error {
	v, err := strconv.ParseUint(strings.TrimSuffix(string(b), "/h"), 10, 16)
	if err != nil {
		return fmt.Errorf("%q is no number per hour, write it as in 3/h: %w", b, market.ErrFormat)
	}
	*n = PerHour(v)
	return nil
}

func (n PerHour) String() string { return fmt.Sprintf("%d/h", uint16(n)) }

// Shown is the addresses of a ledger's endpoints as people may see them: path, query and user name of one are often a
// key, so only schemes and hosts, joined by commas.
func Shown(endpoints []string) string {
	names := make([]string, len(endpoints))
	for i, u := range endpoints {
		names[i] = solana.EndpointName(u)
	}
	return strings.Join(names, ",")
}
