package rows_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rows"
)

var update = flag.Bool("update", false, "write the golden rows anew: only appending is allowed")

// fill gives each field of a struct another value than zero, so that one which is forgotten shows.
func fill(v reflect.Value, n *int) {
	*n++
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Unix(int64(1_700_000_000+*n), int64(*n)).UTC()))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case v.Kind() == reflect.String:
		v.SetString(strings.Repeat("x", *n))
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanUint():
		v.SetUint(uint64(*n))
	case v.CanInt():
		v.SetInt(int64(*n))
	case v.Kind() == reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(uint64(*n))
		}
	case v.Kind() == reflect.Slice:
		v.SetBytes(bytes.Repeat([]byte{byte(*n)}, *n))
	default:
		panic(v.Type())
	}
}

func full() rows.Tick {
	var t rows.Tick
	n := 0
	fill(reflect.ValueOf(&t).Elem(), &n)
	t.Lease.ID, t.Lease.Side = market.LeaseID{7}, market.CustomerSide
	return t
}

// TestTick_NoFieldIsForgotten: each field of the machine comes back from its row.
func TestTick_NoFieldIsForgotten(t *testing.T) {
	want := full()
	got, err := rows.DecodeTick(want.Lease.ID, want.Lease.Side, want.Encode())
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, want -, got +:\n%s", err, diff)
	}
}

// TestTick_Longest: the longest texts and numbers that a lease can hold fit.
func TestTick_Longest(t *testing.T) {
	v := full()
	l := &v.Lease
	l.Cause, l.Phase, l.Code, l.CapRefused = "runtime", "inputs", market.Code(strings.Repeat("c", 32)),
		market.Code(strings.Repeat("r", 32))
	l.Detail, l.Words = strings.Repeat("d", 256), ""
	for _, f := range []*market.Amount{&l.Claim, &l.Paid, &l.Answered, &l.Signed, &l.Funds, &l.ToppedAt, &l.Terms.Cap,
		&l.Terms.Budget} {
		*f = 1 << 62
	}
	v.Receipt = make([]byte, 240)
	if n := len(v.Encode()); n > rows.MaxTick {
		t.Errorf("%d bytes, the limit is %d", n, rows.MaxTick)
	}
}

// TestRows_Golden: rows of version 1 are written and read as ever. tick.json names what the tick of that version holds.
func TestRows_Golden(t *testing.T) {
	var v rows.Tick
	named, err := os.ReadFile("testdata/tick.json")
	if err == nil {
		err = json.Unmarshal(named, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := escrow.Share{Paid: 1000, Owed: 999, Cap: 1 << 40, MinHeadroom: 7, Live: true}
	got := "tick " + hex.EncodeToString(v.Encode()) + "\nshare " + hex.EncodeToString(rows.EncodeShare(s)) + "\n"
	const file = "testdata/rows.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("rows are\n%s, were\n%s", got, want)
	}
	b, _, _ := strings.Cut(strings.TrimPrefix(string(want), "tick "), "\n")
	row, err := hex.DecodeString(b)
	if err != nil {
		t.Fatal(err)
	}
	back, err := rows.DecodeTick(v.Lease.ID, v.Lease.Side, row)
	if diff := cmp.Diff(v, back); err != nil || diff != "" {
		t.Errorf("%v, want -, got +:\n%s", err, diff)
	}
}

// TestTick_Older_ReadsAsZero: a row that ends before a field is of a version without it.
func TestTick_Older_ReadsAsZero(t *testing.T) {
	v := rows.Tick{Lease: market.Lease{Common: market.Common{ID: market.LeaseID{1}, Side: market.ProviderSide,
		State: market.Running, Paid: 5}}}
	b := v.Encode()
	got, err := rows.DecodeTick(v.Lease.ID, market.ProviderSide, b[:len(b)-12]) // all zero at its end
	if diff := cmp.Diff(v, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := rows.DecodeTick(v.Lease.ID, market.ProviderSide, append([]byte{2}, b[1:]...)); err == nil {
		t.Error("a newer version is read")
	}
}

// TestRows_RoundTrip: any share and voucher comes back.
func TestRows_RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := func(name string) market.Amount { return market.Amount(rapid.Uint64().Draw(t, name)) }
		s := escrow.Share{Paid: amount("paid"), Owed: amount("owed"), Cap: amount("cap"), MinHeadroom: amount("min"),
			Live: rapid.Bool().Draw(t, "live")}
		if got, err := rows.DecodeShare(rows.EncodeShare(s)); err != nil || got != s {
			t.Fatalf("%+v comes back as %+v, %v", s, got, err)
		}
		v := escrow.Signed{Voucher: escrow.Voucher{Amount: amount("total")}}
		copy(v.Sig[:], rapid.SliceOfN(rapid.Byte(), 64, 64).Draw(t, "sig"))
		if got, err := rows.DecodeVoucher(rows.EncodeVoucher(v)); err != nil || got != v {
			t.Fatalf("%+v comes back as %+v, %v", v, got, err)
		}
	})
}

func FuzzDecodeTick(f *testing.F) {
	v := full()
	f.Add(v.Encode())
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = rows.DecodeTick(market.LeaseID{}, market.ProviderSide, b) })
}
