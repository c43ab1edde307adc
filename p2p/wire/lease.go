package wire

import (
	"crypto/ed25519"
	"math"

	"github.com/gpuai/gpuai/market"
)

const (
	answerAccepted = 1
	answerRefused  = 2
	maxPhase       = 32
	maxPayment     = 512
	maxStatus      = 8 << 10
)

// word names bodies that have no envelope in errors.
type word string

func (w word) String() string { return string(w) }

func (r *reader) state(v uint32) market.LeaseState {
	if v == 0 || v > math.MaxUint8 {
		r.fail("state out of range")
	}
	return market.LeaseState(v)
}

// EncodeDecision writes the body of a Decision.
func EncodeDecision(d market.Decision) []byte {
	m := &PBDecision{Lease: d.Lease[:], Answer: answerRefused, Code: string(d.Code), Detail: clean(d.Detail, maxDetail),
		RetryAfter: durMS(d.RetryAfter), At: ms(d.At)}
	if d.Accepted {
		m.Answer = answerAccepted
	}
	return marshal(m)
}

// DecodeDecision reads and checks the body of a Decision. Errors: ErrMalformed, ErrTooLarge.
func DecodeDecision(body []byte) (market.Decision, error) {
	var m PBDecision
	if err := unmarshal(body, &m, KindDecision); err != nil {
		return market.Decision{}, err
	}
	r := &reader{}
	d := market.Decision{
		Accepted: m.Answer == answerAccepted, Code: r.code(m.Code, "code"),
		Detail:     r.text(m.Detail, maxDetail, "detail"),
		RetryAfter: r.duration(m.RetryAfter, "retry after"), At: r.time(m.At, "at"),
	}
	r.fixed(d.Lease[:], m.Lease, "lease")
	if m.Answer != answerAccepted && m.Answer != answerRefused {
		r.fail("answer %d", m.Answer)
	}
	if err := r.done(KindDecision); err != nil {
		return market.Decision{}, err
	}
	return d, nil
}

// SealDecision signs a Decision. Errors: as Seal and DecodeDecision.
func SealDecision(key ed25519.PrivateKey, network string, d market.Decision) ([]byte, error) {
	return seal(key, network, KindDecision, EncodeDecision(d), DecodeDecision)
}

// OpenDecision verifies and reads a Decision. Errors: as Open and DecodeDecision.
func OpenDecision(raw []byte, network string) (market.Decision, Envelope, error) {
	return open(raw, network, KindDecision, DecodeDecision)
}

// EncodeReceipt writes the body of a Receipt.
func EncodeReceipt(c market.Receipt) []byte {
	return marshal(&PBReceipt{
		Lease: c.Lease[:], Seq: c.Seq, BillableMs: c.BillableMS, PausedMs: c.PausedMS, UnobservedMs: c.UnobservedMS,
		Amount: uint64(c.Amount),
		State:  uint32(c.State), Wall: ms(c.Wall), Final: c.Final,
	})
}

// DecodeReceipt reads and checks the body of a Receipt. Errors: ErrMalformed, ErrTooLarge.
func DecodeReceipt(body []byte) (market.Receipt, error) {
	var m PBReceipt
	if err := unmarshal(body, &m, KindReceipt); err != nil {
		return market.Receipt{}, err
	}
	r := &reader{}
	c := market.Receipt{
		Seq: m.Seq, BillableMS: m.BillableMs, PausedMS: m.PausedMs, UnobservedMS: m.UnobservedMs,
		Amount: market.Amount(m.Amount),
		State:  r.state(m.State), Wall: r.time(m.Wall, "wall"), Final: m.Final,
	}
	r.fixed(c.Lease[:], m.Lease, "lease")
	if max(m.BillableMs, m.PausedMs, m.UnobservedMs) > maxMS {
		r.fail("meter out of range")
	}
	if err := r.done(KindReceipt); err != nil {
		return market.Receipt{}, err
	}
	return c, nil
}

// SealReceipt signs a Receipt. Errors: as Seal and DecodeReceipt.
func SealReceipt(key ed25519.PrivateKey, network string, c market.Receipt) ([]byte, error) {
	return seal(key, network, KindReceipt, EncodeReceipt(c), DecodeReceipt)
}

