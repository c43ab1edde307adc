package solana

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"

	solanago "github.com/gagliardetto/solana-go"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// within refuses a transaction that is not made of what this program's own transactions are made of: calls of the
// escrow program of a known form, at least one, plain transfers of SOL, limits of compute, and signature checks of
// vouchers and releases. Lookup tables are refused: no transaction of the program needs one, and what is behind them
// cannot be seen here. signed: all signatures must be there and hold. Error: *market.Error not-allowed, malformed.
func within(raw []byte, program market.Address, signed bool) error {
	tx, err := decodeTransaction(raw)
	if err != nil {
		return err
	}
	m := tx.Message
	if len(m.AddressTableLookups) > 0 {
		return foreign("it takes accounts from lookup tables, which are not read here")
	}
	calls := 0
	for i, ix := range m.Instructions {
		if int(ix.ProgramIDIndex) >= len(m.AccountKeys) {
			return malformed("an instruction names no program")
		}
		for _, a := range ix.Accounts {
			if int(a) >= len(m.AccountKeys) {
				return malformed("an instruction names an account that is not there")
			}
		}
		key := market.Address(m.AccountKeys[ix.ProgramIDIndex])
		if !allowed(key, program, ix.Data, len(ix.Accounts)) {
			return foreign(fmt.Sprintf("instruction %d is none of the escrow's transactions", i))
		}
		if key == program {
			calls++
		}
	}
	if calls == 0 {
		return foreign("it does not call the escrow program")
	}
	if signed {
		return verifySignatures(tx)
	}
	return nil
}

// decodeTransaction reads bytes that are exactly one transaction, legacy or v0.
func decodeTransaction(raw []byte) (tx *solanago.Transaction, err error) {
	defer func() {
		if recover() != nil { // a codec of others reads what anybody sends
			tx, err = nil, malformed("it cannot be read")
		}
	}()
	if len(raw) > maxTx {
		return nil, malformed(fmt.Sprintf("it is larger than %d bytes", maxTx))
	}
	tx, err = solanago.TransactionFromBytes(raw)
	if err != nil {
		return nil, malformed("it cannot be read")
	}
	if back, err := tx.MarshalBinary(); err != nil || !bytes.Equal(back, raw) {
		return nil, malformed("it has more than one reading")
	}
	h, keys := tx.Message.Header, len(tx.Message.AccountKeys)
	if int(h.NumRequiredSignatures) > keys || len(tx.Signatures) != int(h.NumRequiredSignatures) || keys == 0 {
		return nil, malformed("its signatures are not as many as it says")
	}
	return tx, nil
}

func verifySignatures(tx *solanago.Transaction) error {
	content, err := tx.Message.MarshalBinary()
	if err != nil {
		return malformed("it cannot be read")
	}
	for i, s := range tx.Signatures {
		if !ed25519.Verify(tx.Message.AccountKeys[i][:], content, s[:]) {
			return malformed(fmt.Sprintf("signature %d of %d is missing or does not hold", i+1, len(tx.Signatures)))
		}
	}
	return nil
}

// allowed reports an instruction that transactions of the escrow have.
func allowed(key, program market.Address, data []byte, accounts int) bool {
	if len(data) == 0 {
		return false
	}
	switch key {
	case program:
		form, known := escrow.Calls[data[0]]
		return known && len(data) == form.DataLen && accounts == len(form.Accounts)
	case systemProgram:
		return len(data) == 12 && bytes.HasPrefix(data, []byte{2, 0, 0, 0}) && accounts == 2
	case budgetProgram:
		return accounts == 0 && map[byte]int{2: 5, 3: 9, 4: 5}[data[0]] == len(data)
	case ed25519Program:
		form := escrow.Ed25519Data([32]byte{}, [escrow.MessageLen]byte{}, [64]byte{})
		return accounts == 0 && len(data) == len(form) && bytes.Equal(data[:16], form[:16])
	}
	return false
}

func foreign(detail string) error {
	return &market.Error{Code: market.CodeNotAllowed, Kind: market.KindDenied, Op: "check transaction",
		Detail: "the transaction is not relayed: " + detail, Hint: "send it through an RPC endpoint of your own"}
}

func malformed(detail string) error {
	return &market.Error{Code: market.CodeMalformed, Kind: market.KindInvalid, Op: "check transaction",
		Detail: "the transaction is not relayed: " + detail, Hint: "make it anew and sign it again"}
}

// checkMessage bounds a message without signatures, base64: what a fee is asked for.
func checkMessage(text string) error {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) == 0 || len(b) > maxTx {
		return malformed("a message is base64 of at most 1232 bytes")
	}
	return nil
}
