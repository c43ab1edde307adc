package localnet_test

import (
	"testing"

	"github.com/gpuai/gpuai/escrow"
)

// A keypair as Channel would satisfy System without the program's own signature: its address would stand for no terms and could live twice,
// so that old vouchers meet new money.
func TestOpen_AddressOfAKeypair_Refused(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	d := c.plan(1_000_000)
	k := keyOf("a keypair as channel")
	d.id = pub(k)
	x := c.open(d)
	x.metas[2].s = true
	c.refused(escrow.CodeBadAccount, one(d.payer, k), x)
	if b, owner := c.data(d.id); owner != "" {
		t.Errorf("opened %d bytes of %s", len(b), owner)
	}
}

// The address binds every term that a voucher does not name: other terms, other address, and the old address refuses them.
func TestOpen_OtherTermsAtTheAddress_Refused(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	d := c.plan(1_000_000)
	thief := c.funded()
	for name, change := range map[string]func(*deal){
		"payer":       func(d *deal) { d.payer = thief },
		"payee":       func(d *deal) { d.payee = thief },
		"voucher key": func(d *deal) { d.terms.VoucherKey = pub(thief) },
		"salt":        func(d *deal) { d.terms.Salt++ },
		"cluster":     func(d *deal) { d.terms.ClusterTag++ },
		"open slot":   func(d *deal) { d.terms.OpenSlot-- },
	} {
		e := *d
		change(&e)
		if r := c.send(one(e.payer), c.open(&e)); r.err == "" {
			t.Errorf("opened with another %s", name)
		}
	}
	c.ok(one(d.payer), c.open(d))
}

func TestVoucherReplay_OtherCluster(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	d := c.opened(1_000_000)
	there := *d
	there.terms.ClusterTag++ // the same terms on another cluster
	c.place(&there)
	if there.id == d.id {
		t.Fatal("one address on two clusters")
	}
	c.refused(escrow.CodeWrongChannel, one(d.relay), there.voucherIx(5_000), c.record(d))
}
