package market

import (
	"fmt"
	"slices"
	"strings"
)

// Field ids, on the wire: append-only. Units and words stand in the table below. 0 in a Term constrains the class.
const (
	FieldClass         FieldID = 0
	FieldVRAM          FieldID = 1
	FieldCC            FieldID = 2
	FieldMemBW         FieldID = 3
	FieldFP16          FieldID = 4
	FieldFP32          FieldID = 5
	FieldINT8          FieldID = 6
	FieldH2D           FieldID = 7
	FieldD2H           FieldID = 8
	FieldPCIeGen       FieldID = 9
	FieldPCIeWidth     FieldID = 10
	FieldP2PBW         FieldID = 11
	FieldPower         FieldID = 12
	FieldECC           FieldID = 13
	FieldMIG           FieldID = 14
	FieldDisplay       FieldID = 15
	FieldDriver        FieldID = 16
	FieldCUDA          FieldID = 17
	FieldProof         FieldID = 18
	FieldProofAt       FieldID = 19
	FieldCPU           FieldID = 40
	FieldRAM           FieldID = 41
	FieldDisk          FieldID = 42
	FieldDiskRead      FieldID = 43
	FieldDiskWrite     FieldID = 44
	FieldNetDown       FieldID = 45
	FieldNetUp         FieldID = 46
	FieldCountry       FieldID = 47
	FieldRegion        FieldID = 48
	FieldNAT           FieldID = 49
	FieldIsolation     FieldID = 50
	FieldEgress        FieldID = 51
	FieldArch          FieldID = 52
	FieldQuota         FieldID = 53
	FieldMinTime       FieldID = 80
	FieldMaxTime       FieldID = 81
	FieldPrepay        FieldID = 82
	FieldNotice        FieldID = 83
	FieldMinCloseDelay FieldID = 84
	FieldTickMin       FieldID = 85
	FieldTickMax       FieldID = 86
	FieldUntil         FieldID = 87
	FieldScore         FieldID = 100
	FieldRTT           FieldID = 101
	FieldUptime        FieldID = 102
	FieldKnown         FieldID = 103
	FieldRate          FieldID = 104
	FieldFree          FieldID = 105
	FieldReady         FieldID = 106
	FieldRigCPU        FieldID = 107 // of the whole rig: an order states what it takes in all
	FieldRigRAM        FieldID = 108
)

// Level says what a field describes; an Explanation counts a rig at its first failing level, in this order.
type Level uint8

// Levels in the order in which terms are tested and explained.
const (
	LevelClass Level = iota + 1
	LevelDevice
	LevelRig
	LevelTerms
	LevelLocal
)

// Unit is how a field's integer is written and read by people.
type Unit uint8

// Units of fields.
const (
	UnitCount   Unit = iota + 1
	UnitMiB          // 24GiB, 24GB
	UnitMBs          // MB/s: 1GB/s
	UnitGBs          // GB/s: 1008GB/s
	UnitMbits        // Mbit/s: 1Gbit/s
	UnitGiga         // 10^9 operations per second: 82TFLOPS
	UnitWatt         // 450W
	UnitSeconds      // 2h
	UnitMillis       // 5s
	UnitMilli        // milli-cores, written in cores: 0.5
	UnitTenths       // compute capability ×10: 8.9
	UnitCUDA         // 12.4 = 12040
	UnitDriver       // 570.86.10 = 570086010
	UnitCountry      // two letters
	UnitPPM          // parts per million
	UnitRate         // base units per device-hour, written in SOL
	UnitWord         // one of Words
)

// FieldInfo is one row of the capability table. Bits: values are masks, and `in` asks for any shared bit. Local fields
// never travel.
type FieldInfo struct {
	ID    FieldID
	Name  string
	Unit  Unit
	Level Level
	Bits  bool
	Words []Word
}

// Word is a named value of a field.
type Word struct {
	Name  string
	Value uint64
}

var (
	yesNo   = []Word{{"no", 0}, {"yes", 1}}
	regions = []Word{{"AF", 1}, {"AN", 2}, {"AS", 3}, {"EU", 4}, {"NA", 5}, {"OC", 6}, {"SA", 7}}
	nats    = []Word{{"direct", 0}, {"punched", 1}, {"relayed", 2}}
	sandbox = []Word{{"standard", 1}, {"strict", 2}, {"gvisor", 4}, {"vm", 8}, {"attested", 16}}
	egress  = []Word{{"none", 1}, {"web", 2}, {"any", 4}}
	arches  = []Word{{"amd64", 1}, {"arm64", 2}}
	quotas  = []Word{{"polled", 0}, {"enforced", 1}}
)

