package market

import (
	"bytes"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// TestBase58_DigitByDigit compares with the definition, and with the decoder.
func TestBase58_DigitByDigit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "bytes")
		for i := range rapid.IntRange(0, min(3, len(b))).Draw(t, "zeros") {
			b[i] = 0
		}
		want := ""
		for n, m := new(big.Int).SetBytes(b), new(big.Int); n.Sign() > 0; {
			n.DivMod(n, big.NewInt(58), m)
			want = string(alphabet58[m.Int64()]) + want
		}
		for i := 0; i < len(b) && b[i] == 0; i++ {
			want = "1" + want
		}
		got := Base58(b)
		if got != want {
			t.Fatalf("%x: %s, want %s", b, got, want)
		}
		if back, err := ParseBase58(got, len(b)); err != nil || !bytes.Equal(back, b) {
			t.Fatalf("%x came back as %x, %v", b, back, err)
		}
	})
}
