// Command link turns the object file of the escrow program into an SBPFv3 ELF: strict headers, no sections, read-only
// data at 0, code at 1<<32.
//
//	go run ./escrow/program/link IN.o OUT.so
//
// It refuses writable data, unknown relocations and syscalls outside the allowed list. Next: escrow/program/build.sh.
package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
)

const (
	codeBase     = uint64(1) << 32
	relocLddw    = 1
	relocCall    = 10
	headerSize   = 64
	phEntrySize  = 56
	machineBPF   = 247
	sbpfVersion3 = 3
)

// syscalls that the program may name: v3 finds an unknown one only when it is executed.
var syscalls = []string{
	"sol_log_data", "sol_get_clock_sysvar", "sol_get_rent_sysvar", "sol_invoke_signed_c", "sol_curve_validate_point",
	"sol_memcpy_", "sol_memcmp_", "sol_memset_", "abort",
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: link IN.o OUT.so")
		os.Exit(2)
	}
	raw, err := os.ReadFile(os.Args[1])
	if err == nil {
		var out []byte
		if out, err = Link(raw); err == nil {
			err = os.WriteFile(os.Args[2], out, 0o644)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "link:", err)
		os.Exit(1)
	}
}

type linker struct {
	f        *elf.File
	syms     []elf.Symbol
	text, ro []byte
	textAt   map[int]int // section -> offset in text
	roAt     map[int]int
}

// Link links one relocatable BPF object. Errors: anything that the loader would refuse or that the program may not
// contain.
func Link(obj []byte) ([]byte, error) {
	f, err := elf.NewFile(bytes.NewReader(obj))
	if err != nil {
		return nil, fmt.Errorf("read object: %w", err)
	}
	if f.Machine != machineBPF || f.Type != elf.ET_REL || f.ByteOrder != binary.LittleEndian {
		return nil, errors.New("not a little-endian BPF object")
	}
	l := &linker{f: f, textAt: map[int]int{}, roAt: map[int]int{}}
	if l.syms, err = f.Symbols(); err != nil {
		return nil, fmt.Errorf("read symbols: %w", err)
	}
	if err := l.collect(); err != nil {
		return nil, err
	}
	for i, s := range f.Sections {
		if s.Type == elf.SHT_REL {
			if at, ok := l.textAt[int(s.Info)]; ok {
				if err := l.relocate(f.Sections[i], at); err != nil {
					return nil, err
				}
			}
		}
	}
	return l.write()
}

// collect concatenates code and read-only data; debug sections are dropped, writable ones refused.
func (l *linker) collect() error {
	for i, s := range l.f.Sections {
		if s.Type == elf.SHT_NOBITS && s.Size > 0 || strings.HasPrefix(s.Name, ".data") && s.Size > 0 {
			return fmt.Errorf("section %s: writable data", s.Name)
		}
		if s.Type != elf.SHT_PROGBITS {
			continue
		}
		b, err := s.Data()
		if err != nil {
			return fmt.Errorf("section %s: %w", s.Name, err)
		}
		switch {
		case strings.HasPrefix(s.Name, ".text"):
			l.textAt[i] = len(l.text)
			l.text = append(l.text, b...)
		case strings.HasPrefix(s.Name, ".rodata"):
			l.ro = pad8(l.ro)
			l.roAt[i] = len(l.ro)
			l.ro = append(l.ro, b...)
		}
	}
	l.ro = pad8(l.ro)
	if len(l.text) == 0 || len(l.text)%8 != 0 {
		return fmt.Errorf("%d bytes of code", len(l.text))
	}
	return nil
}

func pad8(b []byte) []byte {
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	return b
}

