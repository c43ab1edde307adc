package escrow

import (
	"slices"

	"github.com/gpuai/gpuai/market"
)

// reserved are addresses that the runtime lends read-only to every transaction, the sysvars, builtin programs and
// precompiles, and those of the programs that everybody knows: none of them can ever be paid. The program's open
// refuses them as well, by what the runtime says of them.
var reserved = []string{
	"11111111111111111111111111111111", "AddressLookupTab1e1111111111111111111111111",
	"BPFLoader1111111111111111111111111111111111",
	"BPFLoader2111111111111111111111111111111111", "BPFLoaderUpgradeab1e11111111111111111111111",
	"ComputeBudget111111111111111111111111111111",
	"Config1111111111111111111111111111111111111", "Ed25519SigVerify111111111111111111111111111",
	"Feature111111111111111111111111111111111111",
	"KeccakSecp256k11111111111111111111111111111", "LoaderV411111111111111111111111111111111111",
	"NativeLoader1111111111111111111111111111111",
	"Secp256r1SigVerify1111111111111111111111111", "Stake11111111111111111111111111111111111111",
	"StakeConfig11111111111111111111111111111111",
	"Vote111111111111111111111111111111111111111", "ZkE1Gama1Proof11111111111111111111111111111",
	"ZkTokenProof1111111111111111111111111111111",
	"Sysvar1111111111111111111111111111111111111", "SysvarC1ock11111111111111111111111111111111",
	"SysvarEpochRewards1111111111111111111111111",
	"SysvarEpochSchedu1e111111111111111111111111", "SysvarFees111111111111111111111111111111111",
	"Sysvar1nstructions1111111111111111111111111",
	"SysvarLastRestartS1ot1111111111111111111111", "SysvarRecentB1ockHashes11111111111111111111",
	"SysvarRent111111111111111111111111111111111",
	"SysvarRewards111111111111111111111111111111", "SysvarS1otHashes111111111111111111111111111",
	"SysvarS1otHistory11111111111111111111111111",
	"SysvarStakeHistory1111111111111111111111111", "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
	"TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb",
	"ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL", "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr",
}

// ReservedPayee reports whether an address can never be paid, whatever the chain says of it now: a Channel to it would
// keep its rent for ever.
func ReservedPayee(a market.Address) bool { return slices.Contains(reserved, a.String()) }
