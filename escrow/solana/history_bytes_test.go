package solana

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"testing"
)

// TestHistory_Calls_AnyBytes: what an endpoint says a transaction is, cut anywhere and with any byte changed, is read
// or is an error.
func TestHistory_Calls_AnyBytes(t *testing.T) {
	t.Parallel()
	_, seal, _ := relayIxs()
	raw, _, err := compile(testSigner("payer"), [32]byte{1}, []instruction{seal})
	if err != nil {
		t.Fatal(err)
	}
	var r rawTransaction
	if err := json.Unmarshal([]byte(`{"meta":{"err":null}}`), &r); err != nil {
		t.Fatal(err)
	}
	read, tried := 0, 0
	try := func(b []byte) {
		r.Transaction = []string{base64.StdEncoding.EncodeToString(b), "base64"}
		tried++
		if got, err := r.calls(relayProgram); err == nil && len(got) > 0 {
			read++
		}
	}
	try(raw)
	if read != 1 {
		t.Error("the transaction itself is not read")
	}
	for i := range raw {
		try(raw[:i])
		for _, v := range []byte{0, 1, 0x7f, 0x80, 0xff} {
			b := slices.Clone(raw)
			b[i] = v
			try(b)
			try(b[:len(b)/2+i/2])
		}
	}
	if read == tried {
		t.Error("all of them are read")
	}
}
