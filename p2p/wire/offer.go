package wire

import (
	"crypto/ed25519"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gpuai/gpuai/market"
)

// Limits of an Offer.
const (
	MaxGroups      = 8
	MaxLifetime    = 2 * time.Hour
	MinLifetime    = 5 * time.Minute
	maxMints       = 4
	maxOfferClass  = 4
	maxOfferDevice = 64
)

// marshal writes deterministically. Only invalid UTF-8 in a string fails it; the result is then nil, which no decoder
// accepts.
func marshal(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil
	}
	return b
}

func unmarshal(b []byte, m proto.Message, kind fmt.Stringer) error {
	if len(b) == 0 {
		return fmt.Errorf("decode %s: %w: empty", kind, ErrMalformed)
	}
	if len(b) > MaxLease {
		return fmt.Errorf("decode %s: %w", kind, ErrTooLarge)
	}
	if err := (proto.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: 8}).Unmarshal(b, m); err != nil {
		return fmt.Errorf("decode %s: %w: %w", kind, ErrMalformed, err)
	}
	return nil
}

func (r *reader) done(kind fmt.Stringer) error {
	if r.err != nil {
		return fmt.Errorf("decode %s: %w", kind, r.err)
	}
	return nil
}

// EncodeOffer writes the body of an Offer, with the hash of its reach. Provider and Reach are not in it. It checks
// nothing: SealOffer does.
func EncodeOffer(o market.Offer) []byte {
	packed, err := packReach(o.Reach)
	if err != nil {
		packed = nil // Seal refuses the same reach
	}
	m := &PBOffer{
		Seq: o.Seq, LifetimeS: uint64(max(o.Lifetime/time.Second, 0)), Payout: absent(o.Payout[:]), Version: o.Version,
		ReachHash: reachHash(packed),
	}
	m.Fields, m.Values = packFields(o.Fields)
	for i := range o.Mints {
		m.Mints = append(m.Mints, o.Mints[i][:])
	}
	for _, c := range o.Critical {
		m.Critical = append(m.Critical, uint32(c))
	}
	for _, g := range o.Groups {
		p := &PBDeviceGroup{Devices: packDevices(g.Devices), Free: g.Free, Class: g.Class, Name: g.Name}
		p.Fields, p.Values = packFields(g.Fields)
		for _, rate := range g.Rates {
			p.Rates = append(p.Rates, uint64(rate))
		}
		m.Groups = append(m.Groups, p)
	}
	return marshal(m)
}

// DecodeOffer reads and checks the body of an Offer; Provider and Reach come from the envelope (OpenOffer). Errors:
// ErrMalformed, ErrTooLarge.
func DecodeOffer(body []byte) (market.Offer, error) {
	o, _, err := decodeOffer(body)
	return o, err
}

func decodeOffer(body []byte) (market.Offer, []byte, error) {
	var m PBOffer
	if err := unmarshal(body, &m, KindOffer); err != nil {
		return market.Offer{}, nil, err
	}
	r := &reader{}
	o := market.Offer{Seq: m.Seq, Lifetime: time.Duration(min(m.LifetimeS, 1<<20)) * time.Second,
		Version: r.text(m.Version, 24, "version")}
	if o.Lifetime < MinLifetime || o.Lifetime > MaxLifetime {
		r.fail("lifetime %d s", m.LifetimeS)
	}
	if m.Seq == 0 || m.Seq > maxMS {
		r.fail("seq out of range")
	}
	o.Fields = r.fields(m.Fields, m.Values)
	r.optional(o.Payout[:], m.Payout, "payout")
	if len(m.Mints) > maxMints || len(m.Critical) > 8 || len(m.Groups) > MaxGroups || len(m.ReachHash) != 16 {
		r.fail("too many mints, critical fields or groups, or no reach hash")
		return market.Offer{}, nil, r.done(KindOffer)
	}
	for _, b := range m.Mints {
		var a market.Address
		r.fixed(a[:], b, "mint")
		o.Mints = append(o.Mints, a)
	}
	for _, c := range m.Critical {
		o.Critical = append(o.Critical, market.FieldID(r.u8(c, "critical field")))
	}
	r.groups(&o, m.Groups)
	if err := r.done(KindOffer); err != nil {
		return market.Offer{}, nil, err
	}
	return o, m.ReachHash, nil
}

func (r *reader) groups(o *market.Offer, in []*PBDeviceGroup) {
	classes, total := map[string]bool{}, 0
	for _, p := range in {
		g := market.DeviceGroup{
			Devices: r.devices(p.Devices, 1), Free: p.Free, Class: p.Class, Name: r.text(p.Name, 48, "name"),
			Fields: r.fields(p.Fields, p.Values),
		}
		if !market.ValidClass(p.Class) {
			r.fail("class %q", p.Class)
		}
		if n := len(g.Devices); n < 64 && g.Free>>n != 0 {
			r.fail("free mask names devices beyond %d", n)
		}
		if len(p.Rates) > len(o.Mints) {
			r.fail("%d rates for %d mints", len(p.Rates), len(o.Mints))
			return
		}
		for _, v := range p.Rates {
			g.Rates = append(g.Rates, r.rate(v))
		}
		classes[g.Class] = true
		total += len(g.Devices)
		o.Groups = append(o.Groups, g)
	}
	if len(classes) > maxOfferClass || total > maxOfferDevice {
		r.fail("%d classes, %d devices", len(classes), total)
	}
}

// SealOffer signs an Offer after checking it as every receiver will. Provider is ignored: it is the key's. Errors: as
// Seal and DecodeOffer.
func SealOffer(key ed25519.PrivateKey, network string, o market.Offer) ([]byte, error) {
	body := EncodeOffer(o)
	if _, err := DecodeOffer(body); err != nil {
		return nil, fmt.Errorf("seal offer: %w", err)
	}
	return Seal(key, network, KindOffer, body, o.Reach)
}

// OpenOffer verifies and reads an Offer. Errors: as Open and DecodeOffer; ErrMalformed also for another kind or a reach
// that was swapped.
func OpenOffer(raw []byte, network string) (market.Offer, Envelope, error) {
	e, err := openKind(raw, network, KindOffer)
	if err != nil {
		return market.Offer{}, Envelope{}, err
	}
	o, err := ReadOffer(e)
	return o, e, err
}

// ReadOffer reads the Offer of a parsed envelope and checks its reach, not the signature. Errors: ErrMalformed.
func ReadOffer(e Envelope) (market.Offer, error) {
	o, hash, err := decodeOffer(e.Body)
	if err != nil {
		return market.Offer{}, err
	}
	if err := e.bound(hash); err != nil {
		return market.Offer{}, err
	}
	o.Provider, o.Reach = e.Signer, e.Reach
	return o, nil
}

// bound checks that the reach is the one that the body names. Errors: ErrMalformed.
func (e Envelope) bound(hash []byte) error {
	packed, err := packReach(e.Reach)
	if err == nil && string(hash) != string(reachHash(packed)) {
		err = fmt.Errorf("open %s: %w: reach does not match its hash", e.Kind, ErrMalformed)
	}
	return err
}

func openKind(raw []byte, network string, kind Kind) (Envelope, error) {
	e, err := Open(raw, network)
	if err == nil && e.Kind != kind {
		err = fmt.Errorf("open %s: %w: it is a document of kind %s", kind, ErrMalformed, e.Kind)
	}
	if err != nil {
		return Envelope{}, err
	}
	return e, nil
}
