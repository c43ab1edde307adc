package solana

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// A plain account has no counter, so nothing of a transfer tells a repeat from the first. Therefore a transfer takes
// two transactions: the first makes a ticket, an account at an address that only this record names, with the rent
// minimum in it; the second uses the ticket up and moves the money, both or neither. However often the second is
// signed, it takes effect once: the ticket is gone then. The first is signed again only while no second one is
// (docs/adr/0004-transfer-ticket.md).

// ticketUnits covers three budget instructions and two of the System program.
const ticketUnits = 1_000

// ticket is the address of the record's ticket account: derived from our account and the seed, owned by the System
// program.
func (l *Ledger) ticket(r record) market.Address {
	h := sha256.New()
	h.Write(l.address[:])
	h.Write([]byte(r.Seed))
	h.Write(systemProgram[:])
	return market.Address(h.Sum(nil))
}

// text is a string as System instructions carry it: length u64, bytes.
func text(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}

// makeTicketIx is System instruction 3, CreateAccountWithSeed: it fails while the address holds anything.
func makeTicketIx(from, ticket market.Address, seed string, lamports market.Amount) instruction {
	data := append([]byte{3, 0, 0, 0}, from[:]...)
	data = u64le(text(data, seed), uint64(lamports), 0)
	return instruction{systemProgram, []meta{{from, true, true}, rw(ticket)}, append(data, systemProgram[:]...)}
}

// useTicketIx is System instruction 11, TransferWithSeed: it fails when the ticket is gone.
func useTicketIx(base, ticket, to market.Address, seed string, lamports market.Amount) instruction {
	data := text(u64le([]byte{11, 0, 0, 0}, uint64(lamports)), seed)
	return instruction{systemProgram, []meta{rw(ticket), sig(base), rw(to)}, append(data, systemProgram[:]...)}
}

// ticketed is a record whose ticket is made: next it moves the money.
func ticketed(r record) record {
	r.Moving, r.Fees = true, r.Fees+r.Result.Fee
	r.Result.State = escrow.Planned
	return r
}

// lamports of an account in the confirmed view, 0 if it is absent.
func (l *Ledger) lamports(ctx context.Context, a market.Address) (market.Amount, error) {
	accs, _, err := l.accounts(ctx, []string{a.String()}, escrow.Confirmed)
	if err != nil || accs[0] == nil {
		return 0, err
	}
	return market.Amount(accs[0].Lamports), nil
}

// signTransfer signs the next transaction of a transfer. The error is only ever "ask again later".
func (l *Ledger) signTransfer(ctx context.Context, r record) (record, error) {
	if r.Moving {
		return l.signMove(ctx, r)
	}
	balance, err := l.Balance(ctx, l.address)
	if err != nil {
		return r, err
	}
	keep, err := l.rentMinimum(ctx, 0)
	if err != nil {
		return r, err
	}
	price := l.price(ctx, []string{l.address.String(), r.Intent.To.String()}, ticketUnits, r.Tries)
	fee := market.Amount(escrow.FeePerSignature + priorityFee(price, ticketUnits))
	if balance <= fee {
		return fail(r, 0, fmt.Sprintf("account %s holds %s SOL, the fee is %s", l.address, balance.SOL(), fee.SOL())),
			nil
	}
	plain := transferIx(l.address, r.Intent.To, r.Intent.Amount)
	if r.Intent.All {
		plain = transferIx(l.address, r.Intent.To, balance-fee)
	}
	hash, lastValid, err := l.latest(ctx)
	if err != nil {
		return r, err
	}
	if sim, err := l.dryRun(ctx, hash, price, plain); err != nil {
		return r, err
	} else if sim.failed { // before a lamport moves
		return l.failed(r, sim.failure), nil
	}
	if !r.roomForTicket(balance, keep, fee) {
		return l.signed(r, hash, lastValid, 1, ticketUnits, price, []instruction{plain})
	}
	if r.Seed == "" {
		r.Seed = rand.Text()
	}
	r.Ticket = keep
	if r.Tries > 0 {
		r.Until = lastValid // two may be on their way: the money moves when neither can come any more
	}
	return l.signed(r, hash, lastValid, 1, ticketUnits, price,
		[]instruction{makeTicketIx(l.address, l.ticket(r), r.Seed, keep)})
}

