package escrowtest

import (
	"fmt"
	"maps"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// progErr is a failed transaction with the program's code, or 0 and a runtime error's name.
type progErr struct {
	code uint32
	text string
}

func (e *progErr) Error() string {
	if e.code != 0 {
		return escrow.CodeName(e.code)
	}
	return e.text
}

func refuse(code uint32) error { return &progErr{code: code} }

// state is everything a transaction may change.
type state struct {
	lamports map[market.Address]uint64
	channels map[market.ChannelID]escrow.ChannelState
}

func (s state) clone() state { return state{maps.Clone(s.lamports), maps.Clone(s.channels)} }

// env is the block a transaction runs in.
type env struct {
	program     market.Address
	slot        uint64
	now         int64
	rentPerByte uint64
}

func (e env) rent(n uint64) uint64 { return (escrow.AccountOverhead + n) * e.rentPerByte }

// move transfers between plain accounts, as the System program does.
func (s state) move(from, to market.Address, amount uint64) error {
	if s.lamports[from] < amount {
		return &progErr{code: 1, text: "insufficient lamports"}
	}
	s.lamports[from] -= amount
	s.lamports[to] += amount
	return nil
}

func (s state) open(e env, t escrow.OpenTerms, deposit market.Amount) error {
	id, err := t.Address(e.program)
	delay := uint64(t.CloseDelay / time.Second)
	switch _, exists := s.channels[id]; {
	case escrow.ReservedPayee(t.Payee) || t.Payee == e.program:
		return refuse(escrow.CodeNotWritable)
	case t.Payer == t.Payee:
		return refuse(escrow.CodeSelfPay)
	case deposit == 0:
		return refuse(escrow.CodeZeroAmount)
	case delay < escrow.MinCloseDelaySeconds || delay > escrow.MaxCloseDelaySeconds:
		return refuse(escrow.CodeCloseDelayRange)
	case t.OpenSlot > e.slot || e.slot > t.OpenSlot+escrow.ReopenWindow:
		return refuse(escrow.CodeSlotWindow)
	case !escrow.OnCurve(t.VoucherKey):
		return refuse(escrow.CodeBadVoucherKey)
	case err != nil || exists:
		return refuse(escrow.CodeBadAccount)
	}
	need := uint64(deposit) + e.rent(escrow.ChannelLen)
	if err := s.move(t.Payer, market.Address(id), need); err != nil {
		return err
	}
	s.channels[id] = escrow.ChannelState{
		ID: id, Status: escrow.StatusOpen, Deposit: deposit, OpenSlot: t.OpenSlot, Salt: t.Salt,
		ClusterTag: t.ClusterTag,
		CloseDelay: t.CloseDelay, Payer: t.Payer, Payee: t.Payee, Mint: t.Mint, VoucherKey: t.VoucherKey,
		ReleaseKey: t.ReleaseKey,
		PayeeDest:  t.Payee, PayerDest: t.Payer, OpenedAt: e.now,
	}
	return nil
}

// get is rule R3.
func (s state) get(id market.ChannelID) (escrow.ChannelState, error) {
	cs, ok := s.channels[id]
	if !ok {
		return cs, refuse(escrow.CodeBadOwner)
	}
	return cs, nil
}

// topUp raises the deposit to a total.
func (s state) topUp(id market.ChannelID, signer market.Address, total market.Amount) error {
	cs, err := s.get(id)
	switch {
	case err != nil:
		return err
	case signer != cs.Payer:
		return refuse(escrow.CodeBadSigner)
	case cs.Status != escrow.StatusOpen:
		return refuse(escrow.CodeBadStatus)
	case total <= cs.Deposit:
		return refuse(escrow.CodeNotMonotonic)
	}
	if err := s.move(signer, market.Address(id), uint64(total-cs.Deposit)); err != nil {
		return err
	}
	cs.Deposit = total
	s.channels[id] = cs
	return nil
}

// record is section "signed messages" of the program: channel, key, status, cumulative, in this order. v.Channel is
// inside the message.
func (s state) record(e env, id market.ChannelID, v escrow.Signed) error {
	cs, err := s.get(id)
	switch {
	case err != nil:
		return err
	case v.Channel != id:
		return refuse(escrow.CodeWrongChannel)
	case !v.Verify(cs.VoucherKey):
		return refuse(escrow.CodeWrongSigner)
	case cs.Status == escrow.StatusSealed:
		return refuse(escrow.CodeBadStatus)
	case v.Amount > cs.Deposit:
		return refuse(escrow.CodeOverDeposit)
	case v.Amount <= cs.Settled:
		return refuse(escrow.CodeNotMonotonic)
	}
	cs.Settled, cs.VoucherSlot = v.Amount, 0 // our vouchers never expire, so the program does not read the clock
	s.channels[id] = cs
	return nil
}

func (s state) requestClose(e env, id market.ChannelID, authority market.Address) error {
	cs, err := s.get(id)
	switch {
	case err != nil:
		return err
	case cs.Status != escrow.StatusOpen:
		return refuse(escrow.CodeBadStatus)
	case authority != cs.Payer && [32]byte(authority) != cs.VoucherKey:
		return refuse(escrow.CodeBadSigner)
	}
	cs.Status, cs.Deadline = escrow.StatusClosing, e.now+int64(cs.CloseDelay/time.Second)
	s.channels[id] = cs
	return nil
}

func (s state) release(e env, id market.ChannelID, authority market.Address, r escrow.SignedRelease) error {
	cs, err := s.get(id)
	switch {
	case err != nil:
		return err
	case authority != cs.Payer && [32]byte(authority) != cs.VoucherKey:
		return refuse(escrow.CodeBadSigner)
	case r.Channel != id:
		return refuse(escrow.CodeWrongChannel)
	case cs.ReleaseKey == [32]byte{} || !r.Verify(cs.ReleaseKey):
		return refuse(escrow.CodeWrongSigner)
	case cs.Status == escrow.StatusSealed:
		return refuse(escrow.CodeBadStatus)
	case e.now >= r.Expires:
		return refuse(escrow.CodeExpired)
	case r.Final > cs.Deposit:
		return refuse(escrow.CodeOverDeposit)
	case r.Final < cs.Settled:
		return refuse(escrow.CodeNotMonotonic)
	}
	cs.Settled, cs.Status = r.Final, escrow.StatusSealed
	s.channels[id] = cs
	return nil
}

// consent is the payee's Release brought by anybody: sealed at what is settled.
func (s state) consent(e env, id market.ChannelID, r escrow.SignedRelease) error {
	cs, err := s.get(id)
	switch {
	case err != nil:
		return err
	case cs.ReleaseKey == [32]byte{}:
		return refuse(escrow.CodeWrongSigner)
	case r.Channel != id:
		return refuse(escrow.CodeWrongChannel)
	case !r.Verify(cs.ReleaseKey):
		return refuse(escrow.CodeWrongSigner)
	case cs.Status == escrow.StatusSealed:
		return refuse(escrow.CodeBadStatus)
	case e.now >= r.Expires:
		return refuse(escrow.CodeExpired)
	case r.Final > cs.Settled:
		return refuse(escrow.CodeOverSettled)
	}
	cs.Status = escrow.StatusSealed
	s.channels[id] = cs
	return nil
}

func (s state) seal(e env, id market.ChannelID) error {
	cs, err := s.get(id)
	switch {
	case err != nil:
		return err
	case cs.Status != escrow.StatusClosing:
		return refuse(escrow.CodeBadStatus)
	case e.now < cs.Deadline:
		return refuse(escrow.CodeTooEarly)
	}
	cs.Status = escrow.StatusSealed
	s.channels[id] = cs
	return nil
}

func (s state) payPayee(id market.ChannelID) error {
	cs, err := s.get(id)
	if err != nil {
		return err
	}
	due := cs.Settled - cs.Paid
	cs.Paid = cs.Settled
	s.channels[id] = cs
	return s.move(market.Address(id), cs.PayeeDest, uint64(due))
}

// payAll is one transaction of pay_payee for each channel that owes something; none is left out for another.
func (s state) payAll(ids []market.ChannelID) error {
	for _, id := range ids {
		if cs, ok := s.channels[id]; ok && cs.Paid < cs.Settled {
			if err := s.payPayee(id); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s state) payPayer(id market.ChannelID) error {
	cs, err := s.get(id)
	if err != nil {
		return err
	}
	if cs.Status != escrow.StatusSealed {
		return refuse(escrow.CodeBadStatus)
	}
	due := cs.Deposit - cs.Settled - cs.Refunded
	cs.Refunded += due
	s.channels[id] = cs
	return s.move(market.Address(id), cs.PayerDest, uint64(due))
}

func (s state) reclaim(e env, id market.ChannelID) error {
	cs, err := s.get(id)
	switch {
	case err != nil:
		return err
	case cs.Status != escrow.StatusSealed:
		return refuse(escrow.CodeBadStatus)
	case cs.Paid != cs.Settled || cs.Refunded != cs.Deposit-cs.Settled:
		return refuse(escrow.CodeLegsOpen)
	case e.slot <= cs.OpenSlot+escrow.ReopenWindow:
		return refuse(escrow.CodeTooEarly)
	}
	delete(s.channels, id)
	return s.move(market.Address(id), cs.Payer, s.lamports[market.Address(id)])
}

// rentStates is the runtime's check after a transaction: a touched account is empty or at its rent minimum.
func (s state) rentStates(e env, before state) error {
	for a, v := range s.lamports {
		if v == before.lamports[a] || v == 0 {
			continue
		}
		minimum := e.rent(0)
		if _, ok := s.channels[market.ChannelID(a)]; ok {
			minimum = e.rent(escrow.ChannelLen)
		}
		if v < minimum && v < before.lamports[a] || v < minimum && before.lamports[a] == 0 {
			return &progErr{text: fmt.Sprintf("InsufficientFundsForRent: account %s", a)}
		}
	}
	return nil
}
