// Package program is the on-chain escrow program: its committed ELF, its id, and the hash that nodes compare.
//
// Invariants: escrow.so is what build.sh makes of src/; escrow.sum holds the hashes of both, so a forgotten rebuild
// fails a test without any Rust. Concurrency: constants. Persistence: none. Next: src/lib.rs, escrow/localnet.
package program

import (
	"crypto/sha256"
	_ "embed" // the program
	"encoding/hex"

	"github.com/gpuai/gpuai/market"
)

// ELF is the program, SBPFv3.
//
//go:embed escrow.so
var ELF []byte

//go:embed escrow.sum
var sum string

// ID is the program's address on localnet: SHA-256 of "gpuai/escrow/1".
var ID = market.Address(sha256.Sum256([]byte("gpuai/escrow/1")))

// Hash is the SHA-256 of ELF, in hex.
func Hash() string {
	h := sha256.Sum256(ELF)
	return hex.EncodeToString(h[:])
}
