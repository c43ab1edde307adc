package wire

import (
	"crypto/ed25519"
	"fmt"

	"github.com/gpuai/gpuai/market"
)

const (
	maxImage    = 512
	maxPlatform = 64
	maxSpec     = 32 << 10
)

// EncodeOrder writes the body of an Order.
func EncodeOrder(o market.Order) []byte {
	m := &PBOrder{
		Nonce: o.Nonce[:], Customer: o.Customer[:], Payer: o.Payer[:], ClusterTag: o.ClusterTag, Created: ms(o.Created),
		ValidUntil: ms(o.ValidUntil),
		Kind:       uint32(o.Kind), Devices: uint32(max(o.Devices, 0)), Image: o.Image, ImageBytes: o.ImageBytes,
		InputBytes: o.InputBytes,
		Platform:   o.Platform, CpuMilli: o.CPUMilli, Ram: o.RAM, Disk: o.Disk, Shm: o.Shm, Egress: uint32(o.Egress),
		Mint:    absent(o.Mint[:]),
		MaxRate: uint64(o.MaxRate), Budget: uint64(o.Budget), MaxDuration: durMS(o.MaxDuration), Tick: durMS(o.Tick),
		StartTimeout: durMS(o.StartTimeout), StopGrace: durMS(o.StopGrace), Private: o.Private,
	}
	m.Constraints = packTerms(o.Constraints)
	return marshal(m)
}

func packTerms(in []market.Term) (out []*PBTerm) {
	for _, t := range in {
		p := &PBTerm{Field: uint32(t.Field), Lo: t.Lo, In: t.In, Classes: t.Classes, Not: t.Not, Soft: t.Soft}
		if t.HasHi {
			p.Hi = &t.Hi
		}
		out = append(out, p)
	}
	return out
}

// DecodeOrder reads and checks the body of an Order: sizes and forms, not policy. Errors: ErrMalformed, ErrTooLarge.
func DecodeOrder(body []byte) (market.Order, error) {
	var m PBOrder
	if err := unmarshal(body, &m, KindOrder); err != nil {
		return market.Order{}, err
	}
	r := &reader{}
	o := market.Order{
		ClusterTag: m.ClusterTag, Created: r.time(m.Created, "created"),
		ValidUntil: r.time(m.ValidUntil, "valid until"), Kind: r.u8(m.Kind, "kind"),
		Devices: int(m.Devices), Image: r.text(m.Image, maxImage, "image"), ImageBytes: m.ImageBytes,
		InputBytes: m.InputBytes,
		Platform:   r.text(m.Platform, maxPlatform, "platform"), CPUMilli: m.CpuMilli, RAM: m.Ram, Disk: m.Disk,
		Shm:    m.Shm,
		Egress: r.u8(m.Egress, "egress"), MaxRate: market.Rate(m.MaxRate), Budget: market.Amount(m.Budget),
		MaxDuration: r.duration(m.MaxDuration, "max duration"), Tick: r.duration(m.Tick, "tick"),
		StartTimeout: r.duration(m.StartTimeout, "start timeout"), StopGrace: r.duration(m.StopGrace, "stop grace"),
		Private: m.Private,
	}
	r.fixed(o.Nonce[:], m.Nonce, "nonce")
	r.fixed(o.Customer[:], m.Customer, "customer")
	r.fixed(o.Payer[:], m.Payer, "payer")
	r.optional(o.Mint[:], m.Mint, "mint")
	if m.Devices < 1 || m.Devices > market.MaxDevices {
		r.fail("%d devices", m.Devices)
	}
	if o.MaxRate > market.MaxRate {
		r.fail("max rate above the limit")
	}
	if len(m.Constraints) > market.MaxTerms {
		r.fail("%d terms", len(m.Constraints))
	} else {
		o.Constraints = r.terms(m.Constraints)
	}
	if err := r.done(KindOrder); err != nil {
		return market.Order{}, err
	}
	return o, nil
}

