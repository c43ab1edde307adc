package escrow

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gpuai/gpuai/market"
)

// AcceptRules is what a provider demands of a Channel before a Lease. Zero MaxDeposit means no limit.
type AcceptRules struct {
	Program        market.Address
	ClusterTag     uint64
	Payer, Payout  market.Address // the Order's payer, our payout
	Mint           market.Address // the Quote's
	VoucherKey     [32]byte       // the Lease's
	ReleaseKey     [32]byte       // derived for exactly this customer, payout and mint, as named in the Quote
	MinCloseDelay  time.Duration
	MinHeadroom    market.Amount // the Quote's
	MaxDeposit     market.Amount // one-endpoint limit
	FeePayer       market.Amount // the fee payer's balance, lamports
	RentMinimum    market.Amount // of a plain account, lamports
	LiveChannels   int
	UncheckedFunds bool // true skips headroom: the deposit is only confirmed yet and the node waits for Finalised
}

// feePerLiveChannel is two claims or records of 10,000 lamports each.
const feePerLiveChannel = 20_000

// AcceptChannel decides whether a Lease may use the Channel; a is its account so far (NewAccount for a first Lease).
// The error is a *market.Refusal: channel-unknown, channel-too-small, or channel-unfit with the field in Detail; that
// of the claim fee passes.
func AcceptChannel(cs ChannelState, r AcceptRules, a Account) error {
	if cs.Status == StatusGone {
		return market.Refuse(market.CodeChannelUnknown, market.KindNotFound, "no such account")
	}
	id, err := cs.Terms().Address(r.Program)
	unfit := func(field string) error { return market.Refuse(market.CodeChannelUnfit, market.KindInvalid, field) }
	switch _, keyErr := ParseVoucherKey(cs.VoucherKey[:]); {
	case err != nil || id != cs.ID:
		return market.Refuse(market.CodeChannelUnknown, market.KindNotFound, "address does not match the terms")
	case cs.ClusterTag != r.ClusterTag:
		return unfit("cluster_tag")
	case cs.Status != StatusOpen:
		return unfit("status")
	case cs.Settled > 0 && a.Fresh():
		// our books were lost: its next vouchers could be below what is settled, and pay nothing
		return unfit("settled: by leases that are not known here")
	case cs.Payer != r.Payer:
		return unfit("payer")
	case cs.Payee != r.Payout:
		return unfit("payee")
	case cs.Mint != r.Mint:
		return unfit("mint")
	case cs.Mint == (market.Address{}) && (cs.PayeeDest != cs.Payee || cs.PayerDest != cs.Payer):
		return unfit("payee_dest")
	case cs.CloseDelay < r.MinCloseDelay || cs.CloseDelay > MaxCloseDelaySeconds*time.Second:
		return unfit("close_delay")
	case keyErr != nil || cs.VoucherKey != r.VoucherKey:
		return unfit("voucher_key")
	case cs.ReleaseKey != r.ReleaseKey && cs.ReleaseKey != [32]byte{}:
		return unfit("release_key")
	case r.MaxDeposit != 0 && cs.Deposit > r.MaxDeposit:
		return unfit("deposit: limit of " + r.MaxDeposit.SOL() + " with one endpoint")
	}
	if h := a.Headroom(); !r.UncheckedFunds && h < r.MinHeadroom {
		return market.Refuse(market.CodeChannelTooSmall, market.KindConflict,
			fmt.Sprintf("headroom %s SOL, need %s SOL", h.SOL(), r.MinHeadroom.SOL()))
	}
	if need := r.RentMinimum + feePerLiveChannel*market.Amount(r.LiveChannels+1); r.FeePayer < need {
		return market.Refuse(market.CodeChannelUnfit,
			market.KindUnavailable, // passes: the open may have sent it just now
			"claim_fee: fee payer holds "+r.FeePayer.SOL()+" SOL, needs "+need.SOL()+" SOL")
	}
	return nil
}

// Checked is a Payment that was right for a copy of the Account: its signature is right, whatever else changes.
type Checked struct {
	share  market.Amount
	lease  market.LeaseID
	signed *Signed
}

