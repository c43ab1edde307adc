package solana

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// Journal is the durable store of intents, keyed by Intent.Key(). Put returns only once the record is on disk. The node
// provides it.
type Journal interface {
	Put(key string, record []byte) error
	Delete(key string) error
	All() (map[string][]byte, error)
}

// Config names a cluster. RPC is tried in order; Genesis (base58) must be what every endpoint says. MaxFee bounds the
// priority fee of one transaction in lamports (default 100,000); MaxPerDay bounds deposits per 24 h in lamports, 0 = no
// bound. Step is the period of the sender (default 1 s).
type Config struct {
	RPC       []string
	Genesis   string
	Program   market.Address
	MaxFee    uint64
	MaxPerDay market.Amount
	Step      time.Duration
}

// Ledger is a Solana cluster behind escrow.Ledger, with one signer that pays every fee: the customer's spending
// account, or the provider's fee payer.
type Ledger struct {
	cfg     Config
	tag     uint64
	rpc     *rpcClient
	signer  ed25519.PrivateKey
	address market.Address
	journal Journal
	log     *slog.Logger
	wake    chan struct{}
	turn    chan struct{} // of whoever adds intents to the journal or removes them; mu is not held over its sync

	mu          sync.Mutex
	recs        map[string]*record
	subs        map[*subscriber]struct{}
	genesisOK   bool
	finalised   uint64
	finalisedAt time.Time
	warned      string // signature that a warning named last
}

var _ escrow.Ledger = (*Ledger)(nil)

// New opens a ledger and loads the journal; it does no network I/O. Run Serve for submitted intents to proceed. Errors:
// a bad config, an unreadable journal.
func New(cfg Config, signer ed25519.PrivateKey, journal Journal, log *slog.Logger) (*Ledger, error) {
	tag, err := escrow.ClusterTag(cfg.Genesis)
	if err != nil {
		return nil, fmt.Errorf("opening the ledger: %w", err)
	}
	if len(cfg.RPC) == 0 || cfg.Program == (market.Address{}) || len(signer) != ed25519.PrivateKeySize ||
		journal == nil {
		return nil, errors.New("opening the ledger: config wants an RPC endpoint, a program, a signer and a journal")
	}
	if cfg.MaxFee == 0 {
		cfg.MaxFee = 100_000
	}
	if cfg.Step <= 0 {
		cfg.Step = time.Second
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	l := &Ledger{
		cfg: cfg, tag: tag, rpc: newRPC(cfg.RPC), signer: signer, address: market.Address(escrow.PublicKey(signer)),
		journal: journal, log: log,
		wake: make(chan struct{}, 1), turn: make(chan struct{}, 1), recs: map[string]*record{},
		subs: map[*subscriber]struct{}{},
	}
	l.rpc.genesis = cfg.Genesis
	rows, err := journal.All()
	if err != nil {
		return nil, fmt.Errorf("reading the journal: %w", err)
	}
	for key, b := range rows {
		r := new(record)
		if err := json.Unmarshal(b, r); err != nil {
			return nil, fmt.Errorf("reading journal record %s: %w", key, err)
		}
		// of a version that stored no total: the nonce was the deposit before
		if r.Intent.Op == escrow.OpTopUp && r.Total == 0 && len(r.Tx) > 0 {
			r.Total = market.Amount(r.Intent.Nonce) + r.Intent.Amount
		}
		l.recs[key] = r
	}
	return l, nil
}

// Address is the signer's account: it pays fees, and it is the payer of Channels opened here.
func (l *Ledger) Address() market.Address { return l.address }

// Submit implements escrow.Ledger. A Failed intent may be submitted again: it had no effect. Errors: *market.Error
// funds-short, spend-cap, chain-unreachable (the balance is unknown), or an intent that is not complete.
func (l *Ledger) Submit(ctx context.Context, in escrow.Intent) error {
	if err := l.check(in); err != nil {
		return err
	}
	key := in.Key()
	if known, err := l.known(key); known || err != nil {
		return err
	}
	if err := l.affordable(ctx, in); err != nil {
		return err
	}
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	r, err := l.plan(in)
	if r == nil || err != nil {
		return err
	}
	if err := l.store(r); err != nil {
		return err
	}
	l.mu.Lock()
	l.recs[key] = r
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return nil
}

// plan makes the record of an intent; nil: it is under way or done. The caller has the turn, so that no other deposit
// is added between the cap's sum and the journal.
func (l *Ledger) plan(in escrow.Intent) (*record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.recs[in.Key()]
	if old != nil && old.Result.State != escrow.Failed {
		return nil, nil
	}
	if err := l.spendCap(in); err != nil {
		return nil, err
	}
	r := &record{Intent: in, Result: escrow.Result{State: escrow.Planned}, At: time.Now()}
	if old != nil {
		r.Result.Burnt = old.Result.Burnt
	}
	return r, nil
}

// known reports whether the intent is under way or done.
func (l *Ledger) known(key string) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.recs[key]
	return r != nil && r.Result.State != escrow.Failed, nil
}

