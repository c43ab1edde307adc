package escrow

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/gpuai/gpuai/market"
)

// ErrBump reports terms whose address would need a bump below 255; the program knows 255 only. FindSalt avoids it.
var ErrBump = errors.New("address has no bump 255")

// saltTries bounds FindSalt; each try fails with 1/2, so the bound is never met.
const saltTries = 256

// programAddress is Solana's create_program_address with the seed [255] appended.
func programAddress(program market.Address, seeds ...[]byte) (a [32]byte, err error) {
	h := sha256.New()
	for _, s := range seeds {
		h.Write(s)
	}
	h.Write([]byte{255})
	h.Write(program[:])
	h.Write([]byte("ProgramDerivedAddress"))
	h.Sum(a[:0])
	if OnCurve(a) {
		return [32]byte{}, ErrBump
	}
	return a, nil
}

// Address returns the Channel's account under program: it binds program, parties, mint, voucher key, salt, cluster and
// open slot, so the voucher need not. Errors: ErrBump.
func (t OpenTerms) Address(program market.Address) (market.ChannelID, error) {
	var tail [24]byte
	binary.LittleEndian.PutUint64(tail[0:], t.Salt)
	binary.LittleEndian.PutUint64(tail[8:], t.ClusterTag)
	binary.LittleEndian.PutUint64(tail[16:], t.OpenSlot)
	a, err := programAddress(program, []byte("channel"), t.Payer[:], t.Payee[:], t.Mint[:], t.VoucherKey[:], tail[:])
	return market.ChannelID(a), err
}

// FindSalt counts t.Salt up until the address has bump 255 and returns the terms and the address. Start from a random
// salt.
func (t OpenTerms) FindSalt(program market.Address) (OpenTerms, market.ChannelID, error) {
	for range saltTries {
		if id, err := t.Address(program); err == nil {
			return t, id, nil
		}
		t.Salt++
	}
	return t, market.ChannelID{}, fmt.Errorf("finding a salt: %w", ErrBump)
}

// Terms returns what fixed the Channel at open; Terms().Address(program) must equal ID.
func (s ChannelState) Terms() OpenTerms {
	return OpenTerms{
		Payer: s.Payer, Payee: s.Payee, Mint: s.Mint, VoucherKey: s.VoucherKey, ReleaseKey: s.ReleaseKey,
		CloseDelay: s.CloseDelay, Salt: s.Salt, ClusterTag: s.ClusterTag, OpenSlot: s.OpenSlot,
	}
}

// ClusterTag is the first 8 bytes of the genesis hash (base58), little-endian: it keeps a devnet Channel from passing
// on mainnet.
// Errors: market.ErrFormat.
func ClusterTag(genesis string) (uint64, error) {
	b, err := market.ParseBase58(genesis, 32)
	if err != nil {
		return 0, fmt.Errorf("reading the genesis hash: %w", err)
	}
	return binary.LittleEndian.Uint64(b), nil
}

var opWords = [...]string{"", "open", "top-up", "claim", "record", "request-close", "finish", "reclaim", "transfer",
	"pay"}

func (o Op) String() string {
	if int(o) < len(opWords) && o > 0 {
		return opWords[o]
	}
	return fmt.Sprintf("op-%d", uint8(o))
}

// Key names the intent for ever: channel/op/nonce. The same Key is never effective twice, so use a new Nonce for a new
// wish.
func (in Intent) Key() string { return fmt.Sprintf("%s/%s/%d", in.Channel, in.Op, in.Nonce) }

func (s Status) String() string {
	switch s {
	case StatusOpen:
		return "open"
	case StatusClosing:
		return "closing"
	case StatusSealed:
		return "sealed"
	case StatusGone:
		return "gone"
	}
	return fmt.Sprintf("status-%d", uint8(s))
}

var sendWords = [...]string{"", "planned", "signed", "sent", "confirmed", "expired", "failed", "final"}

func (s SendState) String() string {
	if int(s) < len(sendWords) && s > 0 {
		return sendWords[s]
	}
	return fmt.Sprintf("state-%d", uint8(s))
}

// Ended reports whether nothing more will happen: Failed or Final.
func (s SendState) Ended() bool { return s == Failed || s == Final }
