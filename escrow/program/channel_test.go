package program_test

import (
	"crypto/ed25519"
	"encoding/binary"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/program"
	"github.com/gpuai/gpuai/market"
)

// channel is one Channel with its keys; its methods build valid instructions.
type channel struct {
	c                *chain
	terms            escrow.OpenTerms
	id               market.Address
	deposit          uint64
	voucher, release ed25519.PrivateKey
}

// plan fixes terms for a Channel that is not open yet.
func (c *chain) plan(edit ...func(*escrow.OpenTerms)) *channel {
	c.t.Helper()
	h := &channel{c: c, voucher: key("voucher"), release: key("release"), deposit: deposit}
	h.terms = escrow.OpenTerms{
		Payer: addr(c.payer), Payee: c.payee, VoucherKey: escrow.PublicKey(h.voucher), ReleaseKey: escrow.PublicKey(h.release),
		CloseDelay: time.Hour, ClusterTag: c.tag, OpenSlot: c.slot(), Salt: c.salt,
	}
	for _, f := range edit {
		f(&h.terms)
	}
	terms, id, err := h.terms.FindSalt(program.ID)
	if err != nil {
		c.t.Fatal(err)
	}
	c.salt = terms.Salt + 1
	h.terms, h.id = terms, market.Address(id)
	return h
}

func (c *chain) open(edit ...func(*escrow.OpenTerms)) *channel {
	c.t.Helper()
	h := c.plan(edit...)
	c.must([]ix{h.openIx()}, c.payer)
	return h
}

func (h *channel) openIx() ix {
	d := binary.LittleEndian.AppendUint32(append([]byte{escrow.TagOpen}, u64(h.deposit)...), uint32(h.terms.CloseDelay/time.Second))
	d = append(d, u64(h.terms.Salt, h.terms.ClusterTag, h.terms.OpenSlot)...)
	d = append(append(d, h.terms.VoucherKey[:]...), h.terms.ReleaseKey[:]...)
	return call(d, meta{h.terms.Payer, true, true}, meta{key: h.terms.Payee}, meta{h.id, false, true}, meta{key: system})
}

func (h *channel) topUp(amount uint64) ix {
	return call(append([]byte{escrow.TagTopUp}, u64(amount)...), meta{h.terms.Payer, true, true}, meta{h.id, false, true}, meta{key: system})
}

func (h *channel) claim() ix {
	return call([]byte{escrow.TagClaim}, meta{h.id, false, true}, meta{key: sysvar}, meta{h.terms.Payee, false, true})
}

func (h *channel) record() ix {
	return call([]byte{escrow.TagRecord}, meta{h.id, false, true}, meta{key: sysvar})
}

func (h *channel) requestClose(by market.Address) ix {
	return call([]byte{escrow.TagRequestClose}, meta{by, true, false}, meta{h.id, false, true})
}

func (h *channel) releaseIx(by market.Address) ix {
	return call([]byte{escrow.TagRelease}, meta{by, true, false}, meta{h.id, false, true}, meta{key: sysvar})
}

func (h *channel) seal() ix { return call([]byte{escrow.TagSeal}, meta{h.id, false, true}) }
func (h *channel) payPayee() ix {
	return call([]byte{escrow.TagPayPayee}, meta{h.id, false, true}, meta{h.terms.Payee, false, true})
}
func (h *channel) payPayer() ix {
	return call([]byte{escrow.TagPayPayer}, meta{h.id, false, true}, meta{h.terms.Payer, false, true})
}
func (h *channel) reclaim() ix {
	return call([]byte{escrow.TagReclaim}, meta{h.id, false, true}, meta{h.terms.Payer, false, true})
}

// message is a voucher's or release's 50 bytes, with any content.
func message(magic byte, id market.Address, amount uint64, expires int64) []byte {
	return append(append([]byte{magic, 1}, id[:]...), u64(amount, uint64(expires))...)
}

// signed is the ed25519 instruction in the one form that the program reads.
func signed(k ed25519.PrivateKey, msg []byte) ix {
	pub := addr(k)
	return ix{program: ed, data: edData(pub, ed25519.Sign(k, msg), msg)}
}

func edData(pub market.Address, sig, msg []byte) []byte {
	d := []byte{1, 0, 48, 0, 255, 255, 16, 0, 255, 255, 112, 0, byte(len(msg)), 0, 255, 255}
	return append(append(append(d, pub[:]...), sig...), msg...)
}

func (h *channel) voucherIx(amount uint64) ix {
	return signed(h.voucher, message('V', h.id, amount, 0))
}

func (h *channel) consent(final uint64) ix {
	return signed(h.release, message('R', h.id, final, h.c.now().Add(10*time.Minute).Unix()))
}

// pay claims a voucher of amount.
func (h *channel) pay(amount uint64) result {
	h.c.t.Helper()
	return h.c.must([]ix{h.voucherIx(amount), h.claim()}, h.c.fee)
}

// finish seals with the payee's consent at final and pays both.
func (h *channel) finish(final uint64) result {
	h.c.t.Helper()
	return h.c.must([]ix{h.consent(final), h.releaseIx(h.terms.Payer), h.payPayee(), h.payPayer()}, h.c.payer)
}

func (h *channel) state() escrow.ChannelState {
	h.c.t.Helper()
	a := h.c.account(h.id)
	if a == nil {
		return escrow.ChannelState{Status: escrow.StatusGone}
	}
	s, err := escrow.DecodeChannel(a.bytes(h.c.t))
	if err != nil {
		h.c.t.Fatal(err)
	}
	return s
}

// holds compares status, deposit, settled, paid, refunded.
func (h *channel) holds(t *testing.T, status escrow.Status, amounts ...market.Amount) {
	t.Helper()
	s := h.state()
	got := []market.Amount{s.Deposit, s.Settled, s.Paid, s.Refunded}
	if s.Status != status {
		t.Errorf("status %v, want %v", s.Status, status)
	}
	for i, want := range amounts {
		if got[i] != want {
			t.Errorf("deposit, settled, paid, refunded = %v, want %v", got, amounts)
			break
		}
	}
}
