// Code generated from escrow/layout/table.go by make docs; DO NOT EDIT.

package escrow

import (
	"encoding/binary"
	"fmt"

	"github.com/gpuai/gpuai/market"
)

// Tags of the program's instructions: the first data byte.
const (
	TagOpen         byte = 1
	TagTopUp        byte = 2
	TagClaim        byte = 3
	TagRecord       byte = 4
	TagRequestClose byte = 5
	TagRelease      byte = 6
	TagSeal         byte = 7
	TagPayPayee     byte = 8
	TagPayPayer     byte = 9
	TagReclaim      byte = 10
	TagConsent      byte = 11
)

// Codes of the program.
const (
	CodeBadSigner          uint32 = 100 // an account that must sign did not, or is not the one that may
	CodeBadStatus          uint32 = 101 // the Channel is not in the status that this needs
	CodeBadInstruction     uint32 = 102 // unknown tag, or data of another length
	CodeNotWritable        uint32 = 103 // an account that must be writable is not
	CodeBadOwner           uint32 = 104 // the Channel does not belong to the program
	CodeBadAccount         uint32 = 105 // not a Channel of this layout
	CodeBadSysvar          uint32 = 106 // not the instructions sysvar
	CodeBadMint            uint32 = 107 // a mint that is not taken
	CodeBadDestination     uint32 = 108 // money would go to an address that the Channel does not name
	CodeAccountCount       uint32 = 109 // too many or too few accounts
	CodeDuplicateAccount   uint32 = 110 // one account twice
	CodeBadProgram         uint32 = 111 // another program than the one that is called
	CodeSelfPay            uint32 = 112 // payer and payee are one
	CodeZeroAmount         uint32 = 120 // nothing to lock
	CodeCloseDelayRange    uint32 = 121 // the close delay is not between 10 minutes and 7 days
	CodeSlotWindow         uint32 = 122 // open_slot lies ahead or too far back
	CodeBadVoucherKey      uint32 = 123 // the voucher key is no point of the curve
	CodeNoSignature        uint32 = 140 // no signature check right before the instruction
	CodeMalformedSignature uint32 = 141 // a signature check in another form than the one that is taken
	CodeBadMagic           uint32 = 142 // the signed bytes are another kind of message
	CodeWrongChannel       uint32 = 143 // the message is for another Channel
	CodeExpired            uint32 = 144 // the message has expired
	CodeNotMonotonic       uint32 = 145 // not more than what stands already
	CodeOverDeposit        uint32 = 146 // more than the deposit
	CodeWrongSigner        uint32 = 147 // signed by another key
	CodeOverSettled        uint32 = 148 // more than what is settled
	CodeTooEarly           uint32 = 160 // the delay or the window is not over
	CodeLegsOpen           uint32 = 162 // a side is not paid yet
	CodeOverflow           uint32 = 163 // a sum that does not fit, or numbers that contradict each other
)

var codeNames = map[uint32]string{
	CodeBadSigner:          "bad-signer",
	CodeBadStatus:          "bad-status",
	CodeBadInstruction:     "bad-instruction",
	CodeNotWritable:        "not-writable",
	CodeBadOwner:           "bad-owner",
	CodeBadAccount:         "bad-account",
	CodeBadSysvar:          "bad-sysvar",
	CodeBadMint:            "bad-mint",
	CodeBadDestination:     "bad-destination",
	CodeAccountCount:       "account-count",
	CodeDuplicateAccount:   "duplicate-account",
	CodeBadProgram:         "bad-program",
	CodeSelfPay:            "self-pay",
	CodeZeroAmount:         "zero-amount",
	CodeCloseDelayRange:    "close-delay-range",
	CodeSlotWindow:         "slot-window",
	CodeBadVoucherKey:      "bad-voucher-key",
	CodeNoSignature:        "no-signature",
	CodeMalformedSignature: "malformed-signature",
	CodeBadMagic:           "bad-magic",
	CodeWrongChannel:       "wrong-channel",
	CodeExpired:            "expired",
	CodeNotMonotonic:       "not-monotonic",
	CodeOverDeposit:        "over-deposit",
	CodeWrongSigner:        "wrong-signer",
	CodeOverSettled:        "over-settled",
	CodeTooEarly:           "too-early",
	CodeLegsOpen:           "legs-open",
	CodeOverflow:           "overflow",
}

// CallForm is what an instruction of the program looks like: its data's length with the tag, its accounts by name in
// order.
type CallForm struct {
	Name     string
	DataLen  int
	Accounts []AccountForm
}

// AccountForm is one account of an instruction.
type AccountForm struct {
	Name             string
	Signer, Writable bool
}

