package escrow

import "strconv"

// CodeName returns "147 wrong-signer", or the bare number of a code that is not ours (codes below 100 are the callee's
// of a CPI).
func CodeName(code uint32) string {
	s := strconv.FormatUint(uint64(code), 10)
	if n, ok := codeNames[code]; ok {
		return s + " " + n
	}
	return s
}

// Limits of the program, in seconds and slots, and fees in lamports.
const (
	MinCloseDelaySeconds = 600
	MaxCloseDelaySeconds = 604_800
	// W: an address may be opened only this long after its open_slot and reclaimed only later
	ReopenWindow    uint64 = 3_000
	FeePerSignature uint64 = 5_000 // each precompile signature counts too
	AccountOverhead uint64 = 128   // bytes that rent adds to an account's length
)
