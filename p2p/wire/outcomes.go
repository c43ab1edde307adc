package wire

import (
	"errors"
	"fmt"

	"github.com/gpuai/gpuai/market"
)

// MaxOutcomes is the largest message of the topic outcomes/1: two envelopes and what holds them.
const MaxOutcomes = 2*1024 + 16

// Outcomes is one lease's end as both of its sides signed it. Outcome is the provider's; the customer's Agrees.
type Outcomes struct {
	Outcome            market.Outcome
	Provider, Customer []byte // envelopes

	provider, customer Envelope
}

// PackOutcomes writes the message of two envelopes; it checks nothing.
func PackOutcomes(provider, customer []byte) []byte {
	return marshal(&PBOutcomes{Provider: provider, Customer: customer})
}

// ReadOutcomes reads the message and checks all but the signatures: both are Outcomes, for everybody, of the same
// lease, and say the same; each signer is the one whom the Deal names. Errors: ErrNewer, ErrTooLarge, ErrMalformed.
func ReadOutcomes(raw []byte, network string) (Outcomes, error) {
	var m PBOutcomes
	if len(raw) > MaxOutcomes {
		return Outcomes{}, fmt.Errorf("decode outcomes: %w: %d bytes", ErrTooLarge, len(raw))
	}
	if err := unmarshal(raw, &m, word("outcomes")); err != nil {
		return Outcomes{}, err
	}
	return JoinOutcomes(m.Provider, m.Customer, network)
}

// JoinOutcomes makes a pair of two envelopes and checks it as ReadOutcomes does. Errors: the same.
func JoinOutcomes(provider, customer []byte, network string) (p Outcomes, err error) {
	p.Provider, p.Customer = provider, customer
	var other market.Outcome
	if p.Outcome, p.provider, err = readOutcome(provider, network); err != nil {
		return Outcomes{}, err
	}
	if other, p.customer, err = readOutcome(customer, network); err != nil {
		return Outcomes{}, err
	}
	r, d := &reader{}, p.Outcome.Deal
	if err := p.Outcome.ValidPublic(); err != nil {
		r.fail("%v", err)
	}
	if p.provider.Signer != d.Provider || p.customer.Signer != d.Customer {
		r.fail("signed by others than its two sides")
	}
	if !p.Outcome.Agrees(other) {
		r.fail("the two sides do not say the same")
	}
	if err := r.done(word("outcomes")); err != nil {
		return Outcomes{}, err
	}
	return p, nil
}

func readOutcome(raw []byte, network string) (o market.Outcome, e Envelope, err error) {
	if e, err = Parse(raw, network); err != nil {
		return o, e, err
	}
	if e.Kind != KindOutcome {
		return o, e, malformed("%s instead of an outcome", e.Kind)
	}
	o, err = DecodeOutcome(e.Body)
	return o, e, err
}

// Verify checks both signatures. Errors: ErrSignature.
func (p Outcomes) Verify(network string) error {
	return errors.Join(p.provider.Verify(network), p.customer.Verify(network))
}

func packDeal(d market.Deal) *PBDeal {
	if d == (market.Deal{}) {
		return nil
	}
	return &PBDeal{Class: d.Class, Rate: uint64(d.Rate), Devices: uint32(max(d.Devices, 0)), Mint: absent(d.Mint[:]),
		Channel: absent(d.Channel[:]), Payer: absent(d.Payer[:]), Payee: absent(d.Payee[:]),
		Provider: absent(d.Provider[:]), Customer: absent(d.Customer[:]), Bind: absent(d.Bind[:])}
}

// deal reads forms only: what is missing keeps an Outcome from everybody, not from its two sides.
func (r *reader) deal(m *PBDeal) (d market.Deal) {
	if m == nil {
		return d
	}
	d.Class, d.Rate, d.Devices = r.text(m.Class, 32, "class"), market.Rate(m.Rate), int(m.Devices)
	if m.Devices > market.MaxDevices || d.Rate > market.MaxRate {
		r.fail("rate or devices of a deal out of range")
	}
	r.optional(d.Mint[:], m.Mint, "mint")
	r.optional(d.Channel[:], m.Channel, "channel")
	r.optional(d.Payer[:], m.Payer, "payer")
	r.optional(d.Payee[:], m.Payee, "payee")
	r.optional(d.Provider[:], m.Provider, "provider")
	r.optional(d.Customer[:], m.Customer, "customer")
	r.optional(d.Bind[:], m.Bind, "bind signature")
	return d
}