// OpenReceipt verifies and reads a Receipt. Errors: as Open and DecodeReceipt.
func OpenReceipt(raw []byte, network string) (market.Receipt, Envelope, error) {
	return open(raw, network, KindReceipt, DecodeReceipt)
}

// EncodeStop writes the body of a Stop.
func EncodeStop(s market.Stop) []byte {
	return marshal(&PBStop{Lease: s.Lease[:], Code: string(s.Code), StopGrace: durMS(s.StopGrace), At: ms(s.At)})
}

// DecodeStop reads and checks the body of a Stop. Errors: ErrMalformed, ErrTooLarge.
func DecodeStop(body []byte) (market.Stop, error) {
	var m PBStop
	if err := unmarshal(body, &m, KindStop); err != nil {
		return market.Stop{}, err
	}
	r := &reader{}
	s := market.Stop{Code: r.code(m.Code, "code"), StopGrace: r.duration(m.StopGrace, "stop grace"),
		At: r.time(m.At, "at")}
	r.fixed(s.Lease[:], m.Lease, "lease")
	if err := r.done(KindStop); err != nil {
		return market.Stop{}, err
	}
	return s, nil
}

// SealStop signs a Stop. Errors: as Seal and DecodeStop.
func SealStop(key ed25519.PrivateKey, network string, s market.Stop) ([]byte, error) {
	return seal(key, network, KindStop, EncodeStop(s), DecodeStop)
}

// OpenStop verifies and reads a Stop. Errors: as Open and DecodeStop.
func OpenStop(raw []byte, network string) (market.Stop, Envelope, error) {
	return open(raw, network, KindStop, DecodeStop)
}

// EncodeOutcome writes the body of an Outcome.
func EncodeOutcome(o market.Outcome) []byte {
	return marshal(&PBOutcome{
		Lease: o.Lease[:], Fault: uint32(o.Fault), Code: string(o.Code), Accepted: ms(o.Accepted), Ready: ms(o.Ready),
		Ended:      ms(o.Ended),
		BillableMs: o.BillableMS, Amount: uint64(o.Amount), ReceiptHash: absent(o.ReceiptHash[:]),
		VoucherTotal: uint64(o.VoucherTotal),
		ExitCode:     o.ExitCode, OutputsRoot: absent(o.OutputsRoot[:]), KeepChannel: o.KeepChannel,
		LogBytes: o.LogBytes, LogMissing: o.LogMissing, LogEnd: uint32(o.LogEnd), Deal: packDeal(o.Deal),
	})
}

// DecodeOutcome reads and checks the body of an Outcome. Errors: ErrMalformed, ErrTooLarge.
func DecodeOutcome(body []byte) (market.Outcome, error) {
	var m PBOutcome
	if err := unmarshal(body, &m, KindOutcome); err != nil {
		return market.Outcome{}, err
	}
	r := &reader{}
	o := market.Outcome{
		Fault: market.Fault(r.u8(m.Fault, "fault")), Code: r.code(m.Code, "code"),
		Accepted: r.time(m.Accepted, "accepted"),
		Ready:    r.time(m.Ready, "ready"), Ended: r.time(m.Ended, "ended"), BillableMS: m.BillableMs,
		Amount:       market.Amount(m.Amount),
		VoucherTotal: market.Amount(m.VoucherTotal), ExitCode: m.ExitCode, KeepChannel: m.KeepChannel,
		LogBytes: m.LogBytes, LogMissing: m.LogMissing, LogEnd: market.LogEnd(r.u8(m.LogEnd, "log end")),
		Deal: r.deal(m.Deal),
	}
	r.fixed(o.Lease[:], m.Lease, "lease")
	r.optional(o.ReceiptHash[:], m.ReceiptHash, "receipt hash")
	r.optional(o.OutputsRoot[:], m.OutputsRoot, "outputs root")
	if m.BillableMs > maxMS {
		r.fail("meter out of range")
	}
	if err := r.done(KindOutcome); err != nil {
		return market.Outcome{}, err
	}
	return o, nil
}

