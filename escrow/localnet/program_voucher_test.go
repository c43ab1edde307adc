package localnet_test

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
)

// sigData lays out one ed25519 instruction freely: it is valid for the precompile, whatever the program says.
func sigData(k ed25519.PrivateKey, msg []byte, keyAt, sigAt, msgAt, size int, indexes [3]uint16) []byte {
	b := make([]byte, size)
	b[0] = 1
	p := pub(k)
	copy(b[keyAt:], p[:])
	copy(b[sigAt:], ed25519.Sign(k, msg))
	copy(b[msgAt:], msg)
	for i, v := range []uint16{uint16(sigAt), indexes[0], uint16(keyAt), indexes[1], uint16(msgAt), uint16(len(msg)),
		indexes[2]} {
		binary.LittleEndian.PutUint16(b[2+2*i:], v)
	}
	return b
}

//nolint:funlen // one table
func TestVoucher_Malformed(t *testing.T) {
	t.Parallel()
	root := newChain(t)
	d, other := root.opened(1_000_000_000), root.opened(1_000_000_000)
	root.ok(one(d.relay), d.voucherIx(500), root.record(d))
	now := time.Now().Unix()
	msg := message(0x56, d.id, 700, 0)
	own := [3]uint16{math.MaxUint16, math.MaxUint16, math.MaxUint16}
	raw := func(data []byte, metas ...meta) ix { return ix{ed25519Prog, metas, data} }
	good := sigData(d.voucher, msg, 16, 48, 112, 162, own)
	two := func(size int) []byte { // two equal signatures of a message that ends the data
		m := msg[:size-126]
		b := sigData(d.voucher, m, 30, 62, 126, size, own)
		b[0] = 2
		copy(b[16:30], b[2:16])
		return b
	}
	record := root.record(d)
	lookalike := record
	lookalike.metas = []meta{record.metas[0], {key: addr{9, 9}}}
	root.setAccount(addr{9, 9}, 1_000_000_000, append(append([]byte{1, 0, 4, 0, 0, 0}, good...), 1, 0), addr{6})

	for _, v := range []struct {
		name string
		code uint32
		at   int // the instruction that fails; 0 with code 0: the precompile
		ixs  []ix
	}{
		{"first-instruction", escrow.CodeNoSignature, 0, []ix{record}},
		{"other-program-before", escrow.CodeNoSignature, 1, []ix{transfer(pub(d.relay), pub(d.payee), 1), record}},
		{"other-program-between", escrow.CodeNoSignature, 2,
			[]ix{raw(good), transfer(pub(d.relay), pub(d.payee), 1), record}},
		{"signature-after", escrow.CodeNoSignature, 0, []ix{record, raw(good)}},
		{"precompile-with-account", escrow.CodeNoSignature, 1, []ix{raw(good, meta{key: addr{4}}), record}},
		{"two-records-one-signature", escrow.CodeNoSignature, 2, []ix{raw(good), record, record}},
		{"look-alike-sysvar", escrow.CodeBadSysvar, 1, []ix{raw(good), lookalike}},
		{"index-signature", escrow.CodeMalformedSignature, 1,
			[]ix{raw(sigData(d.voucher, msg, 16, 48, 112, 162, [3]uint16{0, 0xFFFF, 0xFFFF})), record}},
		{"index-key", escrow.CodeMalformedSignature, 1,
			[]ix{raw(sigData(d.voucher, msg, 16, 48, 112, 162, [3]uint16{0xFFFF, 0, 0xFFFF})), record}},
		{"index-message", escrow.CodeMalformedSignature, 1,
			[]ix{raw(sigData(d.voucher, msg, 16, 48, 112, 162, [3]uint16{0xFFFF, 0xFFFF, 0})), record}},
		{"index-foreign-instruction", escrow.CodeMalformedSignature, 2, []ix{raw(good), raw(forged(d, msg)), record}},
		{"offset-key-signature", escrow.CodeMalformedSignature, 1,
			[]ix{raw(sigData(d.voucher, msg, 80, 16, 112, 162, own)), record}},
		{"offset-message", escrow.CodeMalformedSignature, 1,
			[]ix{raw(sigData(d.voucher, msg, 66, 98, 16, 162, own)), record}},
		{"message-49", escrow.CodeMalformedSignature, 1,
			[]ix{raw(sigData(d.voucher, msg[:49], 16, 48, 112, 162, own)), record}},
		{"length-161", escrow.CodeMalformedSignature, 1,
			[]ix{raw(sigData(d.voucher, msg[:49], 16, 48, 112, 161, own)), record}},
		{"length-163-rider", escrow.CodeMalformedSignature, 1,
			[]ix{raw(append(append([]byte(nil), good...), 0)), record}},
		{"count-0", escrow.CodeMalformedSignature, 1, []ix{raw([]byte{0, 0}), record}},
		{"count-0-full", 0, 0, []ix{raw(append([]byte{0}, good[1:]...)), record}},
		{"count-2", escrow.CodeMalformedSignature, 1, []ix{raw(two(162)), record}},
		{"count-2-longer", escrow.CodeMalformedSignature, 1, []ix{raw(two(176)), record}},
		{"padding-byte", escrow.CodeMalformedSignature, 1, []ix{raw(append([]byte{1, 1}, good[2:]...)), record}},
		{"signature-bad", 0, 0, []ix{raw(append(append([]byte(nil), good[:60]...),
			append([]byte{good[60] ^ 1}, good[61:]...)...)), record}},
		{"magic-release", escrow.CodeBadMagic, 1, []ix{signed(d.voucher, message(0x52, d.id, 700, 0)), record}},
		{"magic-version", escrow.CodeBadMagic, 1, []ix{signed(d.voucher, append([]byte{0x56, 2}, msg[2:]...)), record}},
		{"wrong-channel", escrow.CodeWrongChannel, 1, []ix{signed(d.voucher, message(0x56, other.id, 700, 0)), record}},
		{"wrong-key", escrow.CodeWrongSigner, 1, []ix{signed(other.voucher, msg), record}},
		{"release-key", escrow.CodeWrongSigner, 1, []ix{signed(d.release, msg), record}},
		{"expiry-past", escrow.CodeExpired, 1, []ix{signed(d.voucher, message(0x56, d.id, 700, now-60)), record}},
		{"expiry-negative", escrow.CodeExpired, 1, []ix{signed(d.voucher, message(0x56, d.id, 700, -1)), record}},
		{"expiry-minimum", escrow.CodeExpired, 1, []ix{signed(d.voucher, message(0x56, d.id, 700, math.MinInt64)),
			record}},
		{"over-deposit", escrow.CodeOverDeposit, 1, []ix{d.voucherIx(1_000_000_001), record}},
		{"over-deposit-max", escrow.CodeOverDeposit, 1, []ix{d.voucherIx(math.MaxUint64), record}},
		{"not-monotonic", escrow.CodeNotMonotonic, 1, []ix{d.voucherIx(499), record}},
		{"equal", escrow.CodeNotMonotonic, 1, []ix{d.voucherIx(500), record}},
		{"zero", escrow.CodeNotMonotonic, 1, []ix{d.voucherIx(0), record}},
	} {
		t.Run(v.name, func(t *testing.T) {
			c := root.with(t)
			r := c.send(one(d.relay), v.ixs...)
			switch want := codeAt(v.code, v.at); {
			case v.code != 0 && r.err != want:
				t.Errorf("got %q, want %q (%s)", r.err, want, escrow.CodeName(v.code))
			case v.code == 0 && !strings.HasSuffix(r.err, "@0"):
				t.Errorf("got %q, want a refusal of the precompile", r.err)
			}
			if s := c.state(d.id); s.Settled != 500 || s.Paid != 0 {
				t.Errorf("settled %d, paid %d", s.Settled, s.Paid)
			}
		})
	}
	// What the cases vary is accepted when it is right: as is, with an expiry ahead, at the whole deposit.
	root.ok(one(d.relay), raw(good), root.record(d))
	root.ok(one(d.relay), signed(d.voucher, message(0x56, d.id, 701, now+600)), root.record(d))
	root.ok(one(d.relay), d.voucherIx(1_000_000_000), root.claim(d))
	// Sealed: a higher one could not exist, so the deposit of another Channel is used up only in part.
	far := now + 600
	root.ok(one(other.payer), other.releaseMsg(5, far), root.releaseIx(other, pub(other.payer)))
	root.refused(escrow.CodeBadStatus, one(other.relay), other.voucherIx(6), root.record(other))
	root.refused(escrow.CodeBadStatus, one(other.relay), other.voucherIx(6), root.claim(other))
}

