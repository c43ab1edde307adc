package solana

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// accountsPerCall is the RPC's limit of getMultipleAccounts.
const accountsPerCall = 100

type contextSlot struct {
	Slot uint64 `json:"slot"`
}

// account is the part of an RPC account that we read; rentEpoch is 2^64 − 1 and ignored.
type account struct {
	Lamports uint64   `json:"lamports"`
	Owner    string   `json:"owner"`
	Data     []string `json:"data"` // [text, "base64"]
	Program  bool     `json:"executable"`
}

func (a *account) bytes() ([]byte, error) {
	if len(a.Data) != 2 || a.Data[1] != "base64" {
		return nil, fmt.Errorf("%w: account data is not base64", escrow.ErrMalformed)
	}
	return base64.StdEncoding.DecodeString(a.Data[0])
}

func commitment(t escrow.Trust) string {
	switch t {
	case escrow.Finalised:
		return "finalized"
	case escrow.Confirmed:
		return "confirmed"
	}
	return "processed"
}

// accounts reads up to accountsPerCall accounts in one view; an absent one is nil.
func (l *Ledger) accounts(ctx context.Context, keys []string, t escrow.Trust) ([]*account, uint64, error) {
	return accountsOf(ctx, l.rpc.call, keys, t)
}

func accountsOf(ctx context.Context, call caller, keys []string, t escrow.Trust) ([]*account, uint64, error) {
	var out struct {
		Context contextSlot `json:"context"`
		Value   []*account  `json:"value"`
	}
	opts := map[string]any{"encoding": "base64", "commitment": commitment(t)}
	if err := call(ctx, &out, "getMultipleAccounts", keys, opts); err != nil {
		return nil, 0, fmt.Errorf("reading accounts: %w", err)
	}
	if len(out.Value) != len(keys) {
		return nil, 0, unreachable("reading accounts", fmt.Errorf("%d accounts for %d keys", len(out.Value), len(keys)))
	}
	return out.Value, out.Context.Slot, nil
}

// Channels implements escrow.Ledger. An account that is not the program's is no Channel: Gone.
func (l *Ledger) Channels(ctx context.Context, ids []market.ChannelID, t escrow.Trust) ([]escrow.ChannelState, error) {
	out := make([]escrow.ChannelState, 0, len(ids))
	for len(ids) > 0 {
		n := min(len(ids), accountsPerCall)
		keys := make([]string, n)
		for i, id := range ids[:n] {
			keys[i] = id.String()
		}
		accs, slot, err := l.accounts(ctx, keys, t)
		if err != nil {
			return nil, err
		}
		for i, a := range accs {
			cs, err := channelIn(a, l.cfg.Program)
			if err != nil {
				return nil, fmt.Errorf("reading channel %s: %w", ids[i], err)
			}
			cs.ID, cs.Slot = ids[i], slot
			out = append(out, cs)
		}
		ids = ids[n:]
	}
	return out, nil
}

func channelIn(a *account, program market.Address) (escrow.ChannelState, error) {
	if a == nil || a.Owner != program.String() {
		return escrow.ChannelState{Status: escrow.StatusGone}, nil
	}
	b, err := a.bytes()
	if err != nil {
		return escrow.ChannelState{}, err
	}
	cs, err := escrow.DecodeChannel(b)
	cs.Lamports = a.Lamports
	return cs, err
}

// Balance implements escrow.Ledger; it is the confirmed balance.
func (l *Ledger) Balance(ctx context.Context, a market.Address) (market.Amount, error) {
	var out struct {
		Value uint64 `json:"value"`
	}
	if err := l.rpc.call(ctx, &out, "getBalance", a.String(), map[string]any{"commitment": "confirmed"}); err != nil {
		return 0, fmt.Errorf("reading a balance: %w", err)
	}
	return market.Amount(out.Value), nil
}

// Payable says why an address can never be paid, "" if it can: the same tests as the program's open. Errors:
// chain-unreachable.
func (l *Ledger) Payable(ctx context.Context, a market.Address) (reason string, err error) {
	if escrow.ReservedPayee(a) || a == l.cfg.Program {
		return "it is a reserved address", nil
	}
	accs, _, err := l.accounts(ctx, []string{a.String()}, escrow.Confirmed)
	switch {
	case err != nil || accs[0] == nil:
		return "", err
	case accs[0].Program:
		return "it is a program", nil
	case accs[0].Owner == sysvarOwner || accs[0].Owner == nativeLoader:
		return "it belongs to the runtime", nil
	}
	return "", nil
}

const (
	sysvarOwner  = "Sysvar1111111111111111111111111111111111111"
	nativeLoader = "NativeLoader1111111111111111111111111111111"
)

const (
	sysvarClock = "SysvarC1ock11111111111111111111111111111111"
	sysvarRent  = "SysvarRent111111111111111111111111111111111"
)

