package store

import (
	"encoding/json"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rows"
)

// Schema 3 takes apart the rows that were written at each payment: a lease's machine and Receipt leave its row for a
// tick, a channel's shares and vouchers leave its row for rows of their own. This file is frozen: it names what schema
// 2 had on disk, whatever the types of today are called.

// account2 is a channel's account of schema 2.
type account2 struct {
	Channel    market.ChannelID                `json:"channel"`
	VoucherKey [32]byte                        `json:"voucher_key"`
	Phase      escrow.Phase                    `json:"phase"`
	Deposit    market.Amount                   `json:"deposit"`
	Seen       market.Amount                   `json:"seen"`
	Settled    market.Amount                   `json:"settled"`
	SentToPay  market.Amount                   `json:"sent"`
	Deadline   int64                           `json:"deadline,omitempty"`
	Leases     map[market.LeaseID]escrow.Share `json:"leases"`
	Newest     escrow.Signed                   `json:"newest"`
	Kept       []escrow.Signed                 `json:"kept,omitempty"`
	ReleaseTo  int64                           `json:"release_to,omitempty"`
}

// machine2 reads a lease's machine of schema 2: its keys were the names of Go's fields.
func machine2(o object) (l market.Lease, err error) {
	var terms, meter object
	err = o.takeAll(map[string]any{
		"ID": &l.ID, "Side": &l.Side, "Terms": &terms, "State": &l.State, "Cause": &l.Cause, "Phase": &l.Phase,
		"Words": &l.Words, "Code": &l.Code, "Fault": &l.Fault, "Detail": &l.Detail, "Evidence": &l.Evidence,
		"Accepted": &l.Accepted, "Ready": &l.Ready, "Ended": &l.Ended, "Since": &l.Since, "Meter": &meter,
		"ReceiptSeq": &l.ReceiptSeq, "Claim": &l.Claim, "ClaimMS": &l.ClaimMS, "ClaimPausedMS": &l.ClaimPausedMS,
		"ClaimUnobservedMS": &l.ClaimUnobservedMS, "ClaimState": &l.ClaimState, "ClaimAt": &l.ClaimAt,
		"Final": &l.Final, "Paid": &l.Paid, "Answered": &l.Answered, "Debt": &l.Debt, "Signed": &l.Signed,
		"SentAt": &l.SentAt, "Funds": &l.Funds, "ToppedAt": &l.ToppedAt, "UnpaidPause": &l.UnpaidPause,
		"StopAt": &l.StopAt, "KillAt": &l.KillAt, "AskedAt": &l.AskedAt, "Grace": &l.Grace,
		"Quarantine": &l.Quarantine, "Gone": &l.Gone, "OutcomeDone": &l.OutcomeDone, "OutputsDone": &l.OutputsDone,
		"KeepChannel": &l.KeepChannel, "Exited": &l.Exited, "Exit": &l.Exit, "OutputsRoot": &l.OutputsRoot,
		"PeerState": &l.PeerState, "HeardAt": &l.HeardAt, "SaidAt": &l.SaidAt, "AwakeMS": &l.AwakeMS,
		"OwnGap": &l.OwnGap, "OfflineFor": &l.OfflineFor, "AskWait": &l.AskWait, "PendMS": &l.PendMS,
		"GapHour": &l.GapHour, "GapMS": &l.GapMS, "Bad": &l.Bad, "Over": &l.Over, "LetGo": &l.LetGo,
		"UnknownAt": &l.UnknownAt, "CapWanted": &l.CapWanted, "CapRefused": &l.CapRefused, "CapWas": &l.CapWas,
		"CapAt": &l.CapAt,
	})
	if err != nil {
		return l, err
	}
	t, m := &l.Terms, &l.Meter
	err = terms.takeAll(map[string]any{
		"Rate": &t.Rate, "Devices": &t.Devices, "Tick": &t.Tick, "Hold": &t.Hold, "Prepay": &t.Prepay,
		"PrepMax": &t.PrepMax, "StartTimeout": &t.StartTimeout, "MaxDuration": &t.MaxDuration,
		"StopGrace": &t.StopGrace, "Cap": &t.Cap, "Budget": &t.Budget, "AcceptUntil": &t.AcceptUntil, "Away": &t.Away,
		"AwayMax": &t.AwayMax, "AwayAfter": &t.AwayAfter, "PriorMS": &t.PriorMS, "SilentEnd": &t.SilentEnd,
		"Keep": &t.Keep,
	})
	if err != nil {
		return l, err
	}
	return l, meter.takeAll(map[string]any{
		"BillableMS": &m.BillableMS, "PausedMS": &m.PausedMS, "UnobservedMS": &m.UnobservedMS, "Running": &m.Running,
		"ProofMS": &m.ProofMS, "PausedAtMS": &m.PausedAtMS,
	})
}

// migrate3 brings a file of schema 1 or 2 to schema 3, in the transaction that writes its number.
func migrate3(tx *bolt.Tx) error {
	m := &migration{tx: tx}
	m.each("leases", m.soldLease)
	m.each("channels", m.soldChannel)
	m.each("orders", m.order)
	m.each("own_channels", m.boughtChannel)
	return m.err
}

// migration notes the first fault.
type migration struct {
	tx     *bolt.Tx
	err    error
	bought map[market.LeaseID]bool // leases that an order has
}

// object is a row whose other keys stay as they are.
type object map[string]json.RawMessage