// Calls are the forms of the program's instructions by their tag.
var Calls = map[byte]CallForm{
	TagOpen: {
		Name: "open", DataLen: 101,
		Accounts: []AccountForm{
			{"payer", true, true},
			{"payee", false, true},
			{"channel", false, true},
			{"system", false, false},
		},
	},
	TagTopUp: {
		Name: "top_up", DataLen: 9,
		Accounts: []AccountForm{
			{"payer", true, true},
			{"channel", false, true},
			{"system", false, false},
		},
	},
	TagClaim: {
		Name: "claim", DataLen: 1,
		Accounts: []AccountForm{
			{"channel", false, true},
			{"instructions", false, false},
			{"payee_dest", false, true},
		},
	},
	TagRecord: {
		Name: "record", DataLen: 1,
		Accounts: []AccountForm{
			{"channel", false, true},
			{"instructions", false, false},
		},
	},
	TagRequestClose: {
		Name: "request_close", DataLen: 1,
		Accounts: []AccountForm{
			{"authority", true, false},
			{"channel", false, true},
		},
	},
	TagRelease: {
		Name: "release", DataLen: 1,
		Accounts: []AccountForm{
			{"authority", true, false},
			{"channel", false, true},
			{"instructions", false, false},
		},
	},
	TagSeal: {
		Name: "seal", DataLen: 1,
		Accounts: []AccountForm{
			{"channel", false, true},
		},
	},
	TagPayPayee: {
		Name: "pay_payee", DataLen: 1,
		Accounts: []AccountForm{
			{"channel", false, true},
			{"payee_dest", false, true},
		},
	},
	TagPayPayer: {
		Name: "pay_payer", DataLen: 1,
		Accounts: []AccountForm{
			{"channel", false, true},
			{"payer_dest", false, true},
		},
	},
	TagReclaim: {
		Name: "reclaim", DataLen: 1,
		Accounts: []AccountForm{
			{"channel", false, true},
			{"payer", false, true},
		},
	},
	TagConsent: {
		Name: "consent", DataLen: 1,
		Accounts: []AccountForm{
			{"channel", false, true},
			{"instructions", false, false},
		},
	},
}

// OpenData is the data of instruction 1, open: 101 bytes with the tag.
type OpenData struct {
	Deposit    market.Amount // what the payer locks
	CloseDelay uint32        // from a request to close to the right to seal
	Salt       uint64        // counted up until the address has bump 255
	ClusterTag uint64        // first 8 bytes of the genesis hash
	OpenSlot   uint64        // the address may be opened from this slot on, for 3,000 slots
	VoucherKey [32]byte      // signs Vouchers
	ReleaseKey [32]byte      // signs Releases; zero: nobody can
}

// Encode returns the tag and the data.
func (d OpenData) Encode() []byte {
	b := make([]byte, 101)
	b[0] = TagOpen
	binary.LittleEndian.PutUint64(b[1:], uint64(d.Deposit))
	binary.LittleEndian.PutUint32(b[9:], d.CloseDelay)
	binary.LittleEndian.PutUint64(b[13:], d.Salt)
	binary.LittleEndian.PutUint64(b[21:], d.ClusterTag)
	binary.LittleEndian.PutUint64(b[29:], d.OpenSlot)
	copy(b[37:], d.VoucherKey[:])
	copy(b[69:], d.ReleaseKey[:])
	return b
}

// DecodeOpenData is Encode's inverse. Errors: ErrMalformed.
func DecodeOpenData(b []byte) (d OpenData, err error) {
	if len(b) != 101 || b[0] != TagOpen {
		return d, fmt.Errorf("%w: not the data of open", ErrMalformed)
	}
	d.Deposit = market.Amount(binary.LittleEndian.Uint64(b[1:]))
	d.CloseDelay = binary.LittleEndian.Uint32(b[9:])
	d.Salt = binary.LittleEndian.Uint64(b[13:])
	d.ClusterTag = binary.LittleEndian.Uint64(b[21:])
	d.OpenSlot = binary.LittleEndian.Uint64(b[29:])
	copy(d.VoucherKey[:], b[37:])
	copy(d.ReleaseKey[:], b[69:])
	return d, nil
}

// TopUpData is the data of instruction 2, top_up: 9 bytes with the tag.
type TopUpData struct {
	Total market.Amount // the deposit afterwards, so that a repeat adds nothing
}

// Encode returns the tag and the data.
func (d TopUpData) Encode() []byte {
	b := make([]byte, 9)
	b[0] = TagTopUp
	binary.LittleEndian.PutUint64(b[1:], uint64(d.Total))
	return b
}

// DecodeTopUpData is Encode's inverse. Errors: ErrMalformed.
func DecodeTopUpData(b []byte) (d TopUpData, err error) {
	if len(b) != 9 || b[0] != TagTopUp {
		return d, fmt.Errorf("%w: not the data of top_up", ErrMalformed)
	}
	d.Total = market.Amount(binary.LittleEndian.Uint64(b[1:]))
	return d, nil
}

