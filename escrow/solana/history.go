package solana

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gagliardetto/solana-go"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// History reads what became of a program's transactions at finality. Use NewHistory; it does nothing else than reads.
type History struct {
	rpc     *rpcClient
	program market.Address
}

// NewHistory reads from these endpoints, in order, those that are of the ledger with this genesis.
func NewHistory(rpc []string, genesis string, program market.Address) *History {
	h := &History{rpc: newRPC(rpc), program: program}
	h.rpc.genesis = genesis
	return h
}

// PageOfSignatures is how many Signatures gives at most.
const PageOfSignatures = 1000

// Slot is the newest that is final. Errors: chain-unreachable.
func (h *History) Slot(ctx context.Context) (slot uint64, err error) {
	opts := map[string]any{"commitment": commitment(escrow.Finalised)}
	if err := h.rpc.call(ctx, &slot, "getSlot", opts); err != nil {
		return 0, fmt.Errorf("reading slot: %w", err)
	}
	return slot, nil
}

// Signatures of transactions that name the program, newest first: those before one and after another, "" is no bound.
// Errors: chain-unreachable.
func (h *History) Signatures(ctx context.Context, before, after string) ([]string, error) {
	opts := map[string]any{"commitment": commitment(escrow.Finalised), "limit": PageOfSignatures}
	for key, sig := range map[string]string{"before": before, "until": after} {
		if sig != "" {
			opts[key] = sig
		}
	}
	var rows []struct {
		Signature string `json:"signature"`
	}
	if err := h.rpc.call(ctx, &rows, "getSignaturesForAddress", h.program.String(), opts); err != nil {
		return nil, fmt.Errorf("reading signatures: %w", err)
	}
	var out []string
	for _, r := range rows {
		out = append(out, r.Signature)
	}
	return out, nil
}

// Channel reads one account at finality; an absent one is gone. Errors: chain-unreachable; its data is none of a
// Channel.
func (h *History) Channel(ctx context.Context, id market.ChannelID) (escrow.ChannelState, error) {
	accs, slot, err := accountsOf(ctx, h.rpc.call, []string{id.String()}, escrow.Finalised)
	if err != nil {
		return escrow.ChannelState{}, err
	}
	s, err := channelIn(accs[0], h.program)
	s.ID, s.Slot = id, slot
	return s, err
}

// Landed is a transaction as it went into a block. Unread: of a form that this program does not know, or that its
// endpoint tells in one, so Calls are not known.
type Landed struct {
	Signature string
	Slot      uint64
	At        time.Time
	Failed    bool // it changed nothing
	Unread    bool
	Calls     []Call // of the program, in order
}

// Call is one instruction of the program. Outer counts the transaction's instructions; Inner those that the outer one
// called, -1: it is the outer one itself.
type Call struct {
	Outer, Inner int
	Data         []byte
	Accounts     []market.Address
	Signed       []byte // the message whose signature the instruction before the outer one checks; nil: there is none
}

// rawTransaction is the RPC's answer.
type rawTransaction struct {
	Slot        uint64   `json:"slot"`
	BlockTime   int64    `json:"blockTime"`
	Transaction []string `json:"transaction"`
	Meta        *struct {
		Err   json.RawMessage `json:"err"`
		Inner []struct {
			Index        int `json:"index"`
			Instructions []struct {
				Program  int           `json:"programIdIndex"`
				Accounts []int         `json:"accounts"`
				Data     solana.Base58 `json:"data"`
			} `json:"instructions"`
		} `json:"innerInstructions"`
		Loaded struct {
			Writable []market.Address `json:"writable"`
			Readonly []market.Address `json:"readonly"`
		} `json:"loadedAddresses"`
	} `json:"meta"`
}

// ErrNotShown: the endpoint has not the transaction, though it told its signature. Another read may have it.
var ErrNotShown = errors.New("transaction is not shown")

// Transaction reads one. Errors: ErrNotShown; chain-unreachable.
func (h *History) Transaction(ctx context.Context, sig string) (Landed, error) {
	var raw *rawTransaction
	opts := map[string]any{"commitment": commitment(escrow.Finalised), "encoding": "base64",
		"maxSupportedTransactionVersion": 0}
	out := Landed{Signature: sig}
	err := h.rpc.call(ctx, &raw, "getTransaction", sig, opts)
	var e *rpcError
	switch {
	case errors.As(err, &e) && e.Code == unsupportedVersion:
		out.Unread = true
		return out, nil
	case err != nil:
		return out, fmt.Errorf("reading a transaction: %w", err)
	case raw == nil || raw.Meta == nil:
		return out, fmt.Errorf("reading %s: %w", sig, ErrNotShown)
	}
	out.Slot, out.At = raw.Slot, time.Unix(raw.BlockTime, 0)
	_, out.Failed = parseFailure(raw.Meta.Err)
	if out.Calls, err = raw.calls(h.program); err != nil {
		out.Unread, out.Calls = true, nil
	}
	return out, nil
}

// unsupportedVersion is the RPC's code for a transaction of a newer form.
const unsupportedVersion = -32015

// calls are the instructions of a program. Error: the transaction cannot be read.
func (r *rawTransaction) calls(program market.Address) (out []Call, err error) {
	defer func() {
		if recover() != nil { // a codec of others reads what anybody sends
			out, err = nil, escrow.ErrMalformed
		}
	}()
	if len(r.Transaction) != 2 || r.Transaction[1] != "base64" {
		return nil, escrow.ErrMalformed
	}
	b, err := base64.StdEncoding.DecodeString(r.Transaction[0])
	if err != nil {
		return nil, err
	}
	tx, err := solana.TransactionFromBytes(b)
	if err != nil {
		return nil, err
	}
	var keys []market.Address
	for _, k := range tx.Message.AccountKeys {
		keys = append(keys, market.Address(k))
	}
	keys = append(append(keys, r.Meta.Loaded.Writable...), r.Meta.Loaded.Readonly...)
	var signed []byte
	add := func(outer, inner, at int, accounts []int, data []byte) error {
		if at < 0 || at >= len(keys) {
			return escrow.ErrMalformed
		}
		if keys[at] != program {
			return nil
		}
		c := Call{Outer: outer, Inner: inner, Data: data, Signed: signed}
		for _, i := range accounts {
			if i < 0 || i >= len(keys) {
				return escrow.ErrMalformed
			}
			c.Accounts = append(c.Accounts, keys[i])
		}
		out = append(out, c)
		return nil
	}
	for i, ix := range tx.Message.Instructions {
		accounts := make([]int, len(ix.Accounts))
		for j, a := range ix.Accounts {
			accounts[j] = int(a)
		}
		if err := add(i, -1, int(ix.ProgramIDIndex), accounts, ix.Data); err != nil {
			return nil, err
		}
		for _, in := range r.Meta.Inner {
			if in.Index != i {
				continue
			}
			for j, c := range in.Instructions {
				if err := add(i, j, c.Program, c.Accounts, c.Data); err != nil {
					return nil, err
				}
			}
		}
		signed = nil
		if at := int(ix.ProgramIDIndex); at < len(keys) && keys[at] == ed25519Program {
			signed = escrow.Ed25519Message(ix.Data)
		}
	}
	return out, nil
}
