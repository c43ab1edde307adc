package solana

import (
	"encoding/json"
	"testing"
)

// FuzzParseFailure: whatever an endpoint says of a failed transaction, it is one, told in a line that fits.
func FuzzParseFailure(f *testing.F) {
	f.Add([]byte(`{"InstructionError":[2,{"Custom":6001}]}`))
	f.Add([]byte(`"BlockhashNotFound"`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, failed := parseFailure(json.RawMessage(raw))
		if failed != (len(raw) > 0 && string(raw) != "null") || len(got.Text) > 256 || !failed && got.Code != 0 {
			t.Fatalf("%q: %+v, %v", raw, got, failed)
		}
	})
}
