package indextest

import (
	"crypto/ed25519"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/rows"
	"github.com/gpuai/gpuai/p2p/wire"
)

const (
	numChannels  = 90
	numCustomers = 16
)

// account is a channel, whose money its leases take.
type account struct {
	escrow.ChannelState
	rig      rig
	customer ed25519.PrivateKey
	voucher  ed25519.PrivateKey
	n        int
	txs      int
}

// trade makes the channels, their instructions and their leases. The last few are open still.
func (m *maker) trade() error {
	for n := range numChannels {
		a := &account{rig: m.rigs[n%7*n%numRigs], customer: key("customer", n%numCustomers), voucher: key("voucher", n),
			n: n}
		a.ID, a.Payer, a.Payee = market.ChannelID(seed("channel", n)), seed("payer", n%numCustomers), a.rig.payout
		copy(a.VoucherKey[:], a.voucher.Public().(ed25519.PublicKey))
		at := m.now.Add(-time.Duration(days*24*60*(numChannels-n)/numChannels) * time.Minute)
		a.OpenedAt, a.OpenSlot, a.CloseDelay = at.Unix(), m.slot(at), time.Hour
		a.Lamports, a.Deposit = 2_039_280, 400_000_000
		m.call(a, at, "open", a.Deposit)
		var last market.Outcome
		for i := range 1 + m.rand.IntN(8) {
			o := m.outcome(a, i, at.Add(time.Duration(1+m.rand.IntN(40))*time.Minute))
			if o.Ended.After(m.now.Add(-2 * time.Minute)) {
				break
			}
			if err := m.sign(a, o); err != nil {
				return err
			}
			a.Settled += last.Amount
			last, at = o, o.Ended
		}
		m.finish(a, at, last)
	}
	return nil
}

// slot is the one of a moment: 400 ms each.
func (m *maker) slot(at time.Time) uint64 {
	return uint64(at.Sub(m.now.AddDate(0, 0, -days-10)).Milliseconds() / 400)
}

// call adds an instruction of a channel.
func (m *maker) call(a *account, at time.Time, name string, amount market.Amount) {
	one, two := seed("sig", a.n*100+a.txs), seed("gis", a.n*100+a.txs)
	a.txs++
	m.change.Txs = append(m.change.Txs, db.Tx{Sig: market.Base58(append(one[:], two[:]...)), Outer: 1, Inner: -1,
		Slot: int64(m.slot(at)),
		At:   at.Truncate(time.Second).UnixMilli(), Result: db.TxOK, Name: name, Channel: a.ID.String(),
		Authority: a.Payer.String(), Amount: int64(amount)})
}

// ends are codes by how often they occur among 20.
var ends = []struct {
	code  market.Code
	fault market.Fault
	of    int
}{{market.CodeCompleted, market.FaultNone, 12}, {market.CodeStopped, market.FaultCustomer, 15},
	{market.CodeJobFailed, market.FaultCustomer, 17}, {market.CodeMaxDuration, market.FaultCustomer, 18},
	{market.CodeStartFailed, market.FaultProvider, 19}, {market.CodeStartTimeout, market.FaultNone, 20}}

// outcome is how the i-th lease of a channel ended.
func (m *maker) outcome(a *account, i int, at time.Time) market.Outcome {
	o := market.Outcome{Lease: market.LeaseID(short("lease", a.n*100+i)), Accepted: at,
		Deal: market.Deal{Class: a.rig.model.class(), Rate: market.Rate(m.around(a.rig.rate, 8)),
			Devices: 1 + m.rand.IntN(a.rig.devices), Channel: a.ID, Payer: a.Payer, Payee: a.Payee,
			Provider: node(a.rig.key), Customer: node(a.customer),
			Bind: escrow.SignBind(a.voucher, node(a.customer), a.ID)}}
	dice := m.rand.IntN(20)
	for _, e := range ends {
		if o.Code, o.Fault = e.code, e.fault; dice < e.of {
			break
		}
	}
	o.Ended = at.Add(90 * time.Second)
	if o.Code != market.CodeStartFailed && o.Code != market.CodeStartTimeout {
		ran := time.Duration(8+m.rand.IntN(400)) * time.Minute
		o.Ready = at.Add(time.Duration(20+m.rand.IntN(60)) * time.Second)
		o.Ended, o.BillableMS = o.Ready.Add(ran), uint64(ran.Milliseconds())
		o.OutputsRoot = seed("outputs", a.n*100+i)
	}
	o.Amount, _ = o.Deal.Rate.For(o.Deal.Devices, time.Duration(o.BillableMS)*time.Millisecond) // it is in range
	return o
}

// sign makes a lease of what both sides sign. Every third customer had wanted it before.
func (m *maker) sign(a *account, o market.Outcome) error {
	provider, err := wire.SealOutcome(a.rig.key, m.network, o)
	if err != nil {
		return err
	}
	customer, err := wire.SealOutcome(a.customer, m.network, o)
	if err != nil {
		return err
	}
	pair, err := wire.JoinOutcomes(provider, customer, m.network)
	if err == nil {
		err = pair.Verify(m.network)
	}
	if err != nil {
		return err
	}
	l, err := rows.Lease(pair.Outcome, provider, customer)
	m.change.Leases = append(m.change.Leases, l)
	return err
}

// finish settles a channel, its last lease with it but for the last few channels, and says what its account is now.
func (m *maker) finish(a *account, at time.Time, last market.Outcome) {
	waits := a.n >= numChannels-6
	if !waits {
		a.Settled += last.Amount
	}
	a.Slot = m.slot(m.now)
	switch {
	case waits && a.n%2 == 0:
		a.Status, a.Deadline = escrow.StatusClosing, m.now.Add(50*time.Minute).Unix()
		m.call(a, m.now.Add(-10*time.Minute), "request_close", 0)
		m.story.Closing = a.ID.String()
	case waits:
		if a.Settled > 0 {
			m.call(a, at.Add(-time.Minute), "claim", 0)
			a.Paid = a.Settled
		}
		if last.Amount > 0 {
			m.story.Waiting = last.Lease.String()
		}
	default:
		for i, name := range []string{"claim", "release", "pay_payee", "pay_payer", "reclaim"} {
			m.call(a, at.Add(time.Duration(5+i)*time.Second), name, 0)
		}
		a.Paid, a.Refunded = a.Settled, a.Deposit-a.Settled
		if a.rig.peer == m.story.Provider && last.Amount > 0 {
			m.story.Lease, m.story.Channel = last.Lease.String(), a.ID.String()
			m.story.Customer, m.story.Payer, m.story.Payee = node(a.customer).String(), a.Payer.String(),
				a.Payee.String()
		}
	}
	row, _ := rows.Channel(a.ChannelState) // its amounts are in range
	if !waits {
		row.Status, row.Lamports = int64(escrow.StatusGone), 0
	}
	m.change.Channels = append(m.change.Channels, row)
}
