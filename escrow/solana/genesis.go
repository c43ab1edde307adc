package solana

import (
	"context"
	"fmt"
)

// Genesis asks the endpoints for the cluster's genesis hash (base58), before a Ledger can be opened. Errors:
// chain-unreachable.
func Genesis(ctx context.Context, rpc []string) (hash string, err error) {
	if err := newRPC(rpc).call(ctx, &hash, "getGenesisHash"); err != nil {
		return "", fmt.Errorf("reading the genesis hash: %w", err)
	}
	return hash, nil
}
