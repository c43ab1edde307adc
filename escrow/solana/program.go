package solana

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// Deployed is a program as it lies on the ledger. Hash is the SHA-256 of its bytes. Authority may change them; zero:
// nobody can. Slot is when it was read.
type Deployed struct {
	Hash      [sha256.Size]byte
	Authority market.Address
	Slot      uint64
}

// Loaders by their addresses, and what stands before a program's bytes in accounts of theirs.
// Source: solana-loader-v3-interface (state.rs), solana-loader-v4-interface (state.rs).
const (
	loader2 = "BPFLoader2111111111111111111111111111111111" // nothing: the bytes never change
	// tag 2, address of the data: tag 3, slot, authority or none
	loader3 = "BPFLoaderUpgradeab1e11111111111111111111111"
	loader4 = "LoaderV411111111111111111111111111111111111" // slot, authority, status

	head3        = 4 + 8 + 1 + 32
	head4        = 8 + 32 + 8
	loader4Final = 2 // status of loader4: its authority can do nothing any more
)

// Program reads the program at finality. Of the zeros behind its bytes, which the account's room leaves, those after
// the first size bytes are cut. Errors: ErrMalformed, of an account that holds no program; chain-unreachable.
func (h *History) Program(ctx context.Context, size int) (d Deployed, err error) {
	accs, slot, err := accountsOf(ctx, h.rpc.call, []string{h.program.String()}, escrow.Finalised)
	if err != nil {
		return d, err
	}
	a := accs[0]
	if a != nil && a.Owner == loader3 {
		b, err := a.bytes()
		if err != nil || len(b) < 36 || binary.LittleEndian.Uint32(b) != 2 {
			return d, fmt.Errorf("%w: program of %d bytes", escrow.ErrMalformed, len(b))
		}
		data := market.Address(b[4:36]).String()
		if accs, slot, err = accountsOf(ctx, h.rpc.call, []string{data}, escrow.Finalised); err != nil {
			return d, err
		}
		a = accs[0]
	}
	if a == nil {
		return d, fmt.Errorf("%w: no program at %s", escrow.ErrMalformed, h.program)
	}
	b, err := a.bytes()
	if err != nil {
		return d, err
	}
	d.Slot = slot
	code, err := d.read(a.Owner, b)
	if err != nil {
		return d, err
	}
	for len(code) > size && code[len(code)-1] == 0 {
		code = code[:len(code)-1]
	}
	d.Hash = sha256.Sum256(code)
	return d, nil
}

// read takes the authority and gives the program's bytes.
func (d *Deployed) read(loader string, b []byte) ([]byte, error) {
	switch {
	case loader == loader2:
		return b, nil
	case loader == loader3 && len(b) >= head3 && binary.LittleEndian.Uint32(b) == 3 && b[12] <= 1:
		if b[12] == 1 {
			d.Authority = market.Address(b[13:head3])
		}
		return b[head3:], nil
	case loader == loader4 && len(b) >= head4:
		if binary.LittleEndian.Uint64(b[40:]) != loader4Final {
			d.Authority = market.Address(b[8:40])
		}
		return b[head4:], nil
	}
	return nil, fmt.Errorf("%w: %d bytes of loader %.50s", escrow.ErrMalformed, len(b), loader)
}
