package solana

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	solanago "github.com/gagliardetto/solana-go"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

var (
	systemProgram  = market.Address(solanago.SystemProgramID)
	budgetProgram  = market.Address(solanago.MustPublicKeyFromBase58("ComputeBudget111111111111111111111111111111"))
	ed25519Program = market.Address(solanago.MustPublicKeyFromBase58("Ed25519SigVerify111111111111111111111111111"))
	sysvarIX       = market.Address(solanago.MustPublicKeyFromBase58("Sysvar1nstructions1111111111111111111111111"))
)

// meta is one account of an instruction with the rights it needs there.
type meta struct {
	key              market.Address
	signer, writable bool
}

func ro(a market.Address) meta  { return meta{key: a} }
func rw(a market.Address) meta  { return meta{key: a, writable: true} }
func sig(a market.Address) meta { return meta{key: a, signer: true} }

// instruction is one call before compilation.
type instruction struct {
	program market.Address
	metas   []meta
	data    []byte
}

func channelKey(id market.ChannelID) market.Address { return market.Address(id) }

func u64le(b []byte, vs ...uint64) []byte {
	for _, v := range vs {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

// call is one call of the escrow program: the rights of its accounts are those of the program's table. A caller that
// names too few or too many accounts is a bug, which the first test of the instruction meets.
func call(program market.Address, data []byte, accounts ...market.Address) instruction {
	form := escrow.Calls[data[0]]
	if len(accounts) != len(form.Accounts) {
		panic(fmt.Sprintf("%s with %d accounts", form.Name, len(accounts)))
	}
	ix := instruction{program: program, data: data}
	for i, a := range form.Accounts {
		ix.metas = append(ix.metas, meta{accounts[i], a.Signer, a.Writable})
	}
	return ix
}

// openIx lends the payee writable: reserved keys are lent read-only, and refused.
func openIx(program market.Address, id market.ChannelID, t escrow.OpenTerms, deposit market.Amount) instruction {
	data := escrow.OpenData{
		Deposit: deposit, CloseDelay: uint32(t.CloseDelay / time.Second), Salt: t.Salt, ClusterTag: t.ClusterTag,
		OpenSlot: t.OpenSlot, VoucherKey: t.VoucherKey, ReleaseKey: t.ReleaseKey,
	}.Encode()
	return call(program, data, t.Payer, t.Payee, channelKey(id), systemProgram)
}

// topUpIx names the deposit afterwards, so that a repeat fails and adds nothing.
func topUpIx(program, payer market.Address, id market.ChannelID, total market.Amount) instruction {
	return call(program, escrow.TopUpData{Total: total}.Encode(), payer, channelKey(id), systemProgram)
}

func claimIx(program market.Address, id market.ChannelID, payeeDest market.Address) instruction {
	return call(program, []byte{escrow.TagClaim}, channelKey(id), sysvarIX, payeeDest)
}

func recordIx(program market.Address, id market.ChannelID) instruction {
	return call(program, []byte{escrow.TagRecord}, channelKey(id), sysvarIX)
}

func requestCloseIx(program, authority market.Address, id market.ChannelID) instruction {
	return call(program, []byte{escrow.TagRequestClose}, authority, channelKey(id))
}

func releaseIx(program, authority market.Address, id market.ChannelID) instruction {
	return call(program, []byte{escrow.TagRelease}, authority, channelKey(id), sysvarIX)
}

// consentIx seals at what is settled; it follows the ed25519 instruction of the payee's Release, and nobody else has to
// sign.
func consentIx(program market.Address, id market.ChannelID) instruction {
	return call(program, []byte{escrow.TagConsent}, channelKey(id), sysvarIX)
}

func sealIx(program market.Address, id market.ChannelID) instruction {
	return call(program, []byte{escrow.TagSeal}, channelKey(id))
}

func payIx(program market.Address, tag byte, id market.ChannelID, dest market.Address) instruction {
	return call(program, []byte{tag}, channelKey(id), dest)
}

func reclaimIx(program market.Address, id market.ChannelID, payer market.Address) instruction {
	return call(program, []byte{escrow.TagReclaim}, channelKey(id), payer)
}

func transferIx(from, to market.Address, amount market.Amount) instruction {
	return instruction{systemProgram, []meta{{from, true, true}, rw(to)}, u64le([]byte{2, 0, 0, 0}, uint64(amount))}
}

func ed25519Ix(key [32]byte, msg [escrow.MessageLen]byte, s [64]byte) instruction {
	data := escrow.Ed25519Data(key, msg, s)
	return instruction{program: ed25519Program, data: data[:]}
}

// loadedDataLimit is 512 KiB: the program and a few small accounts.
const loadedDataLimit = 512 << 10

// budgetIx returns unit limit, unit price (micro-lamports) and loaded-data limit; they precede any ed25519 pair.
func budgetIx(units uint32, price uint64) []instruction {
	le := binary.LittleEndian
	return []instruction{
		{program: budgetProgram, data: le.AppendUint32([]byte{2}, units)},
		{program: budgetProgram, data: le.AppendUint64([]byte{3}, price)},
		{program: budgetProgram, data: le.AppendUint32([]byte{4}, loadedDataLimit)},
	}
}

// maxTx is the largest serialised transaction.
const maxTx = 1232

// compile merges every account to its maximal rights, orders the groups itself (solana-go sorts before it merges) and
// signs. The result is parsed again and its header compared before it is returned.
func compile(signer ed25519.PrivateKey, blockhash [32]byte, ixs []instruction) (raw []byte, signature [64]byte,
	err error) {
	payer := market.Address(escrow.PublicKey(signer))
	keys, header, err := order(payer, ixs)
	if err != nil {
		return nil, signature, err
	}
	index := map[market.Address]uint16{}
	msg := solanago.Message{Header: header, RecentBlockhash: solanago.Hash(blockhash)}
	for i, k := range keys {
		index[k] = uint16(i)
		msg.AccountKeys = append(msg.AccountKeys, solanago.PublicKey(k))
	}
	for _, ix := range ixs {
		c := solanago.CompiledInstruction{ProgramIDIndex: index[ix.program], Data: ix.data}
		for _, m := range ix.metas {
			c.Accounts = append(c.Accounts, index[m.key])
		}
		msg.Instructions = append(msg.Instructions, c)
	}
	content, err := msg.MarshalBinary()
	if err != nil {
		return nil, signature, fmt.Errorf("encoding a message: %w", err)
	}
	signature = [64]byte(ed25519.Sign(signer, content))
	tx := solanago.Transaction{Signatures: []solanago.Signature{signature}, Message: msg}
	if raw, err = tx.MarshalBinary(); err != nil {
		return nil, signature, fmt.Errorf("encoding a transaction: %w", err)
	}
	back, err := solanago.TransactionFromBytes(raw)
	if err != nil || back.Message.Header != header || len(raw) > maxTx || !bytes.HasSuffix(raw, content) {
		return nil, signature, fmt.Errorf("checking an encoded transaction of %d bytes: %w", len(raw),
			errors.Join(escrow.ErrMalformed, err))
	}
	return raw, signature, nil
}

// order returns the keys in header order: writable signers (the payer first), read-only signers, writable, read-only.
// Only the payer signs.
func order(payer market.Address, ixs []instruction) ([]market.Address, solanago.MessageHeader, error) {
	type rights struct{ signer, writable bool }
	all := map[market.Address]rights{payer: {true, true}}
	seen := []market.Address{payer}
	add := func(m meta) {
		r, ok := all[m.key]
		if !ok {
			seen = append(seen, m.key)
		}
		all[m.key] = rights{r.signer || m.signer, r.writable || m.writable}
	}
	for _, ix := range ixs {
		for _, m := range ix.metas {
			add(m)
		}
	}
	for _, ix := range ixs {
		add(ro(ix.program))
	}
	var groups [4][]market.Address
	for _, k := range seen {
		r := all[k]
		g := 3
		switch {
		case r.signer && r.writable:
			g = 0
		case r.signer:
			g = 1
		case r.writable:
			g = 2
		}
		groups[g] = append(groups[g], k)
	}
	if len(groups[0])+len(groups[1]) != 1 {
		return nil, solanago.MessageHeader{}, fmt.Errorf("%w: transaction wants a signer beside the fee payer",
			escrow.ErrMalformed)
	}
	keys := append(append(append(groups[0], groups[1]...), groups[2]...), groups[3]...)
	return keys, solanago.MessageHeader{
		NumRequiredSignatures: 1, NumReadonlyUnsignedAccounts: uint8(len(groups[3])),
	}, nil
}
