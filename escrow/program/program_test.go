package program

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestProgram_BuiltFromSource(t *testing.T) {
	t.Parallel()
	want := map[string]string{}
	for line := range strings.Lines(sum) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			want[k] = v
		}
	}
	if want["elf"] != Hash() {
		t.Errorf("escrow.so is %s, escrow.sum says %s: make program", Hash(), want["elf"])
	}
	files, err := filepath.Glob("src/*.rs")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d sources, %v", len(files), err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.Sum256(b)
		if got := hex.EncodeToString(h[:]); want[f] != got {
			t.Errorf("%s changed since escrow.so was built: make program", f)
		}
	}
}

// TestELF_StrictV3 repeats the loader's header checks, which LiteSVM's addProgram bypasses.
func TestELF_StrictV3(t *testing.T) {
	t.Parallel()
	if len(ELF) > 24<<10 {
		t.Errorf("ELF of %d bytes, limit 24 KiB", len(ELF))
	}
	f, err := elf.NewFile(bytes.NewReader(ELF))
	if err != nil {
		t.Fatal(err)
	}
	if f.Machine != 247 || len(f.Sections) != 0 || ELF[48] != 3 {
		t.Errorf("machine %d, %d sections, flags %d", f.Machine, len(f.Sections), ELF[48])
	}
	next := uint64(64 + 56*len(f.Progs))
	for i, p := range f.Progs {
		wantAddr, wantFlags := uint64(0), elf.PF_R
		if i == len(f.Progs)-1 {
			wantAddr, wantFlags = 1<<32, elf.PF_X
		}
		if p.Type != elf.PT_LOAD || p.Off != next || p.Vaddr != wantAddr || p.Paddr != wantAddr || p.Flags != wantFlags || p.Filesz != p.Memsz || p.Filesz%8 != 0 {
			t.Errorf("segment %d: %+v", i, p.ProgHeader)
		}
		next += p.Filesz
	}
	if next != uint64(len(ELF)) || f.Entry < 1<<32 || f.Entry >= 1<<32+f.Progs[len(f.Progs)-1].Filesz {
		t.Errorf("%d of %d bytes in segments, entry %x", next, len(ELF), f.Entry)
	}
}
