package solana

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// errDone means that the chain already shows the intent's effect.
var errDone = errors.New("already done")

// minPrice is the least compute-unit price in micro-lamports: ≤ 900 lamports for ≤ 9,000 units.
const minPrice = 100_000

// leastUnits are the units that an intent's transaction takes at most by the program's ceilings (TestCU_Gate), its
// budget instructions included: a simulation that says less is not believed, for a limit below what is used costs the
// fee and does nothing.
var leastUnits = map[escrow.Op]uint32{
	escrow.OpOpen: 3_100, escrow.OpTopUp: 2_700, escrow.OpClaim: 1_400, escrow.OpRecord: 1_400,
	escrow.OpRequestClose: 1_400,
	escrow.OpFinish:       3_000, escrow.OpReclaim: 3_200,
}

// simUnits is the unit limit of a simulation; the real one follows from what it consumed.
const simUnits = 200_000

func priorityFee(price uint64, units uint32) uint64 {
	return (price*uint64(units) + 999_999) / 1_000_000
}

// built is the instructions of an intent and the accounts whose contention sets the price.
type built struct {
	ixs      []instruction
	sigs     uint64 // that cost a fee, the precompile's included
	writable []string
}

// build turns an intent into instructions by the Channel as confirmed now. Errors: errDone; chain-unreachable; a status
// that does not allow it.
func (l *Ledger) build(ctx context.Context, r *record) (b built, err error) {
	in := r.Intent
	p := l.cfg.Program
	b.sigs = 1
	var cs escrow.ChannelState
	if in.Op != escrow.OpOpen || r.Tries > 0 {
		states, err := l.Channels(ctx, []market.ChannelID{in.Channel}, escrow.Confirmed)
		if err != nil {
			return b, err
		}
		cs = states[0]
	}
	switch in.Op {
	case escrow.OpOpen:
		if r.Tries > 0 && cs.Status != escrow.StatusGone { // only these terms have this address
			return b, l.shown(ctx, in.Channel,
				func(cs escrow.ChannelState) bool { return cs.Status != escrow.StatusGone })
		}
		if in.ClaimFee > 0 {
			b.ixs = append(b.ixs, transferIx(l.address, in.FeePayer, in.ClaimFee))
		}
		b.ixs = append(b.ixs, openIx(p, in.Channel, *in.Open, in.Amount))
	default:
		err = l.buildOnChannel(ctx, r, cs, &b)
	}
	for _, ix := range b.ixs {
		for _, m := range ix.metas {
			if s := m.key.String(); m.writable && !slices.Contains(b.writable, s) {
				b.writable = append(b.writable, s)
			}
		}
	}
	return b, err
}

func (l *Ledger) buildOnChannel(ctx context.Context, r *record, cs escrow.ChannelState, b *built) error {
	in, p := r.Intent, l.cfg.Program
	if cs.Status == escrow.StatusGone {
		if err := l.gone(ctx, r); err != nil {
			return err
		}
		if in.Op == escrow.OpFinish || in.Op == escrow.OpReclaim || in.Op == escrow.OpPay {
			return errDone
		}
		return fmt.Errorf("channel %s does not exist", in.Channel)
	}
	switch in.Op {
	case escrow.OpTopUp:
		if r.Total == 0 {
			r.Total = cmp.Or(in.Total, cs.Deposit+in.Amount)
		}
		if cs.Deposit >= r.Total {
			return l.shown(ctx, in.Channel, func(cs escrow.ChannelState) bool { return cs.Deposit >= r.Total })
		}
		b.ixs = []instruction{topUpIx(p, l.address, in.Channel, r.Total)}
	case escrow.OpClaim, escrow.OpRecord:
		if cs.Settled >= in.Voucher.Amount {
			if in.Op == escrow.OpRecord || cs.Paid == cs.Settled {
				return errDone
			}
			b.ixs = []instruction{payIx(p, escrow.TagPayPayee, in.Channel, cs.PayeeDest)} // recorded before, paid now
			return nil
		}
		b.sigs++
		b.ixs = []instruction{ed25519Ix(cs.VoucherKey, in.Voucher.Encode(), in.Voucher.Sig), recordIx(p, in.Channel)}
		if in.Op == escrow.OpClaim {
			b.ixs[1] = claimIx(p, in.Channel, cs.PayeeDest)
		}
	case escrow.OpRequestClose:
		if cs.Status != escrow.StatusOpen {
			return errDone
		}
		b.ixs = []instruction{requestCloseIx(p, l.address, in.Channel)}
	case escrow.OpFinish:
		return l.buildFinish(r, cs, b)
	case escrow.OpPay:
		return l.buildPay(ctx, in, b)
	case escrow.OpReclaim:
		b.ixs = []instruction{reclaimIx(p, in.Channel, cs.Payer)}
	}
	return nil
}

// buildFinish seals by Release or deadline unless that happened, then pays what is not paid yet; SkipPayee leaves the
// payee's leg out.
func (l *Ledger) buildFinish(r *record, cs escrow.ChannelState, b *built) error {
	in, p := r.Intent, l.cfg.Program
	sealed := cs.Status == escrow.StatusSealed
	if sealed && cs.Refunded == cs.Deposit-cs.Settled && (cs.Paid == cs.Settled || r.SkipPayee) {
		return errDone
	}
	if !sealed && in.Release != nil {
		b.sigs++
		end := consentIx(p, in.Channel) // the payee's own node ends it: at what is settled
		if cs.Payer == l.address {
			end = releaseIx(p, l.address, in.Channel)
		}
		b.ixs = append(b.ixs, ed25519Ix(cs.ReleaseKey, in.Release.Encode(), in.Release.Sig), end)
	} else if !sealed {
		b.ixs = append(b.ixs, sealIx(p, in.Channel))
	}
	if !r.SkipPayee {
		b.ixs = append(b.ixs, payIx(p, escrow.TagPayPayee, in.Channel, cs.PayeeDest))
	}
	b.ixs = append(b.ixs, payIx(p, escrow.TagPayPayer, in.Channel, cs.PayerDest))
	return nil
}

