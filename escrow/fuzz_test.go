package escrow_test

import (
	"encoding/json"
	"testing"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// FuzzSignedJSON: what is read as a signed message of a store is written so that it reads the same.
func FuzzSignedJSON(f *testing.F) {
	b, err := json.Marshal(escrow.Voucher{Channel: market.ChannelID{1}, Amount: 2}.Sign(testKey(1)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"channel":"","amount":-1,"sig":"AA=="}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var v, again escrow.Signed
		if json.Unmarshal(b, &v) == nil {
			raw, err := json.Marshal(v)
			if err != nil || json.Unmarshal(raw, &again) != nil || v != again {
				t.Fatalf("%+v became %+v: %v", v, again, err)
			}
		}
		var r, back escrow.SignedRelease
		if json.Unmarshal(b, &r) == nil {
			raw, err := json.Marshal(r)
			if err != nil || json.Unmarshal(raw, &back) != nil || r != back {
				t.Fatalf("%+v became %+v: %v", r, back, err)
			}
		}
	})
}

// FuzzVoucherKey: a key is taken as it is or not at all, and no signature of it panics.
func FuzzVoucherKey(f *testing.F) {
	key := escrow.PublicKey(testKey(1))
	f.Add(key[:], []byte("message"), make([]byte, 64))
	f.Fuzz(func(t *testing.T, raw, msg, sig []byte) {
		key, err := escrow.ParseVoucherKey(raw)
		if err == nil && string(key[:]) != string(raw) {
			t.Fatalf("%x became %x", raw, key)
		}
		if len(sig) == 64 && escrow.Verify(key, msg, [64]byte(sig)) && err != nil {
			t.Fatalf("a signature of the refused key %x is good", raw)
		}
	})
}
