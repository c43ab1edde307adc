package streams

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuai/gpuai/market"
)

func TestRefusal_GoldenBytes(t *testing.T) {
	t.Parallel()
	r := &market.Refusal{Code: market.CodeBusy, Detail: "é", Kind: market.KindUnavailable,
		RetryAfter: 1500 * time.Millisecond}
	const golden = "0a0462757379" + "1005" + "18dc0b" + "2202c3a9"
	if got := hex.EncodeToString(encodeRefusal(r)); got != golden {
		t.Fatalf("%s, want %s", got, golden)
	}
	var got *market.Refusal
	if err := decodeRefusal(encodeRefusal(r)); !errors.As(err, &got) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestRefusal_BoundsWhatPeersSay(t *testing.T) {
	t.Parallel()
	long := &market.Refusal{Code: market.CodePolicy, Detail: strings.Repeat("é", 300) + "\x1b[31m\u202e",
		Kind: market.KindDenied}
	var got *market.Refusal
	if err := decodeRefusal(encodeRefusal(long)); !errors.As(err, &got) || len(got.Detail) > maxDetail ||
		!utf8.ValidString(got.Detail) {
		t.Fatalf("%+v, %v", got, err)
	}
	// A later version's fields are skipped: 5 (terms), 6 fixed64, 7 fixed32; a huge wait is cut.
	raw := append(encodeRefusal(market.Refuse(market.CodeDoesNotFit, market.KindConflict, "")), 0x2a, 1, 0, 0x31, 1, 2,
		3, 4,
		5, 6, 7, 8, 0x3d, 1, 2, 3, 4)
	raw = append(raw, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1)
	if err := decodeRefusal(raw); !errors.As(err, &got) || got.Code != market.CodeDoesNotFit ||
		got.RetryAfter != maxRetry {
		t.Fatalf("%+v, %v", got, err)
	}
	for name, bad := range map[string][]byte{
		"empty":         {},
		"no word":       {0x0a, 2, 'A', '!'},
		"long code":     append([]byte{0x0a, 33}, bytes.Repeat([]byte("a"), 33)...),
		"cut text":      {0x0a, 5, 'a'},
		"cut tag":       {0x80},
		"group":         {0x0b, 0x0c},
		"endless field": {0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
	} {
		if err := decodeRefusal(bad); !errors.Is(err, errRefusal) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, err := range []error{errors.New("secret"), &market.Refusal{Code: "Not A Word", Detail: "secret"}} {
		if b := encodeRefusal(err); market.CodeOf(decodeRefusal(b)) != market.CodeInternal ||
			bytes.Contains(b, []byte("secret")) {
			t.Errorf("%v travels as %q", err, b)
		}
	}
}

func FuzzRefusal(f *testing.F) {
	f.Add(encodeRefusal(market.Refuse(market.CodeDoesNotFit, market.KindConflict, "vram")))
	f.Add([]byte{0x31, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Fuzz(func(t *testing.T, raw []byte) {
		var r *market.Refusal
		if !errors.As(decodeRefusal(raw), &r) {
			return
		}
		if !isCode(r.Code) || len(r.Detail) > maxDetail || r.RetryAfter < 0 || r.RetryAfter > maxRetry {
			t.Fatalf("out of bounds: %+v", r)
		}
		var again *market.Refusal
		if err := decodeRefusal(encodeRefusal(r)); !errors.As(err, &again) || !cmp.Equal(r, again) {
			t.Fatalf("%+v became %+v", r, again)
		}
	})
}
