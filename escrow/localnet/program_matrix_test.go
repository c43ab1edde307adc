package localnet_test

import (
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
)

// cell is one instruction with the places of its accounts; -1: it has none.
type cell struct {
	name                                  string
	pre                                   []ix // the signature before it
	x                                     ix
	signer, channel, dest, sysvar, system int
}

// matrix is the test's ledger with one open Channel, another one and a thief.
type matrix struct {
	*chain
	t               *testing.T
	d, other, fresh *deal // fresh is not open
	thief           ed25519.PrivateKey
	before          []byte // the Channel's account
}

func (m *matrix) cells() []cell {
	d, far := m.d, time.Now().Unix()+600
	return []cell{
		{"open", nil, m.open(m.fresh), 0, 2, -1, -1, 3},
		{"top_up", nil, m.topUp(d, 1_000_000_005), 0, 1, -1, -1, 2},
		{"claim", []ix{d.voucherIx(5)}, m.claim(d), -1, 0, 2, 1, -1},
		{"record", []ix{d.voucherIx(5)}, m.record(d), -1, 0, -1, 1, -1},
		{"request_close", nil, m.requestClose(d, pub(d.payer)), 0, 1, -1, -1, -1},
		{"release", []ix{d.releaseMsg(5, far)}, m.releaseIx(d, pub(d.payer)), 0, 1, -1, 2, -1},
		{"seal", nil, m.seal(d), -1, 0, -1, -1, -1},
		{"pay_payee", nil, m.payPayee(d), -1, 0, 1, -1, -1},
		{"pay_payer", nil, m.payPayer(d), -1, 0, 1, -1, -1},
		{"consent", []ix{d.releaseMsg(0, far)}, m.consent(d), -1, 0, -1, 1, -1},
		{"reclaim", nil, m.reclaim(d), -1, 0, 1, -1, -1},
	}
}

// refuses changes a copy of the cell's instruction and wants this code.
func (m *matrix) refuses(k cell, class string, code uint32, change func(*ix)) {
	m.t.Run(k.name+"/"+class, func(t *testing.T) {
		x := k.x
		x.metas = append([]meta(nil), x.metas...)
		x.data = append([]byte(nil), x.data...)
		change(&x)
		keys := one(m.thief)
		for _, a := range x.metas {
			if a.s && a.key == pub(m.d.payer) {
				keys = append(keys, m.d.payer)
			}
			if a.s && a.key == pub(m.fresh.payer) {
				keys = append(keys, m.fresh.payer)
			}
		}
		m.with(t).refused(code, keys, append(append([]ix(nil), k.pre...), x)...)
	})
}

// TestProgram_Matrix fills the classes of the known attacks for each instruction; every refusal leaves the Channel as
// it was. Not here: an address that is derived at claim time and a shared account (the program has neither), re-opening
// (TestReopen_NeverSameAddress), closing (TestReclaim_*).
func TestProgram_Matrix(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	m := &matrix{chain: c, t: t, d: c.opened(1_000_000_000), other: c.opened(1_000_000_000),
		fresh: c.plan(1_000_000_000), thief: c.funded()}
	m.before, _ = c.data(m.d.id)
	for _, k := range m.cells() {
		m.form(k)
		if k.name != "open" {
			m.cosplays(k)
		}
		m.roles(k)
	}
	if after, _ := c.data(m.d.id); string(after) != string(m.before) {
		t.Error("a refused instruction changed the Channel")
	}
}

