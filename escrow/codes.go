package escrow

import "strconv"

// Codes of the program, append-only, shared with escrow/program and the golden files.
const (
	CodeBadSigner          uint32 = 100
	CodeBadStatus          uint32 = 101
	CodeBadInstruction     uint32 = 102
	CodeNotWritable        uint32 = 103
	CodeBadOwner           uint32 = 104
	CodeBadAccount         uint32 = 105
	CodeBadSysvar          uint32 = 106
	CodeBadMint            uint32 = 107
	CodeBadDestination     uint32 = 108
	CodeAccountCount       uint32 = 109
	CodeDuplicateAccount   uint32 = 110
	CodeBadProgram         uint32 = 111
	CodeSelfPay            uint32 = 112
	CodeZeroAmount         uint32 = 120
	CodeCloseDelayRange    uint32 = 121
	CodeSlotWindow         uint32 = 122
	CodeBadVoucherKey      uint32 = 123
	CodeNoSignature        uint32 = 140
	CodeMalformedSignature uint32 = 141
	CodeBadMagic           uint32 = 142
	CodeWrongChannel       uint32 = 143
	CodeExpired            uint32 = 144
	CodeNotMonotonic       uint32 = 145
	CodeOverDeposit        uint32 = 146
	CodeWrongSigner        uint32 = 147
	CodeOverSettled        uint32 = 148
	CodeTooEarly           uint32 = 160
	CodeLegsOpen           uint32 = 162
	CodeOverflow           uint32 = 163
)

var codeNames = map[uint32]string{
	CodeBadSigner: "bad-signer", CodeBadStatus: "bad-status", CodeBadInstruction: "bad-instruction",
	CodeNotWritable: "not-writable",
	CodeBadOwner:    "bad-owner", CodeBadAccount: "bad-account", CodeBadSysvar: "bad-sysvar", CodeBadMint: "bad-mint",
	CodeBadDestination: "bad-destination", CodeAccountCount: "account-count", CodeDuplicateAccount: "duplicate-account",
	CodeBadProgram: "bad-program", CodeSelfPay: "self-pay", CodeZeroAmount: "zero-amount",
	CodeCloseDelayRange: "close-delay-range",
	CodeSlotWindow:      "slot-window", CodeBadVoucherKey: "bad-voucher-key", CodeNoSignature: "no-signature",
	CodeMalformedSignature: "malformed-signature", CodeBadMagic: "bad-magic", CodeWrongChannel: "wrong-channel",
	CodeExpired:      "expired",
	CodeNotMonotonic: "not-monotonic", CodeOverDeposit: "over-deposit", CodeWrongSigner: "wrong-signer",
	CodeOverSettled: "over-settled", CodeTooEarly: "too-early",
	CodeLegsOpen: "legs-open", CodeOverflow: "overflow",
}

// CodeName returns "147 wrong-signer", or the bare number of a code that is not ours (codes below 100 are the callee's
// of a CPI).
func CodeName(code uint32) string {
	s := strconv.FormatUint(uint64(code), 10)
	if n, ok := codeNames[code]; ok {
		return s + " " + n
	}
	return s
}

// Tags of the program's instructions: the first data byte, append-only.
const (
	TagOpen byte = iota + 1
	TagTopUp
	TagClaim
	TagRecord
	TagRequestClose
	TagRelease
	TagSeal
	TagPayPayee
	TagPayPayer
	TagReclaim
	TagConsent
)

// Limits of the program, in seconds and slots, and fees in lamports.
const (
	MinCloseDelaySeconds = 600
	MaxCloseDelaySeconds = 604_800
	// W: an address may be opened only this long after its open_slot and reclaimed only later
	ReopenWindow    uint64 = 3_000
	FeePerSignature uint64 = 5_000 // each precompile signature counts too
	AccountOverhead uint64 = 128   // bytes that rent adds to an account's length
)
