package market

import (
	"fmt"
	"slices"
	"time"
)

// Limits of a Want.
const (
	MinWantLife    = time.Minute
	MaxWantLife    = 15 * time.Minute
	WantSlots      = 8 // of one customer
	MaxWantClasses = 4
	MaxWantTerms   = 12
	maxWantTime    = 30 * 24 * time.Hour
)

// Want is a customer's signed wish for devices that its book does not hold: providers that can serve it answer. It
// names no image, command or budget. A larger Seq of the same Slot replaces it; no Devices = withdrawn.
type Want struct {
	Customer    NodeID // the envelope's signer, not in the body
	Seq         uint64 // max(last + 1, unix ms), over all slots
	Lifetime    time.Duration
	Slot        uint8
	Classes     []string // 1..4, any of them; a withdrawn one names them too: they say where it is heard
	Devices     int
	Terms       []Term
	Mint        Address
	MaxRate     Rate          // 0 = any
	MaxDuration time.Duration // whole seconds, 0 = unstated
	Reach       []string      // multiaddresses ≤ 4, outside the body but bound by its hash
}

// Withdrawn reports that the customer wants it no longer.
func (w Want) Withdrawn() bool { return w.Devices == 0 }

// Issued is when the Want was signed, by its customer's clock; Expires when nobody answers it any more.
func (w Want) Issued() time.Time { return time.UnixMilli(int64(w.Seq)) }

// Expires is Issued and its Lifetime.
func (w Want) Expires() time.Time { return w.Issued().Add(w.Lifetime) }

// Valid checks the limits that every node keeps. Errors: ErrRange.
func (w Want) Valid() error {
	bad := func(what string, v any) error { return fmt.Errorf("%w: want with %s %v", ErrRange, what, v) }
	switch {
	case w.Seq == 0:
		return bad("seq", w.Seq)
	case w.Lifetime < MinWantLife || w.Lifetime > MaxWantLife:
		return bad("lifetime", w.Lifetime)
	case w.Slot >= WantSlots:
		return bad("slot", w.Slot)
	case len(w.Classes) < 1 || len(w.Classes) > MaxWantClasses:
		return bad("classes", len(w.Classes))
	case w.Devices < 0 || w.Devices > MaxDevices:
		return bad("devices", w.Devices)
	case len(w.Terms) > MaxWantTerms:
		return bad("terms", len(w.Terms))
	case w.MaxRate > MaxRate:
		return bad("rate", w.MaxRate)
	case w.MaxDuration < 0 || w.MaxDuration > maxWantTime:
		return bad("duration", w.MaxDuration)
	}
	for i, c := range w.Classes {
		if !ValidClass(c) || slices.Contains(w.Classes[:i], c) {
			return bad("class", fmt.Sprintf("%q", c))
		}
	}
	for _, t := range w.Terms {
		if err := t.Valid(); err != nil {
			return err
		}
	}
	return nil
}
