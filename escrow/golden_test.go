package escrow_test

import (
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

var update = flag.Bool("update", false, "write the golden files of testdata")

// golden compares lines "name hex…" with testdata/name.txt: the same files are read by the program's own tests.
func golden(t *testing.T, name string, lines []string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	got := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	for i, w := range strings.Split(string(want), "\n") {
		if i >= len(lines) || lines[i] != w {
			t.Fatalf("%s line %d: want %q; layouts are append-only (-update writes a new file)", path, i+1, w)
		}
	}
	t.Fatalf("%s: more lines than stored", path)
}

// filled is a 32-byte value from a fixed stream.
func filled(r *rand.Rand) (b [32]byte) {
	for i := range 4 {
		binary.LittleEndian.PutUint64(b[8*i:], r.Uint64())
	}
	return b
}

// extremes are amounts at the edges of 64 bits, then random ones.
func extreme(r *rand.Rand, i int) uint64 {
	edges := [...]uint64{0, 1, 2, 255, 256, 1<<32 - 1, 1 << 32, 1 << 53, 1<<53 + 1, 1<<63 - 1, 1 << 63, 1<<64 - 1}
	if i < len(edges) {
		return edges[i]
	}
	return r.Uint64()
}

func TestGolden_Messages(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var vouchers, releases, ed []string
	for i := range 20 {
		key := testKey(byte(i))
		pub := escrow.PublicKey(key)
		ch, amount := market.ChannelID(filled(r)), market.Amount(extreme(r, i))
		v := escrow.Voucher{Channel: ch, Amount: amount}.Sign(key)
		m := v.Encode()
		vouchers = append(vouchers, fmt.Sprintf("voucher-%d %x %d %x %x %x", i, ch, amount, pub, m, v.Sig))
		rel := escrow.Release{Channel: ch, Final: amount, Expires: int64(r.Uint64()>>2) + 1}.Sign(key)
		rm := rel.Encode()
		releases = append(releases, fmt.Sprintf("release-%d %x %d %d %x %x %x", i, ch, amount, rel.Expires, pub, rm,
			rel.Sig))
		d := escrow.Ed25519Data(pub, m, v.Sig)
		ed = append(ed, fmt.Sprintf("ed25519-%d %x", i, d))
	}
	golden(t, "vouchers", vouchers)
	golden(t, "releases", releases)
	golden(t, "ed25519", ed)
}

func TestGolden_AddressesAndAccounts(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	var addresses, accounts []string
	for i := range 20 {
		program := market.Address(filled(r))
		terms := escrow.OpenTerms{
			Payer: filled(r), Payee: filled(r), VoucherKey: escrow.PublicKey(testKey(byte(i))), ReleaseKey: filled(r),
			CloseDelay: time.Hour, Salt: extreme(r, i), ClusterTag: r.Uint64(), OpenSlot: r.Uint64(),
		}
		terms, id, err := terms.FindSalt(program)
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, fmt.Sprintf("pda-%d %x %x %x %x %x %d %d %d %x", i, program, terms.Payer,
			terms.Payee, terms.Mint, terms.VoucherKey, terms.Salt, terms.ClusterTag, terms.OpenSlot, id))
		b := escrow.EncodeChannel(escrow.ChannelState{
			Status: escrow.Status(i % 3), Deposit: market.Amount(i) * 1000, Settled: market.Amount(i) * 500,
			Paid:     market.Amount(i) * 400,
			Deadline: int64(i), OpenSlot: terms.OpenSlot, Salt: terms.Salt, ClusterTag: terms.ClusterTag,
			CloseDelay: terms.CloseDelay,
			Payer:      terms.Payer, Payee: terms.Payee, VoucherKey: terms.VoucherKey, ReleaseKey: terms.ReleaseKey,
			PayeeDest: terms.Payee, PayerDest: terms.Payer, OpenedAt: 1_700_000_000, VoucherSlot: uint64(i),
		})
		accounts = append(accounts, fmt.Sprintf("account-%d %x", i, b))
	}
	golden(t, "addresses", addresses)
	golden(t, "accounts", accounts)
}

func TestGolden_Codes(t *testing.T) {
	var lines []string
	for c := range uint32(256) {
		if n := escrow.CodeName(c); strings.Contains(n, " ") {
			lines = append(lines, strings.TrimPrefix(n, fmt.Sprint(c)+" ")+" "+fmt.Sprint(c))
		}
	}
	golden(t, "codes", lines)
}

// TestAmount_Vectors pins the price formula against big integers, with extremes; the web client reads the same file.
func TestAmount_Vectors(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	var lines []string
	for i := range 1000 {
		n := 1 + r.IntN(market.MaxDevices)
		ms := int64(r.Uint64N(1 << 39))
		rate := r.Uint64N(uint64(market.MaxRate) + 1)
		switch i {
		case 0:
			n, ms, rate = 1, 0, 0
		case 1:
			n, ms, rate = 64, 1<<39, uint64(market.MaxRate)
		case 2:
			n, ms, rate = 1, 1, 3_599_999
		case 3:
			n, ms, rate = 1, 1, 3_600_000
		}
		got, err := market.Rate(rate).For(n, time.Duration(ms)*time.Millisecond)
		want := new(big.Int).Mul(big.NewInt(ms*int64(n)), new(big.Int).SetUint64(rate))
		want.Quo(want, big.NewInt(3_600_000))
		if want.IsUint64() != (err == nil) || err == nil && uint64(got) != want.Uint64() {
			t.Fatalf("%d devices, %d ms, rate %d: %d, %v; want %s", n, ms, rate, got, err, want)
		}
		if err == nil {
			lines = append(lines, fmt.Sprintf("amount-%d %d %d %d %d", i, n, ms, rate, got))
		}
	}
	golden(t, "amounts", lines)
}

// TestAmount_NeverGrows: however time is split into ticks, the last cumulative amount is the floor of the whole, and no
// step falls.
func TestAmount_NeverGrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := market.Rate(rapid.Uint64Range(0, uint64(market.MaxRate)).Draw(t, "rate"))
		n := rapid.IntRange(1, market.MaxDevices).Draw(t, "devices")
		var total time.Duration
		var last market.Amount
		for _, ms := range rapid.SliceOfN(rapid.Int64Range(0, 3_600_000), 1, 40).Draw(t, "ticks") {
			total += time.Duration(ms) * time.Millisecond
			a, err := rate.For(n, total)
			if err != nil {
				t.Fatal(err)
			}
			if a < last {
				t.Fatalf("fell from %d to %d", last, a)
			}
			last = a
		}
		whole := new(big.Int).Mul(big.NewInt(total.Milliseconds()*int64(n)), new(big.Int).SetUint64(uint64(rate)))
		if whole.Quo(whole, big.NewInt(3_600_000)); whole.Uint64() != uint64(last) {
			t.Fatalf("last amount %d, floor of the whole %s", last, whole)
		}
	})
}

func FuzzParseRelease(f *testing.F) {
	w := escrow.Release{Final: 1, Expires: 2}.Sign(testKey(1)).Wire()
	f.Add(w[:])
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := escrow.ParseRelease(b)
		if err != nil {
			return
		}
		if got := s.Wire(); string(got[:]) != string(b) {
			t.Fatalf("wire(parse(%s)) = %x", hex.EncodeToString(b), got)
		}
	})
}
