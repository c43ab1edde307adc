package market

import (
	"fmt"
	"time"
)

// Deal is what an Outcome tells everybody of what was leased: nothing of the job. Both sides state it from what they
// signed before; the zero Deal keeps the lease to the two.
type Deal struct {
	Class              string
	Rate               Rate // of one device
	Devices            int
	Mint               Address // zero = SOL
	Channel            ChannelID
	Payer, Payee       Address
	Provider, Customer NodeID
	// Proposal.BindSig: the channel is its customer's; without it nobody counts the lease as paid
	Bind [64]byte
}

// Agrees reports whether two Outcomes say the same of a lease. What one side alone knows or wants is left out:
// KeepChannel, the log, ReceiptHash, VoucherTotal.
func (o Outcome) Agrees(p Outcome) bool {
	for _, x := range []*Outcome{&o, &p} {
		x.KeepChannel, x.LogBytes, x.LogMissing, x.LogEnd = false, 0, 0, LogUnsaid
		x.ReceiptHash, x.VoucherTotal = [32]byte{}, 0
		x.Accepted, x.Ready, x.Ended = clean(x.Accepted), clean(x.Ready), clean(x.Ended)
	}
	return o == p
}

// ValidPublic checks an Outcome that is for everybody: its Deal is whole, its times are in order, and its amount is the
// price of its time to the unit. Errors: ErrRange.
func (o Outcome) ValidPublic() error {
	d := o.Deal
	bad := func(what string) error { return fmt.Errorf("%w: outcome of %s: %s", ErrRange, o.Lease, what) }
	switch {
	case !ValidClass(d.Class):
		return bad("no class")
	case d.Rate > MaxRate || d.Devices < 1 || d.Devices > MaxDevices:
		return bad("rate or devices")
	case o.Lease == (LeaseID{}) || d.Channel == (ChannelID{}):
		return bad("no lease or channel")
	case d.Payer == (Address{}) || d.Payee == (Address{}) || d.Payer == d.Payee:
		return bad("payer and payee")
	case d.Provider == (NodeID{}) || d.Customer == (NodeID{}) || d.Provider == d.Customer:
		return bad("provider and customer")
	case o.Code == "" || o.Fault < FaultNone || o.Fault > FaultUnknown:
		return bad("no reason")
	case o.Accepted.IsZero() || o.Ended.Before(o.Accepted) || !o.Ready.IsZero() &&
		!inOrder(o.Accepted, o.Ready, o.Ended):
		return bad("times")
	case o.Ready.IsZero() && o.BillableMS > 0:
		return bad("billed before ready")
	case o.BillableMS > maxTotalMS:
		return bad("billed time")
	}
	if price, err := d.Rate.For(d.Devices, ms(o.BillableMS)); err != nil || price != o.Amount {
		return bad("the amount is not the price of the time")
	}
	return nil
}

func inOrder(a, b, c time.Time) bool { return !b.Before(a) && !c.Before(b) }
