package wire

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuai/gpuai/market"
)

// sampleEnd is an hour of two devices, told by the keys 1 (provider) and 2.
func sampleEnd() market.Outcome {
	return market.Outcome{
		Lease: market.LeaseID{1}, Fault: market.FaultNone, Code: market.CodeCompleted, Accepted: at(1000),
		Ready: at(2000), Ended: at(3_602_000), BillableMS: 3_600_000, Amount: 4_800_000, OutputsRoot: [32]byte{8},
		Deal: market.Deal{Class: "rtx-4090", Rate: 2_400_000, Devices: 2, Mint: market.Address{9},
			Channel: market.ChannelID{3}, Payer: market.Address{4}, Payee: market.Address{5},
			Provider: nodeOf(testKey(1)), Customer: nodeOf(testKey(2)), Bind: [64]byte{6}},
	}
}

func sealEnd(t testing.TB, key ed25519.PrivateKey, network string, o market.Outcome) []byte {
	t.Helper()
	raw, err := SealOutcome(key, network, o)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// pairOf is the message in which the second side says what change makes of the first one's word.
func pairOf(t testing.TB, change func(*market.Outcome)) []byte {
	t.Helper()
	own := sampleEnd()
	change(&own)
	return PackOutcomes(sealEnd(t, testKey(1), testNet, sampleEnd()), sealEnd(t, testKey(2), testNet, own))
}

// golden are bytes that must stay what they are: of versions before the Deal, and of this one.
func golden(t *testing.T) map[string][]byte {
	t.Helper()
	file, err := os.ReadFile("testdata/outcomes.hex")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for line := range strings.Lines(string(file)) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		if out[name], err = hex.DecodeString(text); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestOutcome_BeforeTheDeal_IsReadAndVerifies: what versions without a Deal have signed stays what it was, in both
// directions.
func TestOutcome_BeforeTheDeal_IsReadAndVerifies(t *testing.T) {
	t.Parallel()
	old := golden(t)
	o, e, err := OpenOutcome(old["outcome-before-deal"], testNet)
	if err != nil || o.Deal != (market.Deal{}) || o.LogEnd != market.LogCut || o.Amount != 5 {
		t.Errorf("old outcome %+v, %v", o, err)
	}
	if again := sealEnd(t, testKey(1), testNet, o); !bytes.Equal(again, old["outcome-before-deal"]) ||
		e.Signer != nodeOf(testKey(1)) {
		t.Errorf("an outcome without a deal is written otherwise than before:\n%x", again)
	}
	order, _, err := OpenOrder(old["order-before-private"], testNet)
	if err != nil || order.Private {
		t.Errorf("old order %+v, %v", order, err)
	}
	if d := cmp.Diff(sampleOrder(), order); d != "" {
		t.Error(d)
	}
	order.Private = true
	roundTrip(t, order, SealOrder, OpenOrder)
}

func TestOutcome_WithDeal_GoldenBytes(t *testing.T) {
	t.Parallel()
	roundTrip(t, sampleEnd(), SealOutcome, OpenOutcome)
	if got := EncodeOutcome(sampleEnd()); !bytes.Equal(got, golden(t)["body-with-deal"]) {
		t.Errorf("outcome body\n%x", got)
	}
}

func TestOutcomes_OfBothSides_Open(t *testing.T) {
	t.Parallel()
	raw := pairOf(t, func(o *market.Outcome) {
		o.KeepChannel, o.LogBytes, o.LogMissing, o.LogEnd = true, 7, 1, market.LogWhole // its own word
	})
	p, err := ReadOutcomes(raw, testNet)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Verify(testNet); err != nil || p.Outcome != sampleEnd() || len(raw) > MaxOutcomes {
		t.Errorf("%+v, %v", p.Outcome, err)
	}
	if !bytes.Equal(PackOutcomes(p.Provider, p.Customer), raw) {
		t.Error("the envelopes are not those that came")
	}
}

func TestOutcomes_Forged_Refused(t *testing.T) {
	t.Parallel()
	same := func(*market.Outcome) {}
	good, other := sampleEnd(), sampleEnd()
	other.Deal.Customer = nodeOf(testKey(1))
	provider := sealEnd(t, testKey(1), testNet, good)
	both := func(change func(*market.Outcome)) []byte {
		o := sampleEnd()
		change(&o)
		return PackOutcomes(sealEnd(t, testKey(1), testNet, o), sealEnd(t, testKey(2), testNet, o))
	}
	stop, err := SealStop(testKey(2), testNet, market.Stop{Lease: good.Lease, Code: "x"})
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string][]byte{
		"empty":          {},
		"one side":       PackOutcomes(provider, nil),
		"twice one side": PackOutcomes(provider, provider),
		"the wrong way":  PackOutcomes(sealEnd(t, testKey(2), testNet, good), provider),
		"a third signer": PackOutcomes(provider, sealEnd(t, testKey(3), testNet, good)),
		"of itself": PackOutcomes(sealEnd(t, testKey(1), testNet, other),
			sealEnd(t, testKey(1), testNet, other)),
		"another document": PackOutcomes(provider, stop),
		"too large":        append(pairOf(t, same), make([]byte, MaxOutcomes)...),
		"another amount": pairOf(t, func(o *market.Outcome) {
			o.BillableMS /= 2
			o.Amount /= 2
		}),
		"another lease":   pairOf(t, func(o *market.Outcome) { o.Lease[0]++ }),
		"another end":     pairOf(t, func(o *market.Outcome) { o.Ended = at(3_602_001) }),
		"another class":   pairOf(t, func(o *market.Outcome) { o.Deal.Class = "h100" }),
		"another payee":   pairOf(t, func(o *market.Outcome) { o.Deal.Payee[0]++ }),
		"another code":    pairOf(t, func(o *market.Outcome) { o.Code = market.CodeMeterDispute }),
		"one is private":  pairOf(t, func(o *market.Outcome) { o.Deal = market.Deal{} }),
		"both private":    both(func(o *market.Outcome) { o.Deal = market.Deal{} }),
		"no channel":      both(func(o *market.Outcome) { o.Deal.Channel = market.ChannelID{} }),
		"no device":       both(func(o *market.Outcome) { o.Deal.Devices = 0 }),
		"no slug":         both(func(o *market.Outcome) { o.Deal.Class = "RTX" }),
		"pays itself":     both(func(o *market.Outcome) { o.Deal.Payee = o.Deal.Payer }),
		"a wrong price":   both(func(o *market.Outcome) { o.Amount++ }),
		"a giant amount":  both(func(o *market.Outcome) { o.Amount = 1 << 63 }),
		"endless time":    both(func(o *market.Outcome) { o.BillableMS = 1 << 45 }),
		"ends before":     both(func(o *market.Outcome) { o.Ended = at(1500) }),
		"no end":          both(func(o *market.Outcome) { o.Ended = at(0) }),
		"billed unready":  both(func(o *market.Outcome) { o.Ready = at(0) }),
		"without a cause": both(func(o *market.Outcome) { o.Code = "" }),
	} {
		if p, err := ReadOutcomes(raw, testNet); err == nil {
			t.Errorf("%s is taken: %+v", name, p.Outcome)
		}
	}
	for name, network := range map[string][2]string{"provider": {"devnet", testNet}, "customer": {testNet, "devnet"}} {
		raw := PackOutcomes(sealEnd(t, testKey(1), network[0], good), sealEnd(t, testKey(2), network[1], good))
		p, err := ReadOutcomes(raw, testNet)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Verify(testNet); !errors.Is(err, ErrSignature) {
			t.Errorf("the %s signed for another network: %v", name, err)
		}
	}
}

// TestOutcomes_EveryFlippedByte_Refused: nothing of what was signed can change on the way.
func TestOutcomes_EveryFlippedByte_Refused(t *testing.T) {
	t.Parallel()
	raw := pairOf(t, func(*market.Outcome) {})
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		p, err := ReadOutcomes(bad, testNet)
		if err == nil {
			err = p.Verify(testNet)
		}
		if err == nil {
			t.Fatalf("byte %d flipped, and it is taken", i)
		}
	}
}

// FuzzOutcomes: what is read has two different signers and says one thing, whatever came.
func FuzzOutcomes(f *testing.F) {
	f.Add(pairOf(f, func(*market.Outcome) {}))
	f.Add(pairOf(f, func(o *market.Outcome) { o.KeepChannel = true }))
	f.Add(pairOf(f, func(o *market.Outcome) { o.Deal = market.Deal{} }))
	f.Add(PackOutcomes(nil, []byte{1, 9}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := ReadOutcomes(raw, testNet)
		if err != nil {
			return
		}
		d := p.Outcome.Deal
		if len(raw) > MaxOutcomes || d.Provider == d.Customer || p.Outcome.ValidPublic() != nil {
			t.Fatalf("taken: %+v", p.Outcome)
		}
		again, err := ReadOutcomes(PackOutcomes(p.Provider, p.Customer), testNet)
		if err != nil || again.Outcome != p.Outcome {
			t.Fatalf("it became %+v, %v", again.Outcome, err)
		}
	})
}

func FuzzOutcomeWithDeal(f *testing.F) {
	fuzzDecode(f, EncodeOutcome(sampleEnd()), DecodeOutcome, EncodeOutcome)
}