func (r *reader) terms(in []*PBTerm) (out []market.Term) {
	for _, p := range in {
		t := market.Term{Field: market.FieldID(r.u8(p.Field, "term field")), Lo: p.Lo, In: p.In, Classes: p.Classes,
			Not: p.Not, Soft: p.Soft}
		if p.Hi != nil {
			t.Hi, t.HasHi = *p.Hi, true
		}
		if err := t.Valid(); err != nil {
			r.fail("term: %v", err)
		}
		out = append(out, t)
	}
	return out
}

// SealOrder signs an Order; a zero Customer becomes the key's. Errors: as Seal and DecodeOrder.
func SealOrder(key ed25519.PrivateKey, network string, o market.Order) ([]byte, error) {
	if o.Customer == (market.NodeID{}) && len(key) == ed25519.PrivateKeySize {
		copy(o.Customer[:], key[ed25519.SeedSize:])
	}
	body := EncodeOrder(o)
	if _, err := DecodeOrder(body); err != nil {
		return nil, fmt.Errorf("seal order: %w", err)
	}
	return Seal(key, network, KindOrder, body, nil)
}

// OpenOrder verifies and reads an Order; its customer must be its signer. Errors: as Open and DecodeOrder.
func OpenOrder(raw []byte, network string) (market.Order, Envelope, error) {
	o, e, err := open(raw, network, KindOrder, DecodeOrder)
	if err == nil && o.Customer != e.Signer {
		return market.Order{}, Envelope{}, fmt.Errorf("open order: %w: signer is not the customer", ErrMalformed)
	}
	return o, e, err
}

// EncodeQuote writes the body of a Quote.
func EncodeQuote(q market.Quote) []byte {
	return marshal(&PBQuote{
		OrderId: q.Order[:], OfferId: q.Offer[:], OfferSeq: q.OfferSeq, Devices: packDevices(q.Devices),
		Rate: uint64(q.Rate), Mint: absent(q.Mint[:]),
		Payout: q.Payout[:], Created: ms(q.Created), Expires: ms(q.Expires), Tick: durMS(q.Tick), Hold: durMS(q.Hold),
		Prepay:  uint32(q.Prepay),
		PrepMax: durMS(q.PrepMax), FloorRate: q.FloorRate, MinHeadroom: uint64(q.MinHeadroom),
		MinCloseDelay: durMS(q.MinCloseDelay),
		ReleaseKey:    q.ReleaseKey[:], ClaimFee: uint64(q.ClaimFee), FeePayer: absent(q.FeePayer[:]),
	})
}

// DecodeQuote reads and checks the body of a Quote. Errors: ErrMalformed, ErrTooLarge.
func DecodeQuote(body []byte) (market.Quote, error) {
	var m PBQuote
	if err := unmarshal(body, &m, KindQuote); err != nil {
		return market.Quote{}, err
	}
	r := &reader{}
	q := market.Quote{
		OfferSeq: m.OfferSeq, Devices: r.devices(m.Devices, 1), Rate: market.Rate(m.Rate),
		Created: r.time(m.Created, "created"),
		Expires: r.time(m.Expires, "expires"), Tick: r.duration(m.Tick, "tick"), Hold: r.duration(m.Hold, "hold"),
		Prepay:  r.u8(m.Prepay, "prepay"),
		PrepMax: r.duration(m.PrepMax, "prep max"), FloorRate: m.FloorRate, MinHeadroom: market.Amount(m.MinHeadroom),
		MinCloseDelay: r.duration(m.MinCloseDelay, "min close delay"), ClaimFee: market.Amount(m.ClaimFee),
	}
	r.fixed(q.Order[:], m.OrderId, "order id")
	r.fixed(q.Offer[:], m.OfferId, "offer id")
	r.optional(q.Mint[:], m.Mint, "mint")
	r.fixed(q.Payout[:], m.Payout, "payout")
	r.fixed(q.ReleaseKey[:], m.ReleaseKey, "release key")
	r.optional(q.FeePayer[:], m.FeePayer, "fee payer")
	if q.Rate > market.MaxRate || q.Prepay > 1 {
		r.fail("rate or prepay out of range")
	}
	if err := r.done(KindQuote); err != nil {
		return market.Quote{}, err
	}
	return q, nil
}

