package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"
	"testing"
)

// object describes a relocatable BPF object of one code section, one of read-only data and one more.
type object struct {
	code, ro []byte
	extra    string // name of an extra section of 8 bytes
	syms     []symbol
	relocs   []reloc
}

type symbol struct {
	name    string
	section uint16 // 0 undefined, 1 code, 2 read-only data
	value   uint64
}

type reloc struct {
	at   uint64
	sym  uint32 // 1 is the first symbol
	kind uint32
}

// bytes lays the object out: sections null, .text, .rodata, extra, .rel.text, .symtab, .strtab (also of section names).
func (o object) bytes() []byte {
	le := binary.LittleEndian
	strs := []byte{0}
	name := func(s string) uint32 {
		strs = append(append(strs, s...), 0)
		return uint32(len(strs) - len(s) - 1)
	}
	symtab := make([]byte, 24)
	for _, s := range o.syms {
		symtab = le.AppendUint32(symtab, name(s.name))
		symtab = append(symtab, byte(elf.STB_GLOBAL)<<4, 0)
		symtab = le.AppendUint64(le.AppendUint64(le.AppendUint16(symtab, s.section), s.value), 0)
	}
	var rel []byte
	for _, r := range o.relocs {
		rel = le.AppendUint64(le.AppendUint64(rel, r.at), uint64(r.sym)<<32|uint64(r.kind))
	}
	type section struct {
		name, kind, link, info uint32
		entry                  uint64
		data                   []byte
	}
	secs := []section{
		{},
		{name: name(".text"), kind: 1, data: o.code},
		{name: name(".rodata.x"), kind: 1, data: o.ro},
		{name: name(o.extra), kind: 1, data: make([]byte, 8)},
		{name: name(".rel.text"), kind: 9, link: 5, info: 1, entry: 16, data: rel},
		{name: name(".symtab"), kind: 2, link: 6, info: 1, entry: 24, data: symtab},
		{name: name(".strtab"), kind: 3},
	}
	if o.extra == "" {
		secs[3].data = nil
	}
	secs[6].data = strs
	out := make([]byte, 64)
	var head []byte
	for i, s := range secs {
		off := uint64(len(out))
		out = append(out, s.data...)
		if i == 0 {
			head = append(head, make([]byte, 64)...)
			continue
		}
		head = le.AppendUint32(le.AppendUint32(head, s.name), s.kind)
		for _, v := range []uint64{0, 0, off, uint64(len(s.data))} {
			head = le.AppendUint64(head, v)
		}
		head = le.AppendUint64(le.AppendUint64(le.AppendUint32(le.AppendUint32(head, s.link), s.info), 1), s.entry)
	}
	copy(out, "\x7fELF\x02\x01\x01")
	le.PutUint16(out[16:], 1)
	le.PutUint16(out[18:], machineBPF)
	le.PutUint32(out[20:], 1)
	le.PutUint64(out[40:], uint64(len(out)))
	le.PutUint16(out[52:], 64)
	le.PutUint16(out[58:], 64)
	le.PutUint16(out[60:], uint16(len(secs)))
	le.PutUint16(out[62:], 6)
	return append(out, head...)
}

// code: 0 lddw r1, 16 call, 24 call, 32 exit; 40 a local function, exit.
func sample() object {
	code := make([]byte, 48)
	code[0], code[16], code[24], code[32], code[40] = 0x18, 0x85, 0x85, 0x95, 0x95
	code[1], code[17], code[25] = 1, 0x10, 0x10
	return object{
		code: code, ro: []byte("twelve bytes"),
		syms:   []symbol{{"entrypoint", 1, 0}, {"text", 2, 4}, {"sol_log_data", 0, 0}, {"local", 1, 40}},
		relocs: []reloc{{0, 2, relocLddw}, {16, 3, relocCall}, {24, 4, relocCall}},
	}
}

func TestLink_Sample_RelocatesEachKind(t *testing.T) {
	t.Parallel()
	out, err := Link(sample().bytes())
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Progs) != 2 || f.Entry != codeBase || f.Progs[0].Filesz != 16 || f.Progs[1].Filesz != 48 ||
		f.Progs[1].Off != 64+2*56+16 {
		t.Fatalf("entry %x, segments %+v %+v", f.Entry, f.Progs[0].ProgHeader, f.Progs[1].ProgHeader)
	}
	code := out[f.Progs[1].Off:]
	imm := func(at int) uint32 { return binary.LittleEndian.Uint32(code[at+4:]) }
	if imm(0) != 4 || imm(8) != 0 {
		t.Errorf("lddw of %d, %d", imm(0), imm(8))
	}
	if imm(16) != 0x7317b434 || code[17]>>4 != 0 {
		t.Errorf("syscall %08x, source %d", imm(16), code[17]>>4)
	}
	if imm(24) != 1 || code[25]>>4 != 1 {
		t.Errorf("local call by %d slots, source %d", imm(24), code[25]>>4)
	}
}

func TestLink_NoReadOnlyData_OneSegment(t *testing.T) {
	t.Parallel()
	o := sample()
	o.ro, o.relocs = nil, o.relocs[1:]
	out, err := Link(o.bytes())
	if err != nil {
		t.Fatal(err)
	}
	if f, err := elf.NewFile(bytes.NewReader(out)); err != nil || len(f.Progs) != 1 || f.Progs[0].Off != 64+56 {
		t.Errorf("%v, %+v", err, f)
	}
}

func TestLink_Refusals(t *testing.T) {
	t.Parallel()
	for want, edit := range map[string]func(*object){
		"writable data":               func(o *object) { o.extra = ".data.x" },
		"no allowed syscall":          func(o *object) { o.syms[2].name = "sol_log_" },
		"__multi3":                    func(o *object) { o.syms[2].name = "__multi3" },
		"relocation type 2":           func(o *object) { o.relocs[0].kind = 2 },
		"no function pointers":        func(o *object) { o.syms[1].section = 1 },
		"call of local outside":       func(o *object) { o.syms[3].section = 2 },
		"names symbol 9":              func(o *object) { o.relocs[0].sym = 9 },
		"names symbol 0":              func(o *object) { o.relocs[0].sym = 0 },
		"outside the code":            func(o *object) { o.relocs[0].at = 1 << 40 },
		"at -8 is outside the code":   func(o *object) { o.relocs[0].at = 1<<64 - 8 },
		"bytes of code":               func(o *object) { o.code = o.code[:47]; o.relocs = nil },
		"no entrypoint":               func(o *object) { o.syms[0].name = "main" },
		"contains _ZN4core9panicking": func(o *object) { o.syms[3].name = "_ZN4core9panicking5panic17h0E" },
	} {
		o := sample()
		edit(&o)
		if _, err := Link(o.bytes()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	b := sample().bytes()
	b[18] = 62 // x86-64
	if _, err := Link(b); err == nil {
		t.Error("linked an object of another machine")
	}
	if _, err := Link([]byte("no object")); err == nil {
		t.Error("linked text")
	}
}
