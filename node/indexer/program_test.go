package indexer

import (
	"errors"
	"fmt"
	"testing"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/solana"
	"github.com/gpuai/gpuai/market"
)

// TestReadProgram: what the ledger says of the program stands in the index; an account that holds none is not known,
// and an endpoint that does not answer changes nothing.
func TestReadProgram(t *testing.T) {
	t.Parallel()
	b := &book{program: solana.Deployed{Hash: [32]byte{0xab}, Authority: market.Address{7}, Slot: 40}}
	x := follower(t, b)
	if _, known, err := x.index.Program(t.Context()); known || err != nil {
		t.Errorf("before it is read: %v, %v", known, err)
	}
	look := func(authority string) {
		t.Helper()
		p, known, err := x.index.Program(t.Context())
		if err != nil || known != (authority != "") || known && (p.Authority != authority || p.Slot != 40 ||
			p.Hash[:4] != "ab00" || len(p.Hash) != 64) {
			t.Errorf("%+v, %v, %v", p, known, err)
		}
	}
	if err := x.readProgram(t.Context()); err != nil {
		t.Fatal(err)
	}
	look(market.Address{7}.String())
	b.noProg = errors.New("no answer")
	if err := x.readProgram(t.Context()); err == nil {
		t.Error("no answer is no error")
	}
	look(market.Address{7}.String())
	b.program.Authority, b.noProg = market.Address{}, nil
	if err := x.readProgram(t.Context()); err != nil {
		t.Fatal(err)
	}
	look("-")
	b.noProg = fmt.Errorf("%w: short", escrow.ErrMalformed)
	if err := x.readProgram(t.Context()); !errors.Is(err, escrow.ErrMalformed) {
		t.Error(err)
	}
	look("")
}