// Check is the first half of TakePayment: for who looks at a copy of the Account, away from its lock, because the
// signature takes time. Errors: as TakePayment.
func (a Account) Check(p market.Payment) (c Checked, stored market.Amount, err error) {
	v, err := DecodeVoucher(p.Voucher[:])
	c = Checked{share: p.LeaseAmount, lease: p.Lease, signed: &Signed{Voucher: v, Sig: p.Sig}}
	if err == nil {
		var repeat bool
		if repeat, err = a.judge(c); err == nil && !repeat && !c.signed.verify(a.VoucherKey) {
			err = refuse(market.CodeVoucherSignature, "not signed by the channel's voucher key")
		}
	} else if errors.Is(err, ErrExpires) {
		err = refuse(market.CodeVoucherExpires, "expires_at must be 0")
	} else {
		err = refuse(market.CodeVoucherUnknown, "not a voucher")
	}
	return c, a.Newest.Amount, err
}

// TakePayment checks a Payment, cheapest test first, and returns the new state and the stored voucher total. Store the
// state before the acknowledgement leaves. On refusal the state is unchanged and the error is a *market.Refusal:
// voucher-expires, voucher-unknown, voucher-backwards (Detail: stored total), voucher-over-deposit, voucher-allocation,
// voucher-signature, channel-closing. Payments of several Leases may arrive in any order: the shares may never exceed
// the highest voucher, and each Lease is covered by its own share only.
func (a Account) TakePayment(p market.Payment) (Account, market.Amount, error) {
	c, stored, err := a.Check(p)
	if err != nil {
		return a, stored, err
	}
	return a.TakeChecked(c)
}

// TakeChecked is TakePayment of what Check has passed: all but the signature is tested again. Errors: as TakePayment.
func (a Account) TakeChecked(c Checked) (Account, market.Amount, error) {
	repeat, err := a.judge(c)
	if err != nil || repeat { // then the acknowledgement is repeated
		return a, a.Newest.Amount, err
	}
	a = a.clone()
	share := a.Leases[c.lease]
	share.Paid = c.share
	a.Leases[c.lease] = share
	if c.signed.Amount > a.Newest.Amount {
		a.Newest = *c.signed
		a.Kept = slices.Concat(a.Kept, []*Signed{c.signed})
		if n := len(a.Kept); n > MaxKept {
			a.Kept = slices.Delete(a.Kept, n-2, n-1) // loses granularity of what is only signed ahead
		}
	}
	return a.prune(), a.Newest.Amount, nil
}

func refuse(code market.Code, detail string) error {
	return market.Refuse(code, market.KindInvalid, detail)
}

// judge tests all of a Payment but its signature. A repeat is what was stored last.
func (a Account) judge(c Checked) (repeat bool, err error) {
	v, stored := c.signed.Voucher, a.Newest.Amount
	share, known := a.Leases[c.lease]
	switch {
	case v.Channel != a.Channel:
		return false, refuse(market.CodeVoucherUnknown, "another channel")
	case !known:
		return false, refuse(market.CodeVoucherUnknown, "no such lease on this channel")
	case a.Phase != PhaseSeen && a.Phase != PhaseOpen && a.Phase != PhaseClosing:
		return false, market.Refuse(market.CodeChannelClosing, market.KindConflict, a.Phase.String())
	case v.Amount == stored && c.signed.Sig == a.Newest.Sig && c.share == share.Paid:
		return true, nil
	case c.share < share.Paid, v.Amount < stored && c.share == share.Paid:
		return false, refuse(market.CodeVoucherBackwards, fmt.Sprintf("stored %d", stored))
	case v.Amount > a.Seen:
		return false, refuse(market.CodeVoucherOverDeposit, fmt.Sprintf("deposit %d", a.Seen))
	case c.share > share.Cap:
		return false, refuse(market.CodeVoucherAllocation, fmt.Sprintf("lease cap %d", share.Cap))
	}
	// No sum can wrap: each share is at most the deposit, 64 bits hold far more of them than a store holds.
	if sum := a.PaidSum() - share.Paid + c.share; sum > max(v.Amount, stored) {
		return false, refuse(market.CodeVoucherAllocation,
			fmt.Sprintf("leases sum to %d, voucher says %d", sum, max(v.Amount, stored)))
	}
	return false, nil
}

