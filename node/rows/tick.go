package rows

import (
	"github.com/gpuai/gpuai/market"
)

// MaxTick is the most that the row of a lease takes, its longest texts included.
const MaxTick = 1 << 10

// Tick is all of a lease that changes while it runs: the machine, and the newest signed Receipt, which is the message
// to repeat.
type Tick struct {
	Lease   market.Lease
	Receipt []byte
	Events  int // that the lease has left in the store
}

// Encode is the row. The lease's id is the key, its side the bucket.
func (t *Tick) Encode() []byte {
	c := writer(512)
	t.fields(c)
	return c.b
}

// DecodeTick is the inverse of Encode. Errors: ErrRow.
func DecodeTick(id market.LeaseID, side market.Side, b []byte) (t Tick, err error) {
	c := reader(b)
	t.Lease.ID, t.Lease.Side = id, side
	t.fields(c)
	return t, c.done()
}

// fields lists what is stored: only appended to.
func (t *Tick) fields(c *coder) {
	l := &t.Lease
	terms(c, &l.Terms)
	num(c, &l.State)
	text(c, &l.Cause)
	text(c, &l.Phase)
	text(c, &l.Words)
	text(c, &l.Code)
	num(c, &l.Fault)
	text(c, &l.Detail)
	num(c, &l.Evidence)
	c.time(&l.Accepted)
	c.time(&l.Ready)
	c.time(&l.Ended)
	c.time(&l.Since)
	c.u64(&l.Meter.BillableMS)
	c.u64(&l.Meter.PausedMS)
	c.u64(&l.Meter.UnobservedMS)
	c.u64(&l.Meter.ProofMS)
	c.u64(&l.Meter.PausedAtMS)
	c.flags(&l.Meter.Running, &l.Final, &l.Quarantine, &l.Gone, &l.OutcomeDone, &l.OutputsDone, &l.KeepChannel,
		&l.Exited, &l.OwnGap, &l.LetGo)
	c.u64(&l.ReceiptSeq)
	num(c, &l.Claim)
	c.u64(&l.ClaimMS)
	c.u64(&l.ClaimPausedMS)
	c.u64(&l.ClaimUnobservedMS)
	num(c, &l.ClaimState)
	c.time(&l.ClaimAt)
	money(c, l)
	signed(c, &l.UnpaidPause)
	c.time(&l.StopAt)
	c.time(&l.KillAt)
	c.time(&l.AskedAt)
	signed(c, &l.Grace)
	signed(c, &l.Exit)
	c.hash(&l.OutputsRoot)
	num(c, &l.PeerState)
	c.time(&l.HeardAt)
	c.time(&l.SaidAt)
	c.u64(&l.AwakeMS)
	signed(c, &l.OfflineFor)
	signed(c, &l.AskWait)
	c.u64(&l.PendMS)
	c.time(&l.GapHour)
	c.u64(&l.GapMS)
	num(c, &l.Bad)
	num(c, &l.Over)
	c.time(&l.UnknownAt)
	num(c, &l.CapWanted)
	text(c, &l.CapRefused)
	num(c, &l.CapWas)
	c.time(&l.CapAt)
	c.bytes(&t.Receipt)
	num(c, &t.Events)
}

func terms(c *coder, t *market.Terms) {
	num(c, &t.Rate)
	num(c, &t.Devices)
	signed(c, &t.Tick)
	signed(c, &t.Hold)
	c.flags(&t.Prepay)
	signed(c, &t.PrepMax)
	signed(c, &t.StartTimeout)
	signed(c, &t.MaxDuration)
	signed(c, &t.StopGrace)
	num(c, &t.Cap)
	num(c, &t.Budget)
	c.time(&t.AcceptUntil)
	signed(c, &t.Away)
	num(c, &t.AwayMax)
	signed(c, &t.AwayAfter)
	c.u64(&t.PriorMS)
	signed(c, &t.SilentEnd)
	signed(c, &t.Keep)
}

func money(c *coder, l *market.Lease) {
	num(c, &l.Paid)
	num(c, &l.Answered)
	num(c, &l.Debt)
	num(c, &l.Signed)
	c.time(&l.SentAt)
	num(c, &l.Funds)
	num(c, &l.ToppedAt)
}