// Result implements escrow.Ledger.
func (l *Ledger) Result(_ context.Context, key string) (escrow.Result, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.recs[key]
	if r == nil {
		return escrow.Result{}, false, nil
	}
	return r.Result, true, nil
}

// check refuses an intent that cannot be built.
func (l *Ledger) check(in escrow.Intent) error {
	bad := func(why string) error {
		return &market.Error{Op: "submitting " + in.Op.String(), Detail: why, Kind: market.KindInvalid}
	}
	switch in.Op {
	case escrow.OpOpen:
		if in.Open == nil || in.Amount == 0 {
			return bad("open wants terms and a deposit")
		}
		if id, err := in.Open.Address(l.cfg.Program); err != nil || id != in.Channel {
			return bad("channel is not the address of the terms")
		}
		if in.Open.Payer != l.address || in.Open.ClusterTag != l.tag {
			return bad("payer or cluster tag is not ours")
		}
		if _, err := escrow.ParseVoucherKey(in.Open.VoucherKey[:]); err != nil {
			return bad("voucher key: " + err.Error())
		}
	case escrow.OpClaim, escrow.OpRecord:
		if in.Voucher == nil || in.Voucher.Channel != in.Channel {
			return bad("no voucher of this channel")
		}
	case escrow.OpFinish:
		if in.Release != nil && in.Release.Channel != in.Channel {
			return bad("release of another channel")
		}
	case escrow.OpTransfer:
		if in.To == (market.Address{}) || in.To == l.address || (in.Amount == 0) != in.All {
			return bad("transfer wants another account and an amount, or all")
		}
	case escrow.OpTopUp:
		if in.Amount == 0 {
			return bad("top-up of nothing")
		}
	case escrow.OpPay:
		if len(in.Also) >= escrow.MaxPaid {
			return bad("too many channels in one payment")
		}
	case escrow.OpRequestClose, escrow.OpReclaim:
	default:
		return bad("unknown op")
	}
	return nil
}

// maxUnits bounds what a fee check assumes for one transaction of ours before it is simulated.
const maxUnits = 9_000

// maxFee is the most that a number of transactions with so many signatures in all may cost.
func (l *Ledger) maxFee(signatures, transactions uint64) market.Amount {
	return market.Amount(signatures*escrow.FeePerSignature + transactions*min(l.cfg.MaxFee,
		priorityFee(minPrice, maxUnits)))
}

// outflow is what an intent takes from the signer beside rent: money and the most it can cost in fees.
func (l *Ledger) outflow(in escrow.Intent) market.Amount {
	fee := l.maxFee(3, 1)
	switch in.Op {
	case escrow.OpOpen:
		return in.Amount + in.ClaimFee + l.maxFee(4, 3)
	case escrow.OpTopUp, escrow.OpTransfer:
		return in.Amount + fee
	}
	return fee
}

// spendCap enforces MaxPerDay over the other deposits of the last 24 h; one that is signed again counts from then. The
// caller holds mu.
func (l *Ledger) spendCap(in escrow.Intent) error {
	if l.cfg.MaxPerDay == 0 || in.Op != escrow.OpOpen && in.Op != escrow.OpTopUp {
		return nil
	}
	var today market.Amount
	for key, r := range l.recs {
		deposit := r.Intent.Op == escrow.OpOpen || r.Intent.Op == escrow.OpTopUp
		if deposit && key != in.Key() && r.Result.State != escrow.Failed &&
			(time.Since(r.At) < 24*time.Hour || time.Since(r.Again) < 24*time.Hour) {
			today += r.Intent.Amount
		}
	}
	if today > l.cfg.MaxPerDay || in.Amount > l.cfg.MaxPerDay-today {
		return &market.Error{
			Code: market.CodeSpendCap, Op: "submitting " + in.Op.String(), Kind: market.KindDenied,
			Detail: fmt.Sprintf("%s SOL deposited in 24 h, %s more is over %s", today.SOL(), in.Amount.SOL(),
				l.cfg.MaxPerDay.SOL()),
			Hint: "raise wallet.max_per_day or wait",
		}
	}
	return nil
}

// Airdrop asks a test cluster for lamports and returns once the request was taken. Errors: chain-unreachable, or the
// endpoint's refusal.
func (l *Ledger) Airdrop(ctx context.Context, to market.Address, amount market.Amount) error {
	var signature string
	if err := l.rpc.call(ctx, &signature, "requestAirdrop", to.String(), uint64(amount)); err != nil {
		return fmt.Errorf("requesting an airdrop: %w", err)
	}
	return nil
}
