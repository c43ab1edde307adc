package wire

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
)

func sampleWant() market.Want {
	return market.Want{
		Customer: nodeOf(testKey(1)), Seq: 1_700_000_000_123, Lifetime: 15 * time.Minute, Slot: 3,
		Classes: []string{"rtx-4090", "a100"}, Devices: 2, Mint: market.Address{9}, MaxRate: 2_400_000,
		MaxDuration: 10 * time.Hour,
		Terms: []market.Term{{Field: market.FieldVRAM, Lo: 24 << 10},
			{Field: market.FieldCountry, In: []uint64{3}, Not: true}, {Field: market.FieldCC, Lo: 89, Soft: true}},
		Reach: []string{"/ip4/127.0.0.1/udp/4801/quic-v1"},
	}
}

func TestWant_SealAndOpen_KeepEveryField(t *testing.T) {
	t.Parallel()
	roundTrip(t, sampleWant(), SealWant, openWant)
	gone := sampleWant()
	gone.Devices, gone.Terms, gone.MaxRate, gone.MaxDuration, gone.Reach = 0, nil, 0, 0, nil
	roundTrip(t, gone, SealWant, openWant)
	if !gone.Withdrawn() || sampleWant().Withdrawn() {
		t.Error("no devices is withdrawn, and nothing else")
	}
}

func TestWant_GoldenBytes_NeverChange(t *testing.T) {
	t.Parallel()
	if got := hex.EncodeToString(EncodeWant(sampleWant())); got != goldenWant {
		t.Errorf("want body\n%s", got)
	}
	if got := DocIDOf(testNet, KindWant, nodeOf(testKey(1)), EncodeWant(sampleWant())).String(); got != goldenWantID {
		t.Errorf("want id %s", got)
	}
}

func TestSealWant_BeyondLimits_Refused(t *testing.T) {
	t.Parallel()
	many := make([]market.Term, market.MaxWantTerms+1)
	for i := range many {
		many[i] = market.Term{Field: market.FieldVRAM, Lo: uint64(i)}
	}
	for name, change := range map[string]func(*market.Want){
		"no seq":       func(w *market.Want) { w.Seq = 0 },
		"giant seq":    func(w *market.Want) { w.Seq = 1 << 60 },
		"short life":   func(w *market.Want) { w.Lifetime = 59 * time.Second },
		"long life":    func(w *market.Want) { w.Lifetime = 901 * time.Second },
		"slot 8":       func(w *market.Want) { w.Slot = 8 },
		"no class":     func(w *market.Want) { w.Classes = nil },
		"five classes": func(w *market.Want) { w.Classes = []string{"a", "b", "c", "d", "e"} },
		"class twice":  func(w *market.Want) { w.Classes = []string{"a", "a"} },
		"no slug":      func(w *market.Want) { w.Classes = []string{"RTX\u202e"} },
		"65 devices":   func(w *market.Want) { w.Devices = market.MaxDevices + 1 },
		"13 terms":     func(w *market.Want) { w.Terms = many },
		"empty term": func(w *market.Want) {
			w.Terms = []market.Term{{Field: market.FieldVRAM, Lo: 2,
				HasHi: true}}
		},
		"giant rate":     func(w *market.Want) { w.MaxRate = market.MaxRate * 10 },
		"5 digits":       func(w *market.Want) { w.MaxRate = 12_345 },
		"giant duration": func(w *market.Want) { w.MaxDuration = 31 * 24 * time.Hour },
		"a name":         func(w *market.Want) { w.Reach = []string{"/dns4/example.org/tcp/4801"} },
		"low port":       func(w *market.Want) { w.Reach = []string{"/ip4/127.0.0.1/tcp/22"} },
	} {
		w := sampleWant()
		change(&w)
		if raw, err := SealWant(testKey(1), testNet, w); err == nil {
			t.Errorf("%s: sealed in %d bytes", name, len(raw))
		}
	}
}

func TestSealWant_LargestTerms_StaysBelowItsLimitOrIsRefused(t *testing.T) {
	t.Parallel()
	w := sampleWant()
	w.Terms = nil
	for range market.MaxWantTerms {
		var in []uint64
		for v := range uint64(market.MaxTermValues) {
			in = append(in, 1<<62+v)
		}
		w.Terms = append(w.Terms, market.Term{Field: market.FieldCountry, In: in})
	}
	if _, err := SealWant(testKey(1), testNet, w); !errors.Is(err, ErrTooLarge) {
		t.Errorf("12 terms of 16 giant values: %v", err)
	}
}

func TestOpenWant_SwappedReachOrKind_Refused(t *testing.T) {
	t.Parallel()
	w := sampleWant()
	body := EncodeWant(w)
	raw, err := Seal(testKey(1), testNet, KindWant, body, []string{"/ip4/127.0.0.2/udp/4801/quic-v1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := openWant(raw, testNet); !errors.Is(err, ErrMalformed) ||
		!strings.Contains(fmt.Sprint(err), "reach") {
		t.Errorf("swapped reach: %v", err)
	}
	offer, err := SealOffer(testKey(1), testNet, sampleOffer())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := openWant(offer, testNet); !errors.Is(err, ErrMalformed) {
		t.Errorf("an offer as a want: %v", err)
	}
}

func FuzzWant(f *testing.F) { fuzzDecode(f, EncodeWant(sampleWant()), DecodeWant, EncodeWant) }

const (
	goldenWant = "08fbd095ffbc31108407180322087274782d343039302204613130302802320608011080c0013207082f22010330013206080210" +
		"5938013a2009000000000000000000000000000000000000000000000000000000000000" +
		"004080be920148a099025a102d5d20cbd9b37dac9e1c8146457a29a4"
	goldenWantID = "hegtqu0d6rd8nuj7dlolc2ksno"
)

// openWant verifies and reads a Want.
func openWant(raw []byte, network string) (market.Want, Envelope, error) {
	e, err := openKind(raw, network, KindWant)
	if err != nil {
		return market.Want{}, Envelope{}, err
	}
	w, err := ReadWant(e)
	return w, e, err
}
