package escrow

import (
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
)

// Sign makes the payer's next Payment: leaseAmount is the Lease's new cumulative share, the voucher's total is Σ of all
// shares. Store the returned state before the Payment leaves; ReceiptSeq and OwnMS are the caller's. An equal
// leaseAmount repeats the newest total. Errors: *market.Error voucher-backwards, voucher-allocation (over the cap),
// funds-short (over the deposit: top up), channel-closing.
func (a Account) Sign(key ed25519.PrivateKey, lease market.LeaseID, leaseAmount market.Amount) (Account, market.Payment,
	error) {
	share, ok := a.Leases[lease]
	fail := func(code market.Code, kind market.Kind, format string, args ...any) (Account, market.Payment, error) {
		return a, market.Payment{},
			&market.Error{Code: code, Op: "signing a voucher", Kind: kind, Detail: fmt.Sprintf(format, args...)}
	}
	switch {
	case !ok:
		return fail(market.CodeVoucherUnknown, market.KindNotFound, "lease %s is not on channel %s", lease, a.Channel)
	case a.Phase != PhaseSeen && a.Phase != PhaseOpen && a.Phase != PhaseClosing: // until the seal a voucher counts
		return fail(market.CodeChannelClosing, market.KindConflict, "channel %s is %s", a.Channel, a.Phase)
	case PublicKey(key) != a.VoucherKey:
		return fail(market.CodeVoucherSignature, market.KindInternal, "key is not the channel's")
	case leaseAmount < share.Paid:
		return fail(market.CodeVoucherBackwards, market.KindConflict, "already signed %d", share.Paid)
	case leaseAmount > share.Cap:
		return fail(market.CodeVoucherAllocation, market.KindInvalid, "%d is over the lease's cap of %d", leaseAmount,
			share.Cap)
	}
	sum := a.PaidSum() - share.Paid + leaseAmount
	if sum > a.Seen {
		return fail(market.CodeFundsShort, market.KindConflict, "channel %s holds %s SOL; this lease needs %s",
			a.Channel,
			a.Seen.SOL(), sum.SOL())
	}
	total := max(sum, a.Newest.Amount) // more: Recall knows of a share that was not told yet
	signed := a.Newest
	if total != a.Newest.Amount || a.Newest.Sig == [64]byte{} {
		signed = Voucher{Channel: a.Channel, Amount: total}.Sign(key)
	}
	a = a.clone()
	share.Paid = leaseAmount
	a.Leases[lease] = share
	a.Newest = signed
	return a, market.Payment{Lease: lease, LeaseAmount: leaseAmount, Voucher: signed.Encode(), Sig: signed.Sig}, nil
}

// Recall takes back what this side signed and its store forgot, since it was put back to an older copy: s is what the
// payee holds, leaseAmount what it says is the lease's share of it. Only a signature of the own key counts, and only as
// far as it covers all shares, so a payee can prove nothing that was not signed. Nothing new: the account is unchanged.
func (a Account) Recall(s Signed, lease market.LeaseID, leaseAmount market.Amount) Account {
	share, ok := a.Leases[lease]
	if !ok || s.Channel != a.Channel || s.Amount < a.Newest.Amount || leaseAmount > share.Cap {
		return a
	}
	sum := a.PaidSum() - share.Paid + max(leaseAmount, share.Paid)
	if sum > s.Amount || sum == a.PaidSum() && s.Amount == a.Newest.Amount || s != a.Newest && !s.Verify(a.VoucherKey) {
		return a
	}
	a = a.clone()
	share.Paid = max(leaseAmount, share.Paid)
	a.Leases[lease], a.Newest = share, s
	return a
}

// TakeRelease checks the payee's Release against the payer's own books: key, Channel, expiry by the chain's clock,
// final between settled and the highest of Σ signed and Σ owed. The returned state is Releasing: nothing is signed any
// more. Errors: *market.Refusal release-unfit.
func (a Account) TakeRelease(r SignedRelease, releaseKey [32]byte, clock time.Time) (Account, error) {
	unfit := func(why string) error { return market.Refuse(market.CodeReleaseUnfit, market.KindInvalid, why) }
	switch {
	case r.Channel != a.Channel:
		return a, unfit("another channel")
	case releaseKey == [32]byte{}:
		return a, unfit("the channel was opened without a release key")
	case r.Expires <= clock.Unix():
		return a, unfit("expired")
	case r.Final < a.Settled || r.Final > a.Seen:
		return a, unfit(fmt.Sprintf("final %d, settled %d, deposit %d", r.Final, a.Settled, a.Seen))
	case r.Final > max(a.OwedSum(), a.PaidSum()):
		return a, unfit(fmt.Sprintf("final %d is more than the %d owed", r.Final, max(a.OwedSum(), a.PaidSum())))
	case a.Live() > 0:
		return a, unfit("a lease is live")
	case !r.Verify(releaseKey):
		return a, unfit("signature")
	}
	a = a.clone()
	a.Phase, a.ReleaseTo = PhaseReleasing, r.Expires
	return a, nil
}

// TopUp returns how much to add so that the live Leases have an hour of price within their caps, once 20 % is left;
// else 0. hourly is the price of one hour of all live Leases together.
func (a Account) TopUp(hourly market.Amount) market.Amount {
	rest, left := a.ahead()
	want := min(hourly, rest)
	if want <= left || left > want/5 {
		return 0
	}
	return want - left
}

// Carries reports whether the deposit carries all that the live Leases may still cost.
func (a Account) Carries() bool {
	rest, left := a.ahead()
	return rest <= left
}

// ahead is what the live Leases may still cost, and what is left of the deposit.
func (a Account) ahead() (rest, left market.Amount) {
	for _, s := range a.Leases {
		if s.Live {
			rest += s.Cap - min(s.used(), s.Cap)
		}
	}
	return rest, a.Seen - min(a.PaidSum(), a.Seen)
}

// FirstDeposit is what an open carries: the Lease's cap, or an hour of price if that is less.
func FirstDeposit(leaseCap, hourly market.Amount) market.Amount { return min(leaseCap, hourly) }
