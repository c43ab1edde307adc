package wire

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func FuzzEnvelope(f *testing.F) {
	if raw, err := SealOffer(testKey(1), testNet, sampleOffer()); err == nil {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := Parse(raw, testNet)
		if err != nil {
			return
		}
		if len(e.Body)+overhead > e.Kind.MaxSize() || len(e.Reach) > MaxReach {
			t.Fatalf("limits of %s broken", e.Kind)
		}
		_ = e.Verify(testNet)
	})
}

// fuzzDecode: what decodes must encode to what decodes the same.
func fuzzDecode[T any](f *testing.F, seed []byte, decode func([]byte) (T, error), encode func(T) []byte) {
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decode(b)
		if err != nil {
			return
		}
		again, err := decode(encode(v))
		if err != nil {
			t.Fatalf("own encoding refused: %v", err)
		}
		if d := cmp.Diff(v, again, cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
	})
}

func FuzzOffer(f *testing.F) { fuzzDecode(f, EncodeOffer(sampleOffer()), DecodeOffer, EncodeOffer) }
func FuzzOrder(f *testing.F) { fuzzDecode(f, EncodeOrder(sampleOrder()), DecodeOrder, EncodeOrder) }
func FuzzQuote(f *testing.F) { fuzzDecode(f, EncodeQuote(sampleQuote()), DecodeQuote, EncodeQuote) }
