package market

import (
	"errors"
	"testing"
)

func TestParseSort_ReadsWhatItWrites(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Sort{"": {}, "price": {}, "value": {FieldFP16, true},
		"value:mem_bw": {FieldMemBW, true}, "rtt": {Field: FieldRTT}, "ready": {Field: FieldReady},
		"uptime": {Field: FieldUptime}, "free": {Field: FieldFree}, "vram": {Field: FieldVRAM}} {
		got, err := ParseSort(text)
		if err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
		if again, err := ParseSort(got.String()); err != nil || again != got {
			t.Errorf("%q is written as %q and read as %v, %v", text, got, again, err)
		}
	}
}

func TestParseSort_Wrong_NamesTheNearest(t *testing.T) {
	t.Parallel()
	for text, hint := range map[string]string{"prise": "did you mean price?", "rt": "did you mean rtt?",
		"value:fp61": "did you mean value:fp16?", "value:known": "", "class": "", "value:": "", "value:price": ""} {
		_, err := ParseSort(text)
		var e *Error
		if !errors.As(err, &e) || e.Code != CodeBadUsage || e.Hint != hint {
			t.Errorf("%q: %v, hint %q; want %q", text, err, hintOf(e), hint)
		}
	}
}

func hintOf(e *Error) string {
	if e == nil {
		return ""
	}
	return e.Hint
}
