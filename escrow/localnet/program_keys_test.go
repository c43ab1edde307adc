package localnet_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
)

// Keys are compared as four words of 8 bytes: a key that differs in one word only is another key.
func TestProgram_KeysDifferInOneWord(t *testing.T) {
	t.Parallel()
	root := newChain(t)
	d := root.opened(1_000_000_000)
	before, _ := root.data(d.id)
	thief := root.funded()
	far := time.Now().Unix() + 600
	bent := func(k addr, word int) addr {
		k[8*word+3] ^= 1
		return k
	}
	restore := func() { root.setAccount(d.id, rent384+1_000_000_000, before, root.Program) }
	// changed bends one byte of a field of the Channel.
	changed := func(c *chain, field, word int) {
		b := append([]byte(nil), before...)
		b[field+8*word+3] ^= 1
		c.setAccount(d.id, rent384+1_000_000_000, b, c.Program)
	}
	for word := range 4 {
		t.Run(fmt.Sprint(word), func(t *testing.T) {
			c := root.with(t)
			defer restore()
			swap := func(x ix, i int, k addr) ix {
				x.metas = append([]meta(nil), x.metas...)
				x.metas[i].key = k
				return x
			}
			owned := addr{1, 1, byte(word)}
			c.setAccount(owned, rent384+1_000_000_000, before, bent(c.Program, word))
			c.refused(escrow.CodeBadOwner, one(d.relay), swap(c.payPayee(d), 0, owned))
			c.refused(escrow.CodeBadDestination, one(d.relay), d.voucherIx(5),
				swap(c.claim(d), 2, bent(pub(d.payee), word)))
			c.refused(escrow.CodeBadSysvar, one(d.relay), d.voucherIx(5), swap(c.record(d), 1, bent(ixSysvar, word)))
			c.refused(escrow.CodeBadProgram, one(d.payer), swap(c.topUp(d, 5), 2, bent(systemProgram, word)))
			c.refused(escrow.CodeWrongChannel, one(d.relay), signed(d.voucher, message(0x56, bent(d.id, word), 5, 0)),
				c.record(d))

			changed(c, escrow.OffPayer, word)
			c.refused(escrow.CodeBadSigner, one(d.payer), c.topUp(d, 5))
			c.refused(escrow.CodeBadSigner, one(d.payer), c.requestClose(d, pub(d.payer)))
			changed(c, 144, word)
			c.refused(escrow.CodeWrongSigner, one(d.relay), d.voucherIx(5), c.record(d))
			c.refused(escrow.CodeBadSigner, one(thief, d.voucher), c.requestClose(d, pub(d.voucher)))
			changed(c, 176, word)
			c.refused(escrow.CodeWrongSigner, one(d.payer), d.releaseMsg(5, far), c.releaseIx(d, pub(d.payer)))
			changed(c, 208, word) // a mint: not this form's Channel
			c.refused(escrow.CodeBadAccount, one(d.relay), c.payPayee(d))
		})
	}
	root.ok(one(d.relay), d.voucherIx(5), root.claim(d)) // unbent, it works
}

// A message is valid before its expiry, not at it; a negative one never, even under a clock before 1970.
func TestVoucher_ExpiryEdges(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	d := c.opened(1_000_000)
	voucher := func(expires int64) ix { return signed(d.voucher, message(0x56, d.id, 5, expires)) }
	at := time.Now().Unix() + 1_000
	c.must(nil, "test_setClock", at) // the next transaction is in this slot
	c.refused(escrow.CodeExpired, one(d.relay), voucher(at), c.record(d))
	c.must(nil, "test_setClock", at)
	c.refused(escrow.CodeExpired, one(d.payer), d.releaseMsg(5, at), c.releaseIx(d, pub(d.payer)))
	c.must(nil, "test_setClock", -1_000)
	c.refused(escrow.CodeExpired, one(d.relay), voucher(-1), c.record(d))
	c.ok(one(d.relay), voucher(60), c.record(d))
}