// SealOutcome signs an Outcome. Errors: as Seal and DecodeOutcome.
func SealOutcome(key ed25519.PrivateKey, network string, o market.Outcome) ([]byte, error) {
	return seal(key, network, KindOutcome, EncodeOutcome(o), DecodeOutcome)
}

// OpenOutcome verifies and reads an Outcome. Errors: as Open and DecodeOutcome.
func OpenOutcome(raw []byte, network string) (market.Outcome, Envelope, error) {
	return open(raw, network, KindOutcome, DecodeOutcome)
}

// EncodePayment writes a Payment, ≤ 512 bytes. It has no envelope: the stream proves the node, the voucher the money.
func EncodePayment(p market.Payment) []byte {
	return marshal(&PBPayment{
		Lease: p.Lease[:], ReceiptSeq: p.ReceiptSeq, OwnMs: p.OwnMS, LeaseAmount: uint64(p.LeaseAmount),
		Voucher: p.Voucher[:], Sig: p.Sig[:],
	})
}

// DecodePayment reads a Payment; the voucher's signature is escrow's to verify. Errors: ErrMalformed, ErrTooLarge.
func DecodePayment(b []byte) (market.Payment, error) {
	if len(b) > maxPayment {
		return market.Payment{}, ErrTooLarge
	}
	var m PBPayment
	if err := unmarshal(b, &m, word("payment")); err != nil {
		return market.Payment{}, err
	}
	r := &reader{}
	p := market.Payment{ReceiptSeq: m.ReceiptSeq, OwnMS: m.OwnMs, LeaseAmount: market.Amount(m.LeaseAmount)}
	r.fixed(p.Lease[:], m.Lease, "lease")
	r.fixed(p.Voucher[:], m.Voucher, "voucher")
	r.fixed(p.Sig[:], m.Sig, "signature")
	if err := r.done(word("payment")); err != nil {
		return market.Payment{}, err
	}
	return p, nil
}

// EncodeStatus writes a Status, ≤ 8 KiB; Cause, Detail and Phase should be within their limits. It has no envelope.
func EncodeStatus(s market.Status) []byte {
	return marshal(&PBStatus{
		Lease: s.Lease[:], State: uint32(s.State), Cause: s.Cause, Detail: clean(s.Detail, maxDetail),
		Phase: clean(s.Phase, maxPhase), Done: s.Done, Total: s.Total,
		HighestVoucher: uint64(s.HighestVoucher), Devices: packDevices(s.Devices), ExitCode: s.ExitCode,
		Receipt:  s.Receipt,
		Decision: s.Decision, Outcome: s.Outcome, Voucher: absent(s.Voucher[:]), VoucherSig: absent(s.VoucherSig[:]),
		LeaseAmount: uint64(s.LeaseAmount),
	})
}

// DecodeStatus reads and checks a Status; the envelopes inside stay unopened. Errors: ErrMalformed, ErrTooLarge.
func DecodeStatus(b []byte) (market.Status, error) {
	if len(b) > maxStatus {
		return market.Status{}, ErrTooLarge
	}
	var m PBStatus
	if err := unmarshal(b, &m, word("status")); err != nil {
		return market.Status{}, err
	}
	r := &reader{}
	s := market.Status{
		State: r.state(m.State), Cause: string(r.code(m.Cause, "cause")), Detail: r.text(m.Detail, maxDetail, "detail"),
		Phase: r.text(m.Phase, maxPhase, "phase"), Done: m.Done, Total: m.Total,
		HighestVoucher: market.Amount(m.HighestVoucher),
		Devices:        r.devices(m.Devices, 0), ExitCode: m.ExitCode,
		Receipt:  r.bytes(m.Receipt, KindReceipt.MaxSize(), "receipt"),
		Decision: r.bytes(m.Decision, KindDecision.MaxSize(), "decision"),
		Outcome:  r.bytes(m.Outcome, KindOutcome.MaxSize(), "outcome"),
	}
	s.LeaseAmount = market.Amount(m.LeaseAmount)
	r.optional(s.Voucher[:], m.Voucher, "voucher")
	r.optional(s.VoucherSig[:], m.VoucherSig, "voucher signature")
	r.fixed(s.Lease[:], m.Lease, "lease")
	if err := r.done(word("status")); err != nil {
		return market.Status{}, err
	}
	return s, nil
}