// each gives every row of a bucket to f, which puts what takes its place.
func (m *migration) each(bucket string, f func(key []byte, o object) error) {
	if m.err != nil {
		return
	}
	type pair struct{ k, v []byte }
	var all []pair
	m.err = m.tx.Bucket([]byte(bucket)).ForEach(func(k, raw []byte) error {
		v, err := unseal(bucket, k, raw)
		all = append(all, pair{append([]byte(nil), k...), append([]byte(nil), v...)})
		return err
	})
	for _, p := range all {
		if m.err != nil {
			return
		}
		var o object
		if m.err = Unrow(p.v, &o); m.err == nil {
			m.err = f(p.k, o)
		}
		if m.err != nil {
			m.err = fmt.Errorf("row %x of %s: %w", p.k, bucket, m.err)
		}
	}
}

func (m *migration) put(bucket string, key, value []byte) error {
	return m.tx.Bucket([]byte(bucket)).Put(key, seal(bucket, key, value))
}

// take decodes a key of a row and removes it.
func (o object) take(key string, to any) error {
	raw, ok := o[key]
	if !ok {
		return nil
	}
	delete(o, key)
	return json.Unmarshal(raw, to)
}

func (o object) takeAll(all map[string]any) error {
	for key, to := range all {
		if err := o.take(key, to); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// tick takes the machine out of a row.
func (m *migration) tick(o object, bucket string) (l market.Lease, err error) {
	var machine object
	var t rows.Tick
	err = o.takeAll(map[string]any{"Lease": &machine, "Receipt": &t.Receipt, "Events": &t.Events})
	if err != nil {
		return l, err
	}
	if t.Lease, err = machine2(machine); err != nil {
		return l, err
	}
	return t.Lease, m.put(bucket, t.Lease.ID[:], t.Encode())
}

func (m *migration) soldLease(key []byte, o object) error {
	l, err := m.tick(o, "ticks")
	if err != nil {
		return err
	}
	if l.Debt == 0 { // a debt that was paid: the process ended before its row was deleted
		if err := m.tx.Bucket([]byte("debts")).Delete(key); err != nil {
			return err
		}
	}
	return m.put("leases", key, Row(o))
}

// account puts a channel's shares and vouchers, and what is left of its account into o.
func (m *migration) account(o, into object, shares, vouchers string) error {
	var a account2
	if err := o.take("Account", &a); err != nil {
		return err
	}
	for id, s := range a.Leases {
		if shares == "own_shares" && s.Live && !m.bought[id] {
			s.Live, s.Owed = false, min(s.Paid, s.Cap)
		}
		if err := m.put(shares, rows.ShareKey(a.Channel, id), rows.EncodeShare(s)); err != nil {
			return err
		}
	}
	kept := a.Kept // of the buying side none
	if a.Newest.Amount > 0 {
		kept = append(kept, a.Newest)
	}
	for _, v := range kept {
		if err := m.put(vouchers, rows.VoucherKey(a.Channel, v.Amount), rows.EncodeVoucher(v)); err != nil {
			return err
		}
	}
	a.Leases, a.Kept, a.Newest = nil, nil, escrow.Signed{}
	b, err := json.Marshal(a)
	into["account"] = b
	return err
}

// soldChannel: the keys of its own part got names that are not Go's.
func (m *migration) soldChannel(key []byte, o object) error {
	row, own := object{}, object{}
	if err := m.account(o, row, "shares", "vouchers"); err != nil {
		return err
	}
	var release [114]byte
	var booked map[market.LeaseID]json.RawMessage
	if err := o.take("Release", &release); err != nil {
		return err
	}
	if err := o.take("Booked", &booked); err != nil {
		return err
	}
	for was, is := range map[string]string{"Customer": "customer", "Payer": "payer", "Hourly": "hourly",
		"TickPrice": "tick_price", "OldestUnclaimed": "oldest_unclaimed", "LastEnd": "last_end"} {
		if raw, ok := o[was]; ok {
			own[is] = raw
		}
	}
	var err error
	if release != ([114]byte{}) {
		if own["release"], err = json.Marshal(release[:]); err != nil {
			return err
		}
	}
	if booked != nil {
		if own["booked"], err = json.Marshal(map[string]any{"leases": booked}); err != nil {
			return err
		}
	}
	if row["own"], err = json.Marshal(own); err != nil {
		return err
	}
	return m.put("channels", key, Row(row))
}

// order: a lease that is not there left no tick.
func (m *migration) order(key []byte, o object) error {
	if raw := o["Lease"]; raw == nil || string(raw) == "null" {
		return nil
	}
	l, err := m.tick(o, "own_ticks")
	if err != nil {
		return err
	}
	if m.bought == nil {
		m.bought = map[market.LeaseID]bool{}
	}
	m.bought[l.ID] = true
	if o["LeaseID"], err = json.Marshal(l.ID); err != nil {
		return err
	}
	return m.put("orders", key, Row(o))
}

// boughtChannel: its own part keeps its keys. A live share of a lease that no order has ends: the process ended between
// the two, so the lease was never sent.
func (m *migration) boughtChannel(key []byte, o object) error {
	row := object{}
	if err := m.account(o, row, "own_shares", "own_vouchers"); err != nil {
		return err
	}
	var err error
	if row["own"], err = json.Marshal(o); err != nil {
		return err
	}
	return m.put("own_channels", key, Row(row))
}
