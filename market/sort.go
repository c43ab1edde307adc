package market

import (
	"fmt"
	"strings"
)

// Sort is what rigs are ranked by. Zero is by price: the rate, weighed by the own experience with the provider. Each is
// by the rate for one unit of Field; else Field itself counts: less of rtt, ready and rate is better, more of all
// others. A rig that does not state Field comes after those that do.
type Sort struct {
	Field FieldID
	Each  bool
}

// WantSort is what ParseSort takes, for people.
const WantSort = "price, value:FIELD as in value:fp16, rtt, ready, uptime, or another field"

const valueOf = "value"

// ParseSort reads a ranking; "" is by price, and "value" by value:fp16. Errors: *Error bad-usage, with the nearest
// word.
func ParseSort(text string) (Sort, error) {
	name, each := strings.CutPrefix(text, valueOf+":")
	switch text {
	case "", "price":
		return Sort{}, nil
	case valueOf:
		return Sort{FieldFP16, true}, nil
	}
	f, ok := FieldByName(name)
	if ok && f.ID != FieldClass && (!each || f.pays()) {
		return Sort{f.ID, each}, nil
	}
	return Sort{}, &Error{Code: CodeBadUsage, Kind: KindInvalid, Op: "rank offers",
		Detail: fmt.Sprintf("sort %.40q is none of %s", text, WantSort), Hint: nearSort(name, each)}
}

func nearSort(name string, each bool) string {
	known, before := []string{"price", valueOf}, ""
	if each {
		known, before = nil, valueOf+":"
	}
	for _, f := range fields {
		if f.ID != FieldClass && (!each || f.pays()) {
			known = append(known, f.Name)
		}
	}
	if near := Nearest(name, known, 2); near != "" {
		return "did you mean " + before + near + "?"
	}
	return ""
}

// pays reports whether more of a field is worth more, so that it has a price for each unit.
func (f FieldInfo) pays() bool {
	switch f.Unit {
	case UnitMiB, UnitMBs, UnitGBs, UnitMbits, UnitGiga, UnitMilli:
		return f.Level == LevelDevice || f.Level == LevelRig
	}
	return false
}

// String is the text that ParseSort reads.
func (s Sort) String() string {
	switch {
	case s.Field == FieldClass:
		return "price"
	case s.Each:
		return valueOf + ":" + s.Field.String()
	}
	return s.Field.String()
}
