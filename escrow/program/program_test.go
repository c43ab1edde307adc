package program

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sums reads escrow.sum: one name and value per line.
func sums(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			m[k] = v
		}
	}
	return m
}

func TestProgram_BuiltFromSource(t *testing.T) {
	t.Parallel()
	want := sums(sum)
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
		if p.Type != elf.PT_LOAD || p.Off != next || p.Vaddr != wantAddr || p.Paddr != wantAddr ||
			p.Flags != wantFlags || p.Filesz != p.Memsz || p.Filesz%8 != 0 {
			t.Errorf("segment %d: %+v", i, p.ProgHeader)
		}
		next += p.Filesz
	}
	if next != uint64(len(ELF)) || f.Entry < 1<<32 || f.Entry >= 1<<32+f.Progs[len(f.Progs)-1].Filesz {
		t.Errorf("%d of %d bytes in segments, entry %x", next, len(ELF), f.Entry)
	}
}

// syscallHashes are the syscalls that the program may use, by the hash that the loader knows them by (published values,
// so that the linker's own hash is checked too). v3 finds an unknown one only when it is executed.
var syscallHashes = map[uint32]string{
	0x7317b434: "sol_log_data", 0xd56b5fe9: "sol_get_clock_sysvar", 0xbf7188f6: "sol_get_rent_sysvar",
	0xa22b9c85: "sol_invoke_signed_c",
	0xaa2607ca: "sol_curve_validate_point", 0x717cc4a3: "sol_memcpy_", 0x5fdcde31: "sol_memcmp_",
	0x3770fb22: "sol_memset_", 0xb6fc1a11: "abort",
}

func TestELF_Syscalls(t *testing.T) {
	t.Parallel()
	f, err := elf.NewFile(bytes.NewReader(ELF))
	if err != nil {
		t.Fatal(err)
	}
	code := make([]byte, f.Progs[len(f.Progs)-1].Filesz)
	if _, err := f.Progs[len(f.Progs)-1].ReadAt(code, 0); err != nil {
		t.Fatal(err)
	}
	used := map[string]int{}
	for at := 0; at < len(code); at += 8 {
		op, src, imm := code[at], code[at+1]>>4, binary.LittleEndian.Uint32(code[at+4:])
		switch {
		case op == 0x18: // lddw takes two slots
			at += 8
		case op == 0x8d:
			t.Errorf("call of a register at %d", at)
		case op == 0x85 && src == 0:
			if syscallHashes[imm] == "" {
				t.Errorf("call of unknown syscall %08x at %d", imm, at)
			}
			used[syscallHashes[imm]]++
		case op == 0x85:
			if target := at + 8 + 8*int(int32(imm)); src != 1 || target < 0 || target >= len(code) {
				t.Errorf("call with source %d to %d at %d", src, target, at)
			}
		}
	}
	for _, name := range []string{"sol_log_data", "sol_get_clock_sysvar", "sol_get_rent_sysvar", "sol_invoke_signed_c",
		"sol_curve_validate_point"} {
		if used[name] == 0 {
			t.Errorf("%s is never called: is this the program?", name)
		}
	}
	t.Logf("%d bytes, calls: %v", len(ELF), used)
}

// TestELF_Reproducible builds the program again. Only the versions in escrow.sum give its bytes; others must still
// build without a message.
func TestELF_Reproducible(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "/usr/bin/rustc", "opt-22", "llc-22"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the tools of build.sh are not here: %v", err)
		}
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "bash", "build.sh", dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		if strings.Contains(string(out), "can't find crate for `core`") {
			t.Skipf("no core library for the target: %s", out)
		}
		t.Fatalf("build.sh: %v\n%s", err, out)
	}
	again, err := os.ReadFile(filepath.Join(dir, "escrow.sum"))
	if err != nil {
		t.Fatal(err)
	}
	have, want := sums(string(again)), sums(sum)
	if have["rustc"] != want["rustc"] || have["llc"] != want["llc"] {
		t.Skipf("built with %s, %s; escrow.so is of %s, %s", have["rustc"], have["llc"], want["rustc"], want["llc"])
	}
	if got, err := os.ReadFile(filepath.Join(dir, "escrow.so")); err != nil || !bytes.Equal(got, ELF) {
		t.Errorf("two builds differ: %s and %s (%v)", have["elf"], want["elf"], err)
	}
}