// SealQuote signs a Quote. Errors: as Seal and DecodeQuote.
func SealQuote(key ed25519.PrivateKey, network string, q market.Quote) ([]byte, error) {
	return seal(key, network, KindQuote, EncodeQuote(q), DecodeQuote)
}

// OpenQuote verifies and reads a Quote. Errors: as Open and DecodeQuote.
func OpenQuote(raw []byte, network string) (market.Quote, Envelope, error) {
	return open(raw, network, KindQuote, DecodeQuote)
}

// EncodeProposal writes the body of a Lease.
func EncodeProposal(p market.Proposal) []byte {
	return marshal(&PBLease{
		Order: p.Order, Quote: p.Quote, Channel: p.Channel[:], VoucherKey: p.VoucherKey[:], BindSig: p.BindSig[:],
		Cap: uint64(p.Cap), Spec: p.Spec,
		Nonce: p.Nonce[:], Created: ms(p.Created), AcceptUntil: ms(p.AcceptUntil),
	})
}

// DecodeProposal reads and checks the body of a Lease; the Order and Quote inside stay unopened. Errors: ErrMalformed,
// ErrTooLarge.
func DecodeProposal(body []byte) (market.Proposal, error) {
	var m PBLease
	if err := unmarshal(body, &m, KindLease); err != nil {
		return market.Proposal{}, err
	}
	r := &reader{}
	p := market.Proposal{
		Order: r.bytes(m.Order, MaxOrder, "order"), Quote: r.bytes(m.Quote, KindQuote.MaxSize(), "quote"),
		Cap:  market.Amount(m.Cap),
		Spec: r.bytes(m.Spec, maxSpec, "spec"), Created: r.time(m.Created, "created"),
		AcceptUntil: r.time(m.AcceptUntil, "accept until"),
	}
	r.fixed(p.Channel[:], m.Channel, "channel")
	r.fixed(p.VoucherKey[:], m.VoucherKey, "voucher key")
	r.fixed(p.BindSig[:], m.BindSig, "bind signature")
	r.fixed(p.Nonce[:], m.Nonce, "nonce")
	if err := r.done(KindLease); err != nil {
		return market.Proposal{}, err
	}
	return p, nil
}

// SealProposal signs a Lease; its LeaseID is LeaseIDOf(envelope). Errors: as Seal and DecodeProposal.
func SealProposal(key ed25519.PrivateKey, network string, p market.Proposal) ([]byte, error) {
	return seal(key, network, KindLease, EncodeProposal(p), DecodeProposal)
}

// OpenProposal verifies and reads a Lease, not the Order and Quote inside. Errors: as Open and DecodeProposal.
func OpenProposal(raw []byte, network string) (market.Proposal, Envelope, error) {
	return open(raw, network, KindLease, DecodeProposal)
}

// seal checks a body by the receiver's own decoder before signing it.
func seal[T any](key ed25519.PrivateKey, network string, kind Kind, body []byte,
	decode func([]byte) (T, error)) ([]byte, error) {
	if _, err := decode(body); err != nil {
		return nil, fmt.Errorf("seal %s: %w", kind, err)
	}
	return Seal(key, network, kind, body, nil)
}

func open[T any](raw []byte, network string, kind Kind, decode func([]byte) (T, error)) (v T, e Envelope, err error) {
	if e, err = openKind(raw, network, kind); err != nil {
		return v, Envelope{}, err
	}
	if v, err = decode(e.Body); err != nil {
		return v, Envelope{}, err
	}
	return v, e, nil
}
