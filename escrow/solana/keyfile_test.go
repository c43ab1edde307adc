package solana

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/gpuai/gpuai/market"
)

func TestKeypair_SaveLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "spending.json")
	key, err := LoadOrCreateKeypair(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadOrCreateKeypair(path)
	if err != nil || !again.Equal(key) {
		t.Fatalf("second load: %v", err)
	}
	if err := SaveKeypair(path, key); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("overwriting: %v, want fs.ErrExist", err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", st.Mode(), err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKeypair(path); market.CodeOf(err) != market.CodeKeypairInvalid {
		t.Fatalf("group-readable file: %v, want keypair-invalid", err)
	}
}

func FuzzParseKeypair(f *testing.F) {
	f.Add([]byte("[1,2,3]"))
	f.Add([]byte(`{"a":1}`))
	f.Add(bytes.Repeat([]byte("["), 5000))
	f.Fuzz(func(t *testing.T, b []byte) {
		key, why := ParseKeypair(b)
		if why != "" {
			return
		}
		var nums []int
		if err := json.Unmarshal(b, &nums); err != nil || len(nums) != len(key) {
			t.Fatalf("accepted %q", b)
		}
		for i, n := range nums {
			if byte(n) != key[i] {
				t.Fatal("another key")
			}
		}
	})
}

func FuzzDecodeReply(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":7,"result":{"value":1}}`))
	f.Add([]byte(`{"id":7,"error":{"code":-32002,"message":"x","data":{"err":{"InstructionError":[1,{"Custom":147}]}}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var out struct {
			Value []*account `json:"value"`
		}
		if err := decodeReply(b, 200, 7, "getMultipleAccounts", &out); err != nil {
			return
		}
		for _, a := range out.Value {
			if a != nil {
				_, _ = a.bytes() // must not panic
			}
		}
	})
}