// prune drops kept vouchers below the earned one.
func (a Account) prune() Account {
	owed := a.OwedSum()
	first := 0
	for first+1 < len(a.Kept) && a.Kept[first+1].Amount <= owed {
		first++
	}
	a.Kept = a.Kept[first:]
	return a
}

// Thin drops the kept voucher before the newest where the one before that is at most grain below the newest: so often
// paid, it says nothing that is worth a row. What is earned falls short of what is owed by no more than grain for that.
func (a Account) Thin(grain market.Amount) Account {
	if n := len(a.Kept); n > 2 && a.Kept[n-1].Amount-a.Kept[n-3].Amount <= grain {
		a.Kept = slices.Concat(a.Kept[:n-2], a.Kept[n-1:])
	}
	return a
}

// Earned returns the highest kept voucher at or below Σ owed; ok is false if there is none. Only it goes on chain.
func (a Account) Earned() (s Signed, ok bool) {
	owed := a.OwedSum()
	for _, k := range a.Kept {
		if k.Amount <= owed {
			s, ok = *k, true
		}
	}
	return s, ok
}

// Redeemable is Earned, or the next higher voucher where a Closing takes no Release and more than tick would be lost
// otherwise.
func (a Account) Redeemable(tick market.Amount) (s Signed, ok bool) {
	s, ok = a.Earned()
	owed := a.OwedSum()
	if a.Phase != PhaseClosing || owed-min(s.Amount, owed) <= tick {
		return s, ok
	}
	for _, k := range a.Kept {
		if k.Amount > owed {
			return *k, true
		}
	}
	return s, ok
}

// MaxReleaseTTL bounds a Release: a stale one must not outlive the Leases that come after it.
const MaxReleaseTTL = 15 * time.Minute

// Releases reports that a Release that was made before says what MakeRelease would say now, and is good for half its
// life.
func (a Account) Releases(wire [114]byte, clock time.Time) bool {
	r, err := ParseRelease(wire[:])
	return err == nil && r.Channel == a.Channel && a.Live() == 0 && a.Phase >= PhaseClosing &&
		a.Phase <= PhaseReleasing &&
		r.Expires == a.ReleaseTo && r.Expires-clock.Unix() > int64(MaxReleaseTTL.Seconds()/2) &&
		r.Final == a.releaseAt()
}

// releaseAt is what a Release of now would say.
func (a Account) releaseAt() market.Amount { return min(max(a.OwedSum(), a.Settled), a.Seen) }

// MakeRelease consents to an early close at Σ owed. Only without live Leases; clock is the chain's. The returned state
// is Releasing: store it before the Release leaves. Errors: *market.Refusal lease-live, channel-unfit.
func (a Account) MakeRelease(key ed25519.PrivateKey, clock time.Time) (Account, SignedRelease, error) {
	return a.makeRelease(key, clock, max(a.OwedSum(), a.Settled))
}

// MakeSeal is MakeRelease at what is settled: the payee's node brings it to the chain itself (consent) for a customer
// who is gone, and forgoes what is not recorded. Errors: as MakeRelease.
func (a Account) MakeSeal(key ed25519.PrivateKey, clock time.Time) (Account, SignedRelease, error) {
	return a.makeRelease(key, clock, a.Settled)
}

func (a Account) makeRelease(key ed25519.PrivateKey, clock time.Time, final market.Amount) (Account, SignedRelease,
	error) {
	switch {
	case a.Live() > 0:
		return a, SignedRelease{},
			market.Refuse(market.CodeLeaseLive, market.KindConflict, "the channel has live leases")
	case a.Phase < PhaseSeen || a.Phase > PhaseReleasing:
		return a, SignedRelease{},
			market.Refuse(market.CodeChannelUnfit, market.KindConflict, "status: "+a.Phase.String())
	}
	r := Release{Channel: a.Channel, Final: min(final, a.Seen), Expires: clock.Add(MaxReleaseTTL).Unix()}
	a = a.clone()
	if a.Phase != PhaseClosing {
		a.Phase = PhaseReleasing
	}
	a.ReleaseTo = r.Expires
	return a, r.Sign(key), nil
}
