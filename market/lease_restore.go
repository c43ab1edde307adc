package market

import "time"

// A node may go on from an older copy of its store: a backup, or a file system that lost its last seconds. Neither side
// is to blame, and both hold what the other one lost: the customer its vouchers, the provider the customer's voucher
// with the most money.

// unknownFor is how long a provider may say that it does not know the lease: it may only have started.
const unknownFor = 30 * time.Second

// putBack takes a Receipt that says less than an earlier one of the same provider and was made later: its store was put
// back. What it forgot to bill it does not get; what it forgot to have been paid it is told again.
func (s *buyer) putBack(r Receipt) Receipt {
	s.again()
	if r.BillableMS < s.ClaimMS {
		r.BillableMS, r.Amount = s.ClaimMS, s.Claim
	}
	return r
}

// remind repeats the last Payment to a provider that holds less than was signed.
func (s *buyer) remind(held Amount) {
	if held < s.Signed && s.State != Ended {
		s.again()
	}
}

// again repeats the last Payment, not faster than an unanswered one.
func (s *buyer) again() {
	if s.Signed > 0 && s.now.Sub(s.SentAt) >= s.resendEvery() {
		s.repay()
	}
}

// voucher takes back what this node itself signed and its store forgot. The time that it paid for was an own gap.
func (s *buyer) voucher(ev Event) error {
	a := min(ev.(VoucherSeen).LeaseAmount, s.Limit())
	if a <= s.Signed {
		return nil
	}
	s.Signed, s.Paid, s.Over = a, a, 0
	if ms := s.signedMS(); ms > s.Meter.BillableMS {
		s.PendMS = max(s.PendMS, ms-s.Meter.BillableMS)
	}
	s.fillGap(s.ClaimMS)
	return nil
}

// unknown: live, Silent → Closing once the provider has forgotten the lease for good: its store was put back to before
// it.
func (s *buyer) unknown(Event) error {
	switch {
	case s.Accepted.IsZero() || !s.State.Live() && s.State != Silent:
	case s.UnknownAt.IsZero():
		s.UnknownAt = s.now
	case s.now.Sub(s.UnknownAt) >= unknownFor:
		s.ends(CodeProviderSilent, ProviderSide, EvidenceSigned, "the provider does not know the lease any more")
		s.LetGo = true
		s.closing()
	}
	return nil
}
