package escrowtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/escrow/localnet"
)

// NeedLocalnet starts a local ledger with the real program and ends it with the test. Without Node.js or its packages
// the test is skipped with the reason, unless GPUAI_NEED contains "node": then it fails.
func NeedLocalnet(t testing.TB, o localnet.Options) *localnet.Server {
	t.Helper()
	s, err := localnet.Start(t.Context(), o)
	if err != nil {
		if slices.Contains(strings.FieldsFunc(os.Getenv("GPUAI_NEED"), func(r rune) bool {
			return r == ',' ||
				r == ' '
		}), "node") {
			t.Fatalf("GPUAI_NEED asks for the local ledger: %v", err)
		}
		t.Skipf("no local ledger: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the local ledger: %v", err)
		}
	})
	return s
}

// Cheat calls a test_ method (test_warp, test_setClock, test_setAccount) or requestAirdrop of a local ledger.
func Cheat(t testing.TB, rpc, method string, params ...any) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(rpc, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatalf("calling %s: %v", method, err)
	}
	defer resp.Body.Close()
	var r struct{ Error *struct{ Message string } }
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil || r.Error != nil {
		t.Fatalf("calling %s: %v", method, fmt.Sprint(err, r.Error))
	}
}