// fields is the one table that drives parser, matcher and explanation; ids ascend and are append-only.
var fields = []FieldInfo{
	{ID: FieldClass, Name: "class", Level: LevelClass},
	{ID: FieldVRAM, Name: "vram", Unit: UnitMiB, Level: LevelDevice},
	{ID: FieldCC, Name: "cc", Unit: UnitTenths, Level: LevelDevice},
	{ID: FieldMemBW, Name: "mem_bw", Unit: UnitGBs, Level: LevelDevice},
	{ID: FieldFP16, Name: "fp16", Unit: UnitGiga, Level: LevelDevice},
	{ID: FieldFP32, Name: "fp32", Unit: UnitGiga, Level: LevelDevice},
	{ID: FieldINT8, Name: "int8", Unit: UnitGiga, Level: LevelDevice},
	{ID: FieldH2D, Name: "h2d", Unit: UnitMBs, Level: LevelDevice},
	{ID: FieldD2H, Name: "d2h", Unit: UnitMBs, Level: LevelDevice},
	{ID: FieldPCIeGen, Name: "pcie_gen", Unit: UnitCount, Level: LevelDevice},
	{ID: FieldPCIeWidth, Name: "pcie_width", Unit: UnitCount, Level: LevelDevice},
	{ID: FieldP2PBW, Name: "p2p_bw", Unit: UnitMBs, Level: LevelDevice},
	{ID: FieldPower, Name: "power", Unit: UnitWatt, Level: LevelDevice},
	{ID: FieldECC, Name: "ecc", Unit: UnitWord, Level: LevelDevice, Words: yesNo},
	{ID: FieldMIG, Name: "mig", Unit: UnitWord, Level: LevelDevice, Words: yesNo},
	{ID: FieldDisplay, Name: "display", Unit: UnitWord, Level: LevelDevice, Words: yesNo},
	{ID: FieldDriver, Name: "driver", Unit: UnitDriver, Level: LevelDevice},
	{ID: FieldCUDA, Name: "cuda", Unit: UnitCUDA, Level: LevelDevice},
	{ID: FieldProof, Name: "proof", Unit: UnitCount, Level: LevelDevice},
	{ID: FieldProofAt, Name: "proof_at", Unit: UnitCount, Level: LevelDevice},
	{ID: FieldCPU, Name: "cpu", Unit: UnitMilli, Level: LevelRig},
	{ID: FieldRAM, Name: "ram", Unit: UnitMiB, Level: LevelRig},
	{ID: FieldDisk, Name: "disk", Unit: UnitMiB, Level: LevelRig},
	{ID: FieldDiskRead, Name: "disk_read", Unit: UnitMBs, Level: LevelRig},
	{ID: FieldDiskWrite, Name: "disk_write", Unit: UnitMBs, Level: LevelRig},
	{ID: FieldNetDown, Name: "net_down", Unit: UnitMbits, Level: LevelRig},
	{ID: FieldNetUp, Name: "net_up", Unit: UnitMbits, Level: LevelRig},
	{ID: FieldCountry, Name: "country", Unit: UnitCountry, Level: LevelRig},
	{ID: FieldRegion, Name: "region", Unit: UnitWord, Level: LevelRig, Words: regions},
	{ID: FieldNAT, Name: "nat", Unit: UnitWord, Level: LevelRig, Words: nats},
	{ID: FieldIsolation, Name: "isolation", Unit: UnitWord, Level: LevelRig, Bits: true, Words: sandbox},
	{ID: FieldEgress, Name: "egress", Unit: UnitWord, Level: LevelRig, Bits: true, Words: egress},
	{ID: FieldArch, Name: "arch", Unit: UnitWord, Level: LevelRig, Words: arches},
	{ID: FieldQuota, Name: "quota", Unit: UnitWord, Level: LevelRig, Words: quotas},
	{ID: FieldMinTime, Name: "min_time", Unit: UnitSeconds, Level: LevelTerms},
	{ID: FieldMaxTime, Name: "max_time", Unit: UnitSeconds, Level: LevelTerms},
	{ID: FieldPrepay, Name: "prepay", Unit: UnitCount, Level: LevelTerms},
	{ID: FieldNotice, Name: "notice", Unit: UnitSeconds, Level: LevelTerms},
	{ID: FieldMinCloseDelay, Name: "min_close_delay", Unit: UnitSeconds, Level: LevelTerms},
	{ID: FieldTickMin, Name: "tick_min", Unit: UnitMillis, Level: LevelTerms},
	{ID: FieldTickMax, Name: "tick_max", Unit: UnitMillis, Level: LevelTerms},
	{ID: FieldUntil, Name: "until", Unit: UnitCount, Level: LevelTerms},
	{ID: FieldScore, Name: "score", Unit: UnitPPM, Level: LevelLocal},
	{ID: FieldRTT, Name: "rtt", Unit: UnitMillis, Level: LevelLocal},
	{ID: FieldUptime, Name: "uptime", Unit: UnitPPM, Level: LevelLocal},
	{ID: FieldKnown, Name: "known", Unit: UnitSeconds, Level: LevelLocal},
	{ID: FieldRate, Name: "rate", Unit: UnitRate, Level: LevelLocal},
	{ID: FieldFree, Name: "free", Unit: UnitCount, Level: LevelLocal},
	{ID: FieldReady, Name: "ready", Unit: UnitSeconds, Level: LevelLocal},
	{ID: FieldRigCPU, Name: "rig_cpu", Unit: UnitMilli, Level: LevelRig},
	{ID: FieldRigRAM, Name: "rig_ram", Unit: UnitMiB, Level: LevelRig},
}

