package escrow

import (
	"context"
	"errors"
	"time"

	"github.com/gpuai/gpuai/market"
)

// Status of a Channel's account; Gone is ours: the account is absent.
type Status uint8

// Status values; 0–2 are the on-chain byte.
const (
	StatusOpen    Status = 0
	StatusClosing Status = 1
	StatusSealed  Status = 2
	StatusGone    Status = 255
)

// Trust says which view of the chain a read uses: Shown (any endpoint), Confirmed, Finalised.
type Trust uint8

// Views of the chain, weakest first.
const (
	Shown Trust = iota + 1
	Confirmed
	Finalised
)

// ChannelState is one Channel account as read from the chain; Status Gone leaves the rest zero but ID and Slot.
type ChannelState struct {
	ID                               market.ChannelID
	Status                           Status
	Deposit, Settled, Paid, Refunded market.Amount
	Deadline                         int64 // unix s, 0 while Open
	OpenSlot, Salt, ClusterTag       uint64
	CloseDelay                       time.Duration
	Payer, Payee, Mint, Vault        market.Address
	VoucherKey, ReleaseKey           [32]byte
	PayeeDest, PayerDest             market.Address
	OpenedAt                         int64
	VoucherSlot                      uint64 // slot in which the last voucher came in, if it had an expiry; else 0
	Slot                             uint64 // the read's slot
	Lamports                         uint64 // the account's balance, rent included
}

// Head is the chain as the ledger sees it.
type Head struct {
	Slot, Height, FinalisedHeight uint64
	Clock                         time.Time // the chain's clock
	ClusterTag                    uint64
	RentPerByte                   uint64
	FinalisedAge                  time.Duration // since the finalised view last advanced
}

// Op is what an Intent does.
type Op uint8

// Ops, persisted: append-only.
const (
	OpOpen Op = iota + 1 // with the claim fee transfer beside it
	OpTopUp
	OpClaim
	OpRecord
	OpRequestClose
	OpFinish // Release given: ed25519, release, pay_payee, pay_payer; else seal, pay_payee, pay_payer
	OpReclaim
	OpTransfer // a plain System transfer (wallet withdraw)
	OpPay      // pay_payee of Channel and of Also, in one transaction: what is recorded or sealed and not paid
)

// Intent is one wanted effect on the chain. Key is idempotent: the same Key is never effective twice.
type Intent struct {
	Op      Op               `json:"Op"`
	Channel market.ChannelID `json:"Channel"` // OpOpen: must equal Open.Address(program); OpTransfer: zero
	Nonce   uint64           `json:"Nonce"`   // cumulative amount for claims, a counter else
	Amount  market.Amount    `json:"Amount"`  // deposit, top-up, transfer
	// OpTopUp: the deposit afterwards, so that a repeat adds nothing; 0: Amount more than when it is first built
	Total    market.Amount  `json:"Total"`
	Open     *OpenTerms     `json:"Open"`     // OpOpen
	Voucher  *Signed        `json:"Voucher"`  // OpClaim, OpRecord
	Release  *SignedRelease `json:"Release"`  // OpFinish, or nil
	To       market.Address `json:"To"`       // OpTransfer
	All      bool           `json:"All"`      // OpTransfer: everything less the fee
	ClaimFee market.Amount  `json:"ClaimFee"` // OpOpen
	FeePayer market.Address `json:"FeePayer"` // OpOpen: receives ClaimFee

	Also []market.ChannelID `json:"Also,omitempty"` // OpPay: other Channels of the same payee, at most MaxPaid-1
}

// OpenTerms fixes a Channel at open; with the program id it determines the address. Salt is counted up until the
// address has bump 255.
type OpenTerms struct {
	Payer      market.Address `json:"Payer"`
	Payee      market.Address `json:"Payee"`
	Mint       market.Address `json:"Mint"`
	VoucherKey [32]byte       `json:"VoucherKey"`
	ReleaseKey [32]byte       `json:"ReleaseKey"`
	CloseDelay time.Duration  `json:"CloseDelay"`
	Salt       uint64         `json:"Salt"`
	ClusterTag uint64         `json:"ClusterTag"`
	OpenSlot   uint64         `json:"OpenSlot"`
}

// Result is an intent's fate. State uses the sender's numbers (docs/flows/payment.md): 6 Failed and 7 Final are ends, 4
// Confirmed is enough to go on.
type Result struct {
	State     SendState `json:"State"`
	Signature string    `json:"Signature"` // base58
	Slot      uint64    `json:"Slot"`
	Fee       uint64    `json:"Fee"`             // lamports, once known, of the newest transaction
	Burnt     uint64    `json:"Burnt,omitempty"` // lamports that failed transactions of this intent have cost
	Code      uint32    `json:"Code"`            // program error, 0 = none
	Err       string    `json:"Err"`
}

// Cost is what the intent has cost its signer in fees so far: only transactions that landed cost anything.
func (r Result) Cost() market.Amount {
	if r.State == ConfirmedTx || r.State == Final {
		return market.Amount(r.Fee + r.Burnt)
	}
	return market.Amount(r.Burnt)
}

// SendState is the sender's durable state of one intent.
type SendState uint8

// Send states, persisted: append-only.
const (
	Planned SendState = iota + 1
	SignedTx
	Sent
	ConfirmedTx
	Expired
	Failed
	Final
)

// Update is what an own intent on a Channel has come to.
type Update struct {
	Channel market.ChannelID
	Intent  string // Intent.Key()
	Result  Result
}

// Needs is what an intent takes from the signer's account, part by part, beside what the account holds. Fees is the
// most that they can be: of an open also those of the transactions that end the Channel. Minimum stays in the account,
// or the ledger would not keep it; UnderWay is what other intents still take.
type Needs struct {
	Balance                           market.Amount
	Amount, ClaimFee, Fees            market.Amount
	Storage, Minimum, UnderWay, Total market.Amount // Total: all parts but Balance
}

// Short is what the account lacks; 0: nothing.
func (n Needs) Short() market.Amount { return n.Total - min(n.Balance, n.Total) }

// ErrUnreachable means that no endpoint answered: unknown, never absent.
var ErrUnreachable = errors.New("chain unreachable")

// Ledger is the chain as the node uses it. Implementations: escrow/solana, escrow/escrowtest; contract:
// escrowtest.TestLedger.
type Ledger interface {
	Head(ctx context.Context) (Head, error)
	// Channels reads accounts in the order asked; an absent one has StatusGone. Errors: ErrUnreachable.
	Channels(ctx context.Context, ids []market.ChannelID, t Trust) ([]ChannelState, error)
	// Balance is the lamports of a plain account. Errors: ErrUnreachable.
	Balance(ctx context.Context, a market.Address) (market.Amount, error)
	// Submit returns nil once the intent is durable; repeating it is free. Errors: *market.Error funds-short,
	// spend-cap.
	Submit(ctx context.Context, in Intent) error
	// Result returns an intent's newest state; ok is false for an unknown key.
	Result(ctx context.Context, key string) (r Result, ok bool, err error)
	// Probe simulates record: nil means redeemable. Errors: *market.Error voucher-unredeemable.
	Probe(ctx context.Context, s Signed) error
	// Watch calls f with the state of each known intent, and again when it changes, the newest at least; it returns
	// when ctx ends or f fails.
	Watch(ctx context.Context, f func(Update) error) error
}
