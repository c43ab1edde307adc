package localnet

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/gpuai/gpuai/escrow/program"
)

func call(t *testing.T, s *Server, method string, params ...any) (result json.RawMessage, code int) {
	t.Helper()
	if params == nil {
		params = []any{}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(s.RPC, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var r struct {
		ID     json.RawMessage
		Result json.RawMessage
		Error  struct{ Code int }
	}
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		t.Fatal(err)
	}
	if string(r.ID) != "7" {
		t.Errorf("id echoed as %s", r.ID)
	}
	return r.Result, r.Error.Code
}

func TestStart_AnswersAndEnds(t *testing.T) {
	t.Parallel()
	s, err := Start(context.Background(), Options{SlotMS: -1, Seed: "test"})
	if err != nil {
		t.Skip(err) // escrowtest.NeedLocalnet turns this into a failure where GPUAI_NEED asks for it
	}
	if s.Program != program.ID {
		t.Errorf("program %s", s.Program)
	}
	if rent, _ := call(t, s, "test_rent"); string(rent) != "6960" {
		t.Errorf("rent per byte %s", rent)
	}
	if _, code := call(t, s, "requestAirdrop", s.Program.String(), 5_000_000_000); code != 0 {
		t.Errorf("airdrop: error %d", code)
	}
	var bal struct{ Value uint64 }
	raw, _ := call(t, s, "getBalance", s.Faucet.String(), map[string]string{"commitment": "confirmed"})
	if err := json.Unmarshal(raw, &bal); err != nil || bal.Value != 1_000_000_000_000_000_000-5_000_000_000-5_000 {
		t.Errorf("faucet holds %d, %v (all digits of a u64 must arrive)", bal.Value, err)
	}
	if _, code := call(t, s, "getProgramAccounts"); code != -32601 {
		t.Errorf("unknown method: error %d", code)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if s.cmd.ProcessState == nil {
		t.Error("the process still runs")
	}
}