func (l *linker) relocate(s *elf.Section, base int) error {
	b, err := s.Data()
	if err != nil {
		return err
	}
	for ; len(b) >= 16; b = b[16:] {
		off, info := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
		n := int(info >> 32)
		if n < 1 || n > len(l.syms) {
			return fmt.Errorf("relocation names symbol %d", n)
		}
		sym, at := l.syms[n-1], base+int(off)
		if at < 0 || at+16 > len(l.text)+8 {
			return fmt.Errorf("relocation at %d is outside the code", at)
		}
		switch info & 0xffffffff {
		case relocCall:
			err = l.call(sym, at)
		case relocLddw:
			err = l.lddw(sym, at)
		default:
			err = fmt.Errorf("relocation type %d of %s", info&0xffffffff, sym.Name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// call makes a syscall (source 0, murmur3 of the name) or a relative call (source 1).
func (l *linker) call(sym elf.Symbol, at int) error {
	if sym.Section == elf.SHN_UNDEF {
		if !allowed(sym.Name) {
			return fmt.Errorf("call of %s, which is no allowed syscall", sym.Name)
		}
		l.text[at+1] &= 0x0f
		binary.LittleEndian.PutUint32(l.text[at+4:], murmur3([]byte(sym.Name)))
		return nil
	}
	section, ok := l.textAt[int(sym.Section)]
	if !ok {
		return fmt.Errorf("call of %s outside the code", sym.Name)
	}
	target := section + int(sym.Value)
	if elf.ST_TYPE(sym.Info) == elf.STT_SECTION {
		target = section + (int(int32(binary.LittleEndian.Uint32(l.text[at+4:])))+1)*8
	}
	binary.LittleEndian.PutUint32(l.text[at+4:], uint32(int32((target-at)/8-1)))
	l.text[at+1] = l.text[at+1]&0x0f | 0x10
	return nil
}

func (l *linker) lddw(sym elf.Symbol, at int) error {
	section, ok := l.roAt[int(sym.Section)]
	if !ok {
		return fmt.Errorf("address of %s: only read-only data has one (no function pointers)", sym.Name)
	}
	if at+16 > len(l.text) {
		return errors.New("lddw at the end of the code")
	}
	v := uint64(section) + sym.Value + uint64(binary.LittleEndian.Uint32(l.text[at+4:]))
	binary.LittleEndian.PutUint32(l.text[at+4:], uint32(v))
	binary.LittleEndian.PutUint32(l.text[at+12:], uint32(v>>32))
	return nil
}

func allowed(name string) bool {
	for _, s := range syscalls {
		if s == name {
			return true
		}
	}
	return false
}

func (l *linker) write() ([]byte, error) {
	entry := uint64(0)
	for _, s := range l.syms {
		if at, ok := l.textAt[int(s.Section)]; ok && s.Name == "entrypoint" {
			entry = codeBase + uint64(at) + s.Value
		}
		if strings.Contains(s.Name, "core9panicking") || strings.Contains(s.Name, "core3fmt") {
			return nil, fmt.Errorf("the program contains %s", s.Name)
		}
	}
	if entry == 0 {
		return nil, errors.New("no entrypoint")
	}
	segments := 1
	if len(l.ro) > 0 {
		segments = 2
	}
	base := uint64(headerSize + phEntrySize*segments)
	var b bytes.Buffer
	b.Write([]byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	le := func(vs ...any) {
		for _, v := range vs {
			_ = binary.Write(&b, binary.LittleEndian, v) // a bytes.Buffer does not fail
		}
	}
	le(uint16(elf.ET_DYN), uint16(machineBPF), uint32(1), entry, uint64(headerSize), uint64(0), uint32(sbpfVersion3))
	le(uint16(headerSize), uint16(phEntrySize), uint16(segments), uint16(0), uint16(0), uint16(0))
	segment := func(flags elf.ProgFlag, off, addr uint64, size int) {
		le(uint32(elf.PT_LOAD), uint32(flags), off, addr, addr, uint64(size), uint64(size), uint64(8))
	}
	if segments == 2 {
		segment(elf.PF_R, base, 0, len(l.ro))
	}
	segment(elf.PF_X, base+uint64(len(l.ro)), codeBase, len(l.text))
	b.Write(l.ro)
	b.Write(l.text)
	return b.Bytes(), nil
}

// murmur3 is the 32-bit MurmurHash3 with seed 0 (Austin Appleby, public domain): how SBPF names syscalls.
func murmur3(data []byte) uint32 {
	h, n := uint32(0), uint32(len(data))
	rot := func(x uint32, r uint) uint32 { return x<<r | x>>(32-r) }
	for len(data) >= 4 {
		k := rot(binary.LittleEndian.Uint32(data)*0xcc9e2d51, 15) * 0x1b873593
		h = rot(h^k, 13)*5 + 0xe6546b64
		data = data[4:]
	}
	k := uint32(0)
	for i := len(data) - 1; i >= 0; i-- {
		k = k<<8 | uint32(data[i])
	}
	if len(data) > 0 {
		h ^= rot(k*0xcc9e2d51, 15) * 0x1b873593
	}
	h ^= n
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}
