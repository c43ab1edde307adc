package escrow

import (
	"encoding/json"
	"fmt"

	"github.com/gpuai/gpuai/market"
)

// signedJSON is a Signed or SignedRelease in a store: the signature is base64, a third of an array of numbers.
type signedJSON struct {
	Channel market.ChannelID `json:"channel"`
	Amount  market.Amount    `json:"amount"`
	Expires int64            `json:"expires,omitempty"`
	Sig     []byte           `json:"sig"`
}

func (j *signedJSON) parse(b []byte) (sig [64]byte, err error) {
	if err := json.Unmarshal(b, j); err != nil {
		return sig, fmt.Errorf("reading a signed message: %w", err)
	}
	if len(j.Sig) != len(sig) {
		return sig, fmt.Errorf("%w: signature of %d bytes", ErrMalformed, len(j.Sig))
	}
	return [64]byte(j.Sig), nil
}

// MarshalJSON writes channel, amount and signature.
func (s Signed) MarshalJSON() ([]byte, error) {
	return json.Marshal(signedJSON{Channel: s.Channel, Amount: s.Amount, Sig: s.Sig[:]})
}

// UnmarshalJSON is the inverse of MarshalJSON. Errors: ErrMalformed.
func (s *Signed) UnmarshalJSON(b []byte) error {
	var j signedJSON
	sig, err := j.parse(b)
	if err == nil {
		*s = Signed{Voucher: Voucher{Channel: j.Channel, Amount: j.Amount}, Sig: sig}
	}
	return err
}

// MarshalJSON writes channel, final amount, expiry and signature.
func (s SignedRelease) MarshalJSON() ([]byte, error) {
	return json.Marshal(signedJSON{Channel: s.Channel, Amount: s.Final, Expires: s.Expires, Sig: s.Sig[:]})
}

// UnmarshalJSON is the inverse of MarshalJSON. Errors: ErrMalformed.
func (s *SignedRelease) UnmarshalJSON(b []byte) error {
	var j signedJSON
	sig, err := j.parse(b)
	if err == nil {
		*s = SignedRelease{Release: Release{Channel: j.Channel, Final: j.Amount, Expires: j.Expires}, Sig: sig}
	}
	return err
}
