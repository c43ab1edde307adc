package wire

import (
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
)

// EncodeWant writes the body of a Want, with the hash of its reach. Customer and Reach are not in it. It checks
// nothing: SealWant does.
func EncodeWant(w market.Want) []byte {
	packed, err := packReach(w.Reach)
	if err != nil {
		packed = nil // Seal refuses the same reach
	}
	return marshal(&PBWant{
		Seq: w.Seq, LifetimeS: uint64(max(w.Lifetime/time.Second, 0)), Slot: uint32(w.Slot), Classes: w.Classes,
		Devices: uint32(max(w.Devices, 0)), Terms: packTerms(w.Terms), Mint: absent(w.Mint[:]),
		MaxRate: uint64(w.MaxRate), MaxDurationS: uint64(max(w.MaxDuration/time.Second, 0)),
		ReachHash: reachHash(packed),
	})
}

// DecodeWant reads and checks the body of a Want; Customer and Reach come from the envelope (ReadWant). Errors:
// ErrMalformed, ErrTooLarge.
func DecodeWant(body []byte) (market.Want, error) {
	w, _, err := decodeWant(body)
	return w, err
}

func decodeWant(body []byte) (market.Want, []byte, error) {
	var m PBWant
	if err := unmarshal(body, &m, KindWant); err != nil {
		return market.Want{}, nil, err
	}
	r := &reader{}
	w := market.Want{
		Seq: m.Seq, Lifetime: time.Duration(min(m.LifetimeS, 1<<20)) * time.Second, Slot: r.u8(m.Slot, "slot"),
		Classes: m.Classes, Devices: int(m.Devices), MaxRate: r.rate(m.MaxRate),
		MaxDuration: time.Duration(min(m.MaxDurationS, 1<<30)) * time.Second,
	}
	r.optional(w.Mint[:], m.Mint, "mint")
	if m.Seq > maxMS || len(m.ReachHash) != 16 || len(m.Terms) > market.MaxWantTerms {
		r.fail("seq out of range, no reach hash, or %d terms", len(m.Terms))
	} else {
		w.Terms = r.terms(m.Terms)
	}
	if err := w.Valid(); err != nil {
		r.fail("%v", err)
	}
	if err := r.done(KindWant); err != nil {
		return market.Want{}, nil, err
	}
	return w, m.ReachHash, nil
}

// SealWant signs a Want after checking it as every receiver will. Customer is ignored: it is the key's. Errors: as Seal
// and DecodeWant.
func SealWant(key ed25519.PrivateKey, network string, w market.Want) ([]byte, error) {
	body := EncodeWant(w)
	if _, err := DecodeWant(body); err != nil {
		return nil, fmt.Errorf("seal want: %w", err)
	}
	return Seal(key, network, KindWant, body, w.Reach)
}

// ReadWant reads the Want of a parsed envelope and checks its reach, not the signature. Errors: ErrMalformed.
func ReadWant(e Envelope) (market.Want, error) {
	w, hash, err := decodeWant(e.Body)
	if err == nil {
		err = e.bound(hash)
	}
	if err != nil {
		return market.Want{}, err
	}
	w.Customer, w.Reach = e.Signer, e.Reach
	return w, nil
}