// FieldTable returns a copy of the capability table, ids ascending.
func FieldTable() []FieldInfo { return slices.Clone(fields) }

// Info returns the table's row of a field; false for an id this version does not know.
func (f FieldID) Info() (FieldInfo, bool) {
	if i := fieldRow[f]; i > 0 {
		return fields[i-1], true
	}
	return FieldInfo{}, false
}

// fieldRow is the row of each id in the table, counted from 1; 0 = unknown. The matcher asks once per term and offer.
var fieldRow = func() (rows [256]uint8) {
	for i, f := range fields {
		rows[f.ID] = uint8(i + 1)
	}
	return rows
}()

// String returns the field's name, or "field-<id>" for an unknown one.
func (f FieldID) String() string {
	if i, ok := f.Info(); ok {
		return i.Name
	}
	return fmt.Sprintf("field-%d", uint8(f))
}

// FieldByName finds a field by its exact name.
func FieldByName(name string) (FieldInfo, bool) {
	for _, f := range fields {
		if f.Name == name {
			return f, true
		}
	}
	return FieldInfo{}, false
}

// Fits reports whether a value satisfies the term, soft or not. An unstated value or a field unknown here never does;
// class terms need FitsClass.
func (t Term) Fits(v uint64, stated bool) bool {
	row := fieldRow[t.Field]
	if row == 0 || !stated || t.Field == FieldClass {
		return false
	}
	return t.inside(v, fields[row-1].Bits) != t.Not
}

func (t Term) inside(v uint64, bits bool) bool {
	if len(t.In) > 0 {
		return slices.ContainsFunc(t.In, func(x uint64) bool { return x == v || bits && x&v != 0 })
	}
	return v >= t.Lo && (!t.HasHi || v <= t.Hi)
}

// FitsClass reports whether a class satisfies a class term.
func (t Term) FitsClass(class string) bool { return slices.Contains(t.Classes, class) != t.Not }

// Valid checks a term from outside. Errors: ErrRange.
func (t Term) Valid() error {
	switch {
	case len(t.In) > MaxTermValues || len(t.Classes) > MaxTermValues:
		return fmt.Errorf("%w: more than %d values in a term", ErrRange, MaxTermValues)
	case t.Field == FieldClass && len(t.Classes) == 0:
		return fmt.Errorf("%w: class term without classes", ErrRange)
	case t.Field != FieldClass && len(t.Classes) > 0:
		return fmt.Errorf("%w: classes on field %s", ErrRange, t.Field)
	case t.HasHi && t.Hi < t.Lo:
		return fmt.Errorf("%w: %s is empty", ErrRange, t)
	}
	for _, c := range t.Classes {
		if !ValidClass(c) {
			return fmt.Errorf("%w: class %q", ErrRange, c)
		}
	}
	return nil
}

// String writes the term as ParseTerms reads it.
func (t Term) String() string {
	s, not := "", ""
	if t.Not {
		not = "not "
	}
	switch {
	case t.Field == FieldClass:
		s = fmt.Sprintf("class %sin (%s)", not, strings.Join(t.Classes, ", "))
	case len(t.In) > 0:
		words := make([]string, len(t.In))
		for i, v := range t.In {
			words[i] = FormatValue(t.Field, v)
		}
		s = fmt.Sprintf("%s %sin (%s)", t.Field, not, strings.Join(words, ", "))
	default:
		s = t.rangeText()
	}
	if t.Soft {
		s += " ?"
	}
	return s
}

func (t Term) rangeText() string {
	lo, hi := FormatValue(t.Field, t.Lo), FormatValue(t.Field, t.Hi)
	switch {
	case t.HasHi && t.Hi == t.Lo && t.Not:
		return fmt.Sprintf("%s != %s", t.Field, lo)
	case t.HasHi && t.Hi == t.Lo:
		return fmt.Sprintf("%s = %s", t.Field, lo)
	case t.HasHi && t.Lo > 0:
		return fmt.Sprintf("%s >= %s, %s <= %s", t.Field, lo, t.Field, hi)
	case t.HasHi:
		return fmt.Sprintf("%s <= %s", t.Field, hi)
	}
	return fmt.Sprintf("%s >= %s", t.Field, lo)
}