// form: counts, lengths, tags, an account twice.
func (m *matrix) form(k cell) {
	m.refuses(k, "count-more", escrow.CodeAccountCount, func(x *ix) { x.metas = append(x.metas, meta{key: addr{9}}) })
	// the fifth account must not be read as the data behind the fourth
	m.refuses(k, "count-five", escrow.CodeAccountCount, func(x *ix) {
		for i := byte(len(x.metas)); i < 5; i++ {
			x.metas = append(x.metas, meta{key: addr{1, i}})
		}
	})
	m.refuses(k, "count-less", escrow.CodeAccountCount, func(x *ix) { x.metas = x.metas[:len(x.metas)-1] })
	m.refuses(k, "data-longer", escrow.CodeBadInstruction, func(x *ix) { x.data = append(x.data, 0) })
	m.refuses(k, "data-empty", escrow.CodeBadInstruction, func(x *ix) { x.data = nil })
	if len(k.x.data) > 1 {
		m.refuses(k, "data-shorter", escrow.CodeBadInstruction, func(x *ix) { x.data = x.data[:len(x.data)-1] })
	}
	m.refuses(k, "tag-unknown", escrow.CodeBadInstruction, func(x *ix) { x.data[0] = 77 })
	if len(k.x.metas) > 1 {
		m.refuses(k, "duplicate", escrow.CodeDuplicateAccount,
			func(x *ix) { x.metas[len(x.metas)-1] = meta{key: x.metas[0].key, w: true} })
	}
	m.refuses(k, "channel-read-only", escrow.CodeNotWritable, func(x *ix) { x.metas[k.channel].w = false })
}

// cosplays: a Channel's bytes under another owner, and other bytes under the program.
func (m *matrix) cosplays(k cell) {
	put := func(at addr, data []byte, owner addr) func(*ix) {
		return func(x *ix) {
			m.setAccount(at, 2_000_000_000, data, owner)
			x.metas[k.channel].key = at
		}
	}
	changed := func(at int) []byte {
		b := append([]byte(nil), m.before...)
		b[at] = 2
		return b
	}
	m.refuses(k, "owner", escrow.CodeBadOwner, put(addr{1, 1}, m.before, addr{3}))
	m.refuses(k, "type-kind", escrow.CodeBadAccount, put(addr{1, 2}, changed(0), m.Program))
	m.refuses(k, "type-version", escrow.CodeBadAccount, put(addr{1, 3}, changed(1), m.Program))
	m.refuses(k, "type-mint", escrow.CodeBadAccount, put(addr{1, 4}, changed(239), m.Program))
	m.refuses(k, "type-longer", escrow.CodeBadAccount, put(addr{1, 5}, append(changed(2)[:384:384], 0), m.Program))
	m.refuses(k, "type-shorter", escrow.CodeBadAccount, put(addr{1, 6}, m.before[:383], m.Program))
	m.refuses(k, "type-empty", escrow.CodeBadAccount, put(addr{1, 7}, nil, m.Program))
}

// roles: signers, destinations, sysvar, System program, another deal's Channel.
func (m *matrix) roles(k cell) {
	if k.signer >= 0 {
		m.refuses(k, "signer-missing", escrow.CodeBadSigner, func(x *ix) { x.metas[k.signer].s = false })
	}
	if k.signer >= 0 && k.name != "open" { // anybody may open
		m.refuses(k, "signer-thief", escrow.CodeBadSigner, func(x *ix) { x.metas[k.signer].key = pub(m.thief) })
	}
	// the other payouts need a sealed Channel: TestLegs_Independent, TestReclaim_WindowAndLegs
	if k.name == "claim" || k.name == "pay_payee" {
		m.refuses(k, "destination-thief", escrow.CodeBadDestination, func(x *ix) { x.metas[k.dest].key = pub(m.thief) })
		m.refuses(k, "destination-read-only", escrow.CodeNotWritable, func(x *ix) { x.metas[k.dest].w = false })
	}
	if k.sysvar >= 0 {
		m.refuses(k, "sysvar", escrow.CodeBadSysvar, func(x *ix) { x.metas[k.sysvar].key = addr{8} })
		m.refuses(k, "message-of-other-channel", escrow.CodeWrongChannel, func(x *ix) {
			x.metas[k.channel].key = m.other.id
			if k.signer >= 0 { // only the message is to be wrong
				m.asPayer(m.other, pub(m.d.payer))
			}
		})
	}
	if k.system >= 0 {
		m.refuses(k, "system", escrow.CodeBadProgram, func(x *ix) { x.metas[k.system].key = addr{8} })
	}
}

// asPayer makes who the payer of the Channel by the ledger's cheat.
func (c *chain) asPayer(d *deal, who addr) {
	b, _ := c.data(d.id)
	copy(b[escrow.OffPayer:], who[:])
	c.setAccount(d.id, c.balance(d.id), b, c.Program)
}