// ChannelLen is the account's length, Off… where its fields begin, in bytes: what a filter needs.
const (
	ChannelLen     = 384
	OffStatus      = 2
	OffFlags       = 3
	OffDecimals    = 4
	OffBump        = 5
	OffDeposit     = 8
	OffSettled     = 16
	OffPaid        = 24
	OffRefunded    = 32
	OffDeadline    = 40
	OffOpenSlot    = 48
	OffSalt        = 56
	OffClusterTag  = 64
	OffCloseDelay  = 72
	OffPayer       = 80
	OffPayee       = 112
	OffVoucherKey  = 144
	OffReleaseKey  = 176
	OffMint        = 208
	OffVault       = 240
	OffPayeeDest   = 272
	OffPayerDest   = 304
	OffOpenedAt    = 368
	OffVoucherSlot = 376
)

// ChannelData is the account's bytes, read. One Channel: who pays whom, what is locked, settled, paid and returned.
type ChannelData struct {
	Status      uint8         // 0 open, 1 closing, 2 sealed
	Flags       uint8         // always 0
	Decimals    uint8         // of the mint
	Bump        uint8         // always 255
	Deposit     market.Amount // all that was ever locked
	Settled     market.Amount // what is the payee's
	Paid        market.Amount // of it, what the payee has got
	Refunded    market.Amount // what the payer has got back
	Deadline    int64         // when it may be sealed; 0 while open
	OpenSlot    uint64
	Salt        uint64
	ClusterTag  uint64
	CloseDelay  uint32
	Payer       [32]byte
	Payee       [32]byte
	VoucherKey  [32]byte
	ReleaseKey  [32]byte
	Mint        [32]byte // zero: SOL
	Vault       [32]byte // zero: the account itself
	PayeeDest   [32]byte // where the payee's money goes
	PayerDest   [32]byte // where the rest goes
	OpenedAt    int64
	VoucherSlot uint64 // slot of the last Voucher, if it had an expiry
}

// encode returns the account's bytes.
func (d ChannelData) encode() (b [ChannelLen]byte) {
	b[0] = 1
	b[1] = 1
	b[2] = d.Status
	b[3] = d.Flags
	b[4] = d.Decimals
	b[5] = d.Bump
	binary.LittleEndian.PutUint64(b[8:], uint64(d.Deposit))
	binary.LittleEndian.PutUint64(b[16:], uint64(d.Settled))
	binary.LittleEndian.PutUint64(b[24:], uint64(d.Paid))
	binary.LittleEndian.PutUint64(b[32:], uint64(d.Refunded))
	binary.LittleEndian.PutUint64(b[40:], uint64(d.Deadline))
	binary.LittleEndian.PutUint64(b[48:], d.OpenSlot)
	binary.LittleEndian.PutUint64(b[56:], d.Salt)
	binary.LittleEndian.PutUint64(b[64:], d.ClusterTag)
	binary.LittleEndian.PutUint32(b[72:], d.CloseDelay)
	copy(b[80:], d.Payer[:])
	copy(b[112:], d.Payee[:])
	copy(b[144:], d.VoucherKey[:])
	copy(b[176:], d.ReleaseKey[:])
	copy(b[208:], d.Mint[:])
	copy(b[240:], d.Vault[:])
	copy(b[272:], d.PayeeDest[:])
	copy(b[304:], d.PayerDest[:])
	binary.LittleEndian.PutUint64(b[368:], uint64(d.OpenedAt))
	binary.LittleEndian.PutUint64(b[376:], d.VoucherSlot)
	return b
}

// decodeChannelData is encode's inverse; it checks length, kind and version. Errors: ErrMalformed.
func decodeChannelData(b []byte) (d ChannelData, err error) {
	if len(b) != ChannelLen || b[0] != 1 || b[1] != 1 {
		return d, fmt.Errorf("%w: not a version 1 channel account", ErrMalformed)
	}
	d.Status = b[2]
	d.Flags = b[3]
	d.Decimals = b[4]
	d.Bump = b[5]
	d.Deposit = market.Amount(binary.LittleEndian.Uint64(b[8:]))
	d.Settled = market.Amount(binary.LittleEndian.Uint64(b[16:]))
	d.Paid = market.Amount(binary.LittleEndian.Uint64(b[24:]))
	d.Refunded = market.Amount(binary.LittleEndian.Uint64(b[32:]))
	d.Deadline = int64(binary.LittleEndian.Uint64(b[40:]))
	d.OpenSlot = binary.LittleEndian.Uint64(b[48:])
	d.Salt = binary.LittleEndian.Uint64(b[56:])
	d.ClusterTag = binary.LittleEndian.Uint64(b[64:])
	d.CloseDelay = binary.LittleEndian.Uint32(b[72:])
	copy(d.Payer[:], b[80:])
	copy(d.Payee[:], b[112:])
	copy(d.VoucherKey[:], b[144:])
	copy(d.ReleaseKey[:], b[176:])
	copy(d.Mint[:], b[208:])
	copy(d.Vault[:], b[240:])
	copy(d.PayeeDest[:], b[272:])
	copy(d.PayerDest[:], b[304:])
	d.OpenedAt = int64(binary.LittleEndian.Uint64(b[368:]))
	d.VoucherSlot = binary.LittleEndian.Uint64(b[376:])
	return d, nil
}
