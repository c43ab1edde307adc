package escrow_test

import (
	"testing"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

func TestReservedPayee(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"11111111111111111111111111111111", "Sysvar1nstructions1111111111111111111111111",
		"SysvarC1ock11111111111111111111111111111111",
		"SysvarLastRestartS1ot1111111111111111111111", "Ed25519SigVerify111111111111111111111111111",
		"BPFLoaderUpgradeab1e11111111111111111111111",
		"Feature111111111111111111111111111111111111", "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
		"Secp256r1SigVerify1111111111111111111111111",
		"ZkE1Gama1Proof11111111111111111111111111111", "LoaderV411111111111111111111111111111111111",
	} {
		a, err := market.ParseAddress(s)
		if err != nil || !escrow.ReservedPayee(a) {
			t.Errorf("%s can be paid (%v)", s, err)
		}
	}
	if escrow.ReservedPayee(market.Address{7}) {
		t.Error("an ordinary address is reserved")
	}
}
