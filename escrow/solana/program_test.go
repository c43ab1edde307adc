package solana

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/escrow/localnet"
	"github.com/gpuai/gpuai/escrow/program"
	"github.com/gpuai/gpuai/market"
)

// TestProgram_OnLedger: the ledger's program is the committed one.
func TestProgram_OnLedger(t *testing.T) {
	t.Parallel()
	s := escrowtest.NeedLocalnet(t, localnet.Options{SlotMS: -1, Seed: t.Name()})
	d, err := NewHistory([]string{s.RPC}, s.Genesis, s.Program).Program(t.Context(), len(program.ELF))
	if err != nil || d.Hash != sha256.Sum256(program.ELF) {
		t.Fatalf("%+v, %v", d, err)
	}
	_, err = NewHistory([]string{s.RPC}, s.Genesis, market.Address{9}).Program(t.Context(), 0)
	if !errors.Is(err, escrow.ErrMalformed) {
		t.Errorf("no account: %v", err)
	}
}

// TestDeployed_Loaders: each loader's head is read as it is written; a short or unknown one is an error and no panic.
func TestDeployed_Loaders(t *testing.T) {
	t.Parallel()
	who := market.Address{1, 2, 3}
	code := []byte{0x7f, 'E', 'L', 'F'}
	v3 := func(option byte) []byte {
		b := binary.LittleEndian.AppendUint32(nil, 3)
		b = append(binary.LittleEndian.AppendUint64(b, 77), option)
		return append(append(b, who[:]...), code...)
	}
	v4 := func(status uint64) []byte {
		b := append(binary.LittleEndian.AppendUint64(nil, 77), who[:]...)
		return append(binary.LittleEndian.AppendUint64(b, status), code...)
	}
	for name, c := range map[string]struct {
		loader string
		b      []byte
		want   market.Address
		fails  bool
	}{
		"2":            {loader: loader2, b: code},
		"3":            {loader: loader3, b: v3(1), want: who},
		"3 final":      {loader: loader3, b: v3(0)},
		"3 bad option": {loader: loader3, b: v3(2), fails: true},
		"3 short":      {loader: loader3, b: v3(1)[:head3-1], fails: true},
		"3 a buffer":   {loader: loader3, b: append([]byte{1}, v3(1)[1:]...), fails: true},
		"4":            {loader: loader4, b: v4(1), want: who},
		"4 final":      {loader: loader4, b: v4(2)},
		"4 short":      {loader: loader4, b: v4(2)[:head4-1], fails: true},
		"unknown":      {loader: "11111111111111111111111111111111", b: code, fails: true},
		"nothing":      {loader: loader3, fails: true},
	} {
		var d Deployed
		got, err := d.read(c.loader, c.b)
		if (err != nil) != c.fails || d.Authority != c.want || !c.fails && string(got) != string(code) {
			t.Errorf("%s: %x, %+v, %v", name, got, d, err)
		}
	}
}