// Head implements escrow.Ledger.
func (l *Ledger) Head(ctx context.Context) (h escrow.Head, err error) {
	if err := l.checkGenesis(ctx); err != nil {
		return h, err
	}
	h.ClusterTag = l.tag
	accs, slot, err := l.accounts(ctx, []string{sysvarClock, sysvarRent}, escrow.Confirmed)
	if err != nil {
		return h, err
	}
	h.Slot = slot
	for i, want := range []int{40, 17} {
		if accs[i] == nil {
			return h, unreachable("reading sysvars", fmt.Errorf("%w: absent", escrow.ErrMalformed))
		}
		b, err := accs[i].bytes()
		if err != nil || len(b) < want {
			return h, unreachable("reading sysvars", escrow.ErrMalformed)
		}
		if i == 0 {
			h.Clock = time.Unix(int64(binary.LittleEndian.Uint64(b[32:])), 0)
			continue
		}
		h.RentPerByte = rentPerByte(b)
	}
	if h.Height, err = l.height(ctx, escrow.Confirmed); err != nil {
		return h, err
	}
	if h.FinalisedHeight, err = l.height(ctx, escrow.Finalised); err != nil {
		return h, err
	}
	h.FinalisedAge = l.age(h.FinalisedHeight)
	return h, nil
}

// rentPerByte is the Rent sysvar's first field, times the exemption threshold where a cluster still has 2.0 (SIMD-0194
// makes it 1.0).
func rentPerByte(b []byte) uint64 {
	per := binary.LittleEndian.Uint64(b)
	if math.Float64frombits(binary.LittleEndian.Uint64(b[8:])) == 2 {
		per *= 2
	}
	return per
}

func (l *Ledger) height(ctx context.Context, t escrow.Trust) (h uint64, err error) {
	return heightOf(ctx, l.rpc.call, t)
}

func heightOf(ctx context.Context, call caller, t escrow.Trust) (h uint64, err error) {
	err = call(ctx, &h, "getBlockHeight", map[string]any{"commitment": commitment(t)})
	if err != nil {
		return 0, fmt.Errorf("reading the block height: %w", err)
	}
	return h, nil
}

// age tracks when the finalised height last advanced.
func (l *Ledger) age(finalised uint64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if finalised > l.finalised || l.finalisedAt.IsZero() {
		l.finalised, l.finalisedAt = finalised, time.Now()
	}
	return time.Since(l.finalisedAt)
}

// checkGenesis compares the endpoint's genesis hash once; until it fits, nothing is signed.
func (l *Ledger) checkGenesis(ctx context.Context) error {
	l.mu.Lock()
	done := l.genesisOK
	l.mu.Unlock()
	if done {
		return nil
	}
	var got string
	if err := l.rpc.call(ctx, &got, methodGenesis); err != nil {
		return fmt.Errorf("reading the genesis hash: %w", err)
	}
	if got != l.cfg.Genesis {
		return &market.Error{
			Code: market.CodeChainDisagrees, Op: "comparing the genesis hash", Kind: market.KindConflict,
			Detail: "endpoint says " + got + ", network is " + l.cfg.Genesis,
			Hint:   "solana.rpc points to another network",
		}
	}
	l.mu.Lock()
	l.genesisOK = true
	l.mu.Unlock()
	return nil
}

// rentMinimum is what an account of n data bytes must hold.
func (l *Ledger) rentMinimum(ctx context.Context, n uint64) (market.Amount, error) {
	accs, _, err := l.accounts(ctx, []string{sysvarRent}, escrow.Confirmed)
	if err != nil {
		return 0, err
	}
	if accs[0] == nil {
		return 0, unreachable("reading the rent sysvar", escrow.ErrMalformed)
	}
	b, err := accs[0].bytes()
	if err != nil || len(b) < 17 {
		return 0, unreachable("reading the rent sysvar", escrow.ErrMalformed)
	}
	return market.Amount((escrow.AccountOverhead + n) * rentPerByte(b)), nil
}

// txFailure is how the RPC tells a failed transaction: a string, or {"InstructionError": [index, string or {"Custom":
// code}]}.
type txFailure struct {
	Text string
	Code uint32
}

// parseFailure reads the err field; null gives ok = false.
func parseFailure(raw json.RawMessage) (f txFailure, failed bool) {
	if len(raw) == 0 || string(raw) == "null" {
		return f, false
	}
	f.Text = string(raw[:min(len(raw), 256)])
	var ie struct {
		InstructionError []json.RawMessage
	}
	if json.Unmarshal(raw, &ie) == nil && len(ie.InstructionError) == 2 {
		var c struct{ Custom *uint32 }
		if json.Unmarshal(ie.InstructionError[1], &c) == nil && c.Custom != nil {
			f.Code = *c.Custom
		}
	}
	return f, true
}