// roomForTicket reports whether a transfer can be made in two transactions. If not, because too little would be left
// for the rent minimum meanwhile or for the second fee, it is one transaction that is never signed again.
func (r record) roomForTicket(balance, keep, fee market.Amount) bool {
	if r.Seed != "" || r.Intent.All {
		return r.Seed != "" || balance >= 2*keep+3*fee
	}
	return balance >= r.Intent.Amount+keep+3*fee && balance >= 2*keep+3*fee
}

// signMove uses the ticket up and moves the money; Back only returns the ticket's lamports.
func (l *Ledger) signMove(ctx context.Context, r record) (record, error) {
	if r.Until > 0 {
		var f final
		err := l.rpc.pinned("reading the finalised block", func(one caller) (err error) {
			f, err = finalised(ctx, one)
			return err
		})
		if err != nil {
			return r, err
		}
		if f.Height <= r.Until {
			return r, errWait
		}
		r.Until = 0
	}
	ticket := l.ticket(r)
	held, err := l.lamports(ctx, ticket)
	if err != nil {
		return r, err
	}
	if held < r.Ticket && !r.Signed { // a fork undid it: its bytes are sent again
		r.Moving, r.Fees = false, r.Fees-r.Result.Fee
		r.Result.State = escrow.Sent
		return r, nil
	}
	if held < r.Ticket {
		return r, errWait // a machine that is behind, or the move is on the chain and not seen yet
	}
	balance, err := l.Balance(ctx, l.address)
	if err != nil {
		return r, err
	}
	price := l.price(ctx, []string{l.address.String(), r.Intent.To.String()}, ticketUnits, r.Tries)
	fee := market.Amount(escrow.FeePerSignature + priorityFee(price, ticketUnits))
	var ixs []instruction
	switch {
	case r.Back:
		ixs = []instruction{useTicketIx(l.address, ticket, l.address, r.Seed, held)}
	case r.Intent.All:
		ixs = []instruction{useTicketIx(l.address, ticket, r.Intent.To, r.Seed, held)}
		if balance > fee {
			ixs = append(ixs, transferIx(l.address, r.Intent.To, balance-fee))
		}
	default:
		ixs = []instruction{useTicketIx(l.address, ticket, l.address, r.Seed, held),
			transferIx(l.address, r.Intent.To, r.Intent.Amount)}
	}
	hash, lastValid, err := l.latest(ctx)
	if err != nil {
		return r, err
	}
	if sim, err := l.dryRun(ctx, hash, price, ixs...); err != nil {
		return r, err
	} else if sim.failed {
		return l.failed(r, sim.failure), nil
	}
	r.Signed = true
	return l.signed(r, hash, lastValid, 1, ticketUnits, price, ixs)
}

// giveBack ends a transfer that cannot be made: first the ticket's lamports return, then the record fails with why.
func giveBack(r record, f txFailure, why string) record {
	r.Back, r.Why = true, why
	r.Result = escrow.Result{State: escrow.Planned, Signature: r.Result.Signature, Code: f.Code, Err: why}
	return r
}

// dryRun simulates instructions with their own budget. Error: ask again later.
func (l *Ledger) dryRun(ctx context.Context, hash [32]byte, price uint64, ixs ...instruction) (simulation, error) {
	raw, _, err := compile(l.signer, hash, append(budgetIx(ticketUnits, price), ixs...))
	if err != nil {
		return simulation{failed: true, failure: txFailure{Text: err.Error()}}, nil
	}
	return l.simulate(ctx, raw)
}
