package demo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/gpuai/gpuai/market"
)

// ask calls the ledger's JSON-RPC by hand: what the checks read does not pass through the code that they check.
func (w *world) ask(ctx context.Context, out any, method string, params ...any) error {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.ledger.RPC, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask ledger: %w", err)
	}
	defer resp.Body.Close()
	answer := struct {
		Error  *struct{ Message string }
		Result struct{ Value json.RawMessage }
	}{}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 16<<20)).Decode(&answer); err != nil {
		return fmt.Errorf("read ledger: %w", err)
	}
	if answer.Error != nil {
		return fmt.Errorf("%s: %s", method, answer.Error.Message)
	}
	return json.Unmarshal(answer.Result.Value, out)
}

func (w *world) balance(ctx context.Context, a string) (v market.Amount, err error) {
	err = w.ask(ctx, &v, "getBalance", a, map[string]string{"commitment": "confirmed"})
	return v, err
}

// Sizes of the upgradeable loader's accounts: tag and address; tag, slot and authority in front of the program.
const (
	programAccount = 36
	programHeader  = 45
)

// programHash hashes the program that the ledger runs.
func (w *world) programHash(ctx context.Context) (string, error) {
	data, err := w.data(ctx, w.ledger.Program.String())
	if err != nil {
		return "", err
	}
	if len(data) != programAccount {
		return "", fmt.Errorf("the program's account has %d bytes, want %d", len(data), programAccount)
	}
	if data, err = w.data(ctx, market.Base58(data[4:])); err != nil {
		return "", err
	}
	if len(data) < programHeader {
		return "", fmt.Errorf("the program's data has %d bytes", len(data))
	}
	h := sha256.Sum256(data[programHeader:])
	return hex.EncodeToString(h[:]), nil
}

func (w *world) data(ctx context.Context, address string) ([]byte, error) {
	var list []*struct{ Data []string }
	err := w.ask(ctx, &list, "getMultipleAccounts", []string{address},
		map[string]string{"encoding": "base64", "commitment": "confirmed"})
	if err != nil {
		return nil, err
	}
	if len(list) != 1 || list[0] == nil || len(list[0].Data) == 0 {
		return nil, fmt.Errorf("account %s does not exist", address)
	}
	return base64.StdEncoding.DecodeString(list[0].Data[0])
}