// buildPay pays what each of the channels owes its payee and has not paid. A payee's account that does not exist yet is
// created by the sum.
func (l *Ledger) buildPay(ctx context.Context, in escrow.Intent, b *built) error {
	states, err := l.Channels(ctx, append([]market.ChannelID{in.Channel}, in.Also...), escrow.Confirmed)
	if err != nil {
		return err
	}
	for _, cs := range states {
		if cs.Status != escrow.StatusGone && cs.Paid < cs.Settled && cs.PayeeDest == states[0].PayeeDest {
			b.ixs = append(b.ixs, payIx(l.cfg.Program, escrow.TagPayPayee, cs.ID, cs.PayeeDest))
		}
	}
	if len(b.ixs) == 0 {
		return errDone
	}
	return nil
}

// price is max(p75 of recent fees on the writable accounts, minPrice) × 4 per retry, so that the fee of units stays
// within MaxFee.
func (l *Ledger) price(ctx context.Context, writable []string, units uint32, tries int) uint64 {
	var recent []struct {
		Fee uint64 `json:"prioritizationFee"`
	}
	price := uint64(minPrice)
	// A failure costs only accuracy: the floor stays.
	if err := l.rpc.call(ctx, &recent, "getRecentPrioritizationFees", writable); err == nil && len(recent) > 0 {
		fees := make([]uint64, len(recent))
		for i, f := range recent {
			fees[i] = f.Fee
		}
		slices.Sort(fees)
		price = max(price, fees[len(fees)*3/4])
	}
	most := l.cfg.MaxFee * 1_000_000 / uint64(max(units, 1))
	price = min(price, most)
	for range min(tries, 8) {
		price = min(price*4, most)
	}
	return price
}

// simulation is the outcome of a dry run.
type simulation struct {
	units   uint32
	failure txFailure
	failed  bool
}

func (l *Ledger) simulate(ctx context.Context, raw []byte) (s simulation, err error) {
	var out struct {
		Value struct {
			Err   json.RawMessage `json:"err"`
			Units uint64          `json:"unitsConsumed"`
		} `json:"value"`
	}
	opts := map[string]any{"encoding": "base64", "commitment": "confirmed", "sigVerify": true}
	if err := l.rpc.call(ctx, &out, "simulateTransaction", base64.StdEncoding.EncodeToString(raw), opts); err != nil {
		return s, fmt.Errorf("simulating: %w", err)
	}
	s.failure, s.failed = parseFailure(out.Value.Err)
	if s.failed && strings.Contains(s.failure.Text, "BlockhashNotFound") {
		return s, unreachable("simulating", errors.New("the endpoint does not know its own blockhash yet"))
	}
	s.units = uint32(min(out.Value.Units, simUnits))
	return s, nil
}

// latest returns a blockhash of the confirmed view and the last height at which it is valid.
func (l *Ledger) latest(ctx context.Context) (hash [32]byte, lastValid uint64, err error) {
	var out struct {
		Value struct {
			Blockhash            string `json:"blockhash"`
			LastValidBlockHeight uint64 `json:"lastValidBlockHeight"`
		} `json:"value"`
	}
	if err := l.rpc.call(ctx, &out, "getLatestBlockhash", map[string]any{"commitment": "confirmed"}); err != nil {
		return hash, 0, fmt.Errorf("reading a blockhash: %w", err)
	}
	b, err := market.ParseBase58(out.Value.Blockhash, 32)
	if err != nil {
		return hash, 0, fmt.Errorf("reading a blockhash: %w", err)
	}
	copy(hash[:], b)
	return hash, out.Value.LastValidBlockHeight, nil
}

// Probe implements escrow.Ledger: it simulates record. nil and 145 mean that the chain would take the voucher. Errors:
// *market.Error voucher-unredeemable, fee-payer-low (the simulation needs a funded fee payer), chain-unreachable.
func (l *Ledger) Probe(ctx context.Context, s escrow.Signed) error {
	if err := l.checkGenesis(ctx); err != nil {
		return err
	}
	r := &record{At: time.Now(), Intent: escrow.Intent{Op: escrow.OpRecord, Channel: s.Channel, Voucher: &s}}
	b, err := l.build(ctx, r)
	if errors.Is(err, errDone) {
		return nil
	}
	refuse := func(detail string) error {
		return &market.Error{
			Code: market.CodeVoucherUnredeemable, Op: "probing a voucher", Kind: market.KindInvalid,
			Detail: "the chain would refuse this voucher (" + detail + ")",
		}
	}
	if errors.Is(err, errWait) {
		return refuse("channel " + s.Channel.String() + " does not exist")
	}
	if err != nil {
		if errors.Is(err, escrow.ErrUnreachable) {
			return err
		}
		return refuse(err.Error())
	}
	hash, _, err := l.latest(ctx)
	if err != nil {
		return err
	}
	raw, _, err := compile(l.signer, hash, append(budgetIx(simUnits, 0), b.ixs...))
	if err != nil {
		return err
	}
	sim, err := l.simulate(ctx, raw)
	if err != nil {
		return err
	}
	switch {
	case !sim.failed || sim.failure.Code == escrow.CodeNotMonotonic:
		return nil
	case isBroke(sim.failure):
		return l.broke("probing a voucher", sim.failure)
	case sim.failure.Code != 0:
		return refuse(escrow.CodeName(sim.failure.Code))
	}
	return refuse(sim.failure.Text)
}