// forged looks like a signature of the voucher key over msg, but its offsets verify a message of the instruction
// before: instruction 0 is the honest one, whose key and signature are used again.
func forged(d *deal, msg []byte) []byte {
	return sigData(d.voucher, msg, 16, 48, 112, 162, [3]uint16{0, 0, 0})
}

func codeAt(code uint32, at int) string { return fmt.Sprintf("%d@%d", code, at) }

func TestRelease_Refusals(t *testing.T) {
	t.Parallel()
	root := newChain(t)
	d, other := root.opened(1_000_000_000), root.opened(1_000_000_000)
	root.ok(one(d.relay), d.voucherIx(500), root.record(d))
	now := time.Now().Unix()
	rel := root.releaseIx(d, pub(d.payer))
	for _, v := range []struct {
		name string
		code uint32
		ixs  []ix
	}{
		{"never-expires", escrow.CodeExpired, []ix{d.releaseMsg(600, 0), rel}},
		{"expired", escrow.CodeExpired, []ix{d.releaseMsg(600, now-60), rel}},
		{"negative", escrow.CodeExpired, []ix{d.releaseMsg(600, -1), rel}},
		{"below-settled", escrow.CodeNotMonotonic, []ix{d.releaseMsg(499, now+600), rel}},
		{"over-deposit", escrow.CodeOverDeposit, []ix{d.releaseMsg(1_000_000_001, now+600), rel}},
		{"voucher-key", escrow.CodeWrongSigner, []ix{signed(d.voucher, message(0x52, d.id, 600, now+600)), rel}},
		{"voucher-as-release", escrow.CodeBadMagic, []ix{d.voucherIx(600), rel}},
		{"other-channel", escrow.CodeWrongChannel, []ix{signed(d.release, message(0x52, other.id, 600, now+600)), rel}},
		{"no-signature", escrow.CodeNoSignature, []ix{rel}},
	} {
		t.Run(v.name, func(t *testing.T) { root.with(t).refused(v.code, one(d.payer), v.ixs...) })
	}
	thief := root.funded()
	root.refused(escrow.CodeBadSigner, one(thief), d.releaseMsg(600, now+600), root.releaseIx(d, pub(thief)))
	root.refused(escrow.CodeBadSigner, one(d.payee), d.releaseMsg(600, now+600), root.releaseIx(d, pub(d.payee)))
	// At exactly settled, signed by the voucher key.
	root.ok(one(d.relay, d.voucher), d.releaseMsg(500, now+600), root.releaseIx(d, pub(d.voucher)))
	root.refused(escrow.CodeBadStatus, one(d.payer), d.releaseMsg(600, now+600), rel)
	// A Channel without a release key has no Release: no key signs for zero.
	none := root.plan(1_000)
	none.terms.ReleaseKey = addr{}
	root.ok(one(none.payer), root.open(none))
	root.refused(escrow.CodeWrongSigner, one(none.payer), none.releaseMsg(1, now+600),
		root.releaseIx(none, pub(none.payer)))
	// before any message is read
	root.refused(escrow.CodeWrongSigner, one(none.payer), root.releaseIx(none, pub(none.payer)))
}

func TestVoucherReplay_OtherChannelOfSameKeys(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	d := c.opened(1_000)
	twin := *d
	twin.terms.Salt++
	c.place(&twin)
	c.ok(one(d.payer), c.open(&twin))
	v := d.voucherIx(400)
	c.refused(escrow.CodeWrongChannel, one(d.relay), v, c.record(&twin))
	c.ok(one(d.relay), v, c.record(d))
	c.refused(escrow.CodeNotMonotonic, one(d.relay), v, c.record(d))
}
