package wire

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/gpuai/gpuai/market"
)

// FuzzDocument: whatever the kind, an opened document fits its limits, and its bytes are the only form of it.
func FuzzDocument(f *testing.F) {
	stop, err := hex.DecodeString(goldenStop)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(stop)
	for _, seal := range []func() ([]byte, error){
		func() ([]byte, error) { return SealOffer(testKey(1), testNet, sampleOffer()) },
		func() ([]byte, error) { return SealOrder(testKey(1), testNet, sampleOrder()) },
		func() ([]byte, error) { return SealQuote(testKey(1), testNet, sampleQuote()) },
	} {
		raw, err := seal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := Parse(raw, testNet)
		if err != nil {
			return
		}
		tail, err := packReach(e.Reach)
		if err != nil {
			t.Fatalf("an open reach %q cannot be packed: %v", e.Reach, err)
		}
		again := slices.Concat(raw[:overhead], e.Body, tail)
		if !bytes.Equal(again, raw) {
			t.Fatalf("two forms of one document:\n%x\n%x", raw, again)
		}
		if e.Kind == KindOffer {
			if o, err := ReadOffer(e); err == nil && (len(o.Reach) > MaxReach || len(o.Groups) > 8) {
				t.Fatalf("limits broken: %+v", o)
			}
		}
	})
}

// FuzzReach: what opens can be reached by its form, names no host, and has one byte form.
func FuzzReach(f *testing.F) {
	b, err := packReach(sampleOffer().Reach)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	for _, s := range []string{
		"/ip4/10.0.0.1/tcp/22", "/dns4/example.org/tcp/4801", "/dnsaddr/example.org", "/unix/tmp/x",
		"/ip6/::1/udp/4801/quic-v1", "/ip4/1.2.3.4/tcp/80", "/ip4/1.2.3.4/tcp/4801/ws",
		"/ip6zone/eth0/ip6/fe80::1/tcp/4801",
		"/ip4/1.2.3.4/udp/4801/quic-v1/p2p/12D3KooWLKm1pq8u2qmSD1eGhd5daQJ1AC58TBV3aJtQGQSH5you/p2p-circuit",
	} {
		a := ma.StringCast(s).Bytes()
		f.Add(append([]byte{byte(len(a))}, a...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		reach, err := unpackReach(b)
		if err != nil {
			return
		}
		for _, s := range reach {
			if a, err := ma.NewMultiaddr(s); err != nil || !Reachable(a) {
				t.Fatalf("%q: %v", s, err)
			}
		}
		if again, err := packReach(reach); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x became %x: %v", b, again, err)
		}
	})
}

func FuzzLease(f *testing.F) {
	fuzzDecode(f, EncodeProposal(market.Proposal{Order: []byte("order"), Quote: []byte("quote"),
		Channel: market.ChannelID{1}, VoucherKey: [32]byte{2}, BindSig: [64]byte{3}, Cap: 4, Spec: []byte("{}"),
		Nonce: [16]byte{5}, Created: at(6), AcceptUntil: at(7)}), DecodeProposal, EncodeProposal)
}

func FuzzDecision(f *testing.F) {
	fuzzDecode(f, EncodeDecision(market.Decision{Lease: market.LeaseID{1}, Code: market.CodeBusy, Detail: "2 jobs",
		RetryAfter: time.Second, At: at(9)}), DecodeDecision, EncodeDecision)
}

func FuzzReceipt(f *testing.F) {
	fuzzDecode(f, EncodeReceipt(market.Receipt{Lease: market.LeaseID{1}, Seq: 2, BillableMS: 3, PausedMS: 4,
		UnobservedMS: 5, Amount: 6, State: market.Running, Wall: at(7), Final: true}), DecodeReceipt, EncodeReceipt)
}

func FuzzStop(f *testing.F) {
	fuzzDecode(f, EncodeStop(market.Stop{Lease: market.LeaseID{1}, Code: "user-stop", StopGrace: time.Second,
		At: at(4)}), DecodeStop, EncodeStop)
}

func FuzzAmend(f *testing.F) {
	fuzzDecode(f, EncodeAmend(market.Amend{Lease: market.LeaseID{1}, Cap: 2, At: at(4)}), DecodeAmend, EncodeAmend)
}

func FuzzOutcome(f *testing.F) {
	fuzzDecode(f, EncodeOutcome(market.Outcome{Lease: market.LeaseID{1}, Fault: market.FaultNone,
		Code: market.CodeCompleted, Accepted: at(1), Ended: at(3), BillableMS: 4, Amount: 5, ReceiptHash: [32]byte{6},
		VoucherTotal: 7, ExitCode: -1, OutputsRoot: [32]byte{8}, KeepChannel: true}), DecodeOutcome, EncodeOutcome)
}

func FuzzPayment(f *testing.F) {
	fuzzDecode(f, EncodePayment(market.Payment{Lease: market.LeaseID{1}, ReceiptSeq: 2, OwnMS: 3, LeaseAmount: 4,
		Voucher: [50]byte{5}, Sig: [64]byte{6}}), DecodePayment, EncodePayment)
}

func FuzzStatus(f *testing.F) {
	fuzzDecode(f, EncodeStatus(market.Status{Lease: market.LeaseID{1}, State: market.Preparing, Cause: "no-voucher",
		Detail: "a b", Phase: "pull", Done: 1, Total: 2, HighestVoucher: 3, Devices: []market.DeviceID{{4}},
		ExitCode: -5, Receipt: []byte("r"), Decision: []byte("d"), Outcome: []byte("o")}), DecodeStatus, EncodeStatus)
}
