package wire

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gpuai/gpuai/market"
)

const testNet = "localnet-test"

func testKey(b byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32)) }

func nodeOf(key ed25519.PrivateKey) market.NodeID {
	return market.NodeID(key.Public().(ed25519.PublicKey))
}

func at(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func sampleOffer() market.Offer {
	return market.Offer{
		Provider: nodeOf(testKey(1)), Seq: 1_700_000_000_123, Lifetime: time.Hour,
		Fields: market.Fields{market.FieldRAM: 64 << 10, market.FieldArch: 1},
		Mints:  []market.Address{{}, {9}}, Payout: market.Address{5}, Version: "v0.1.0", Critical: []market.FieldID{1},
		Reach: []string{"/ip4/127.0.0.1/udp/4801/quic-v1", "/ip4/127.0.0.1/tcp/4801"},
		Groups: []market.DeviceGroup{{
			Devices: []market.DeviceID{{1}, {2}}, Free: 3, Class: "rtx-4090", Name: "NVIDIA GeForce RTX 4090",
			Fields: market.Fields{market.FieldVRAM: 24 << 10, market.FieldCC: 89}, Rates: []market.Rate{2_400_000, 0},
		}},
	}
}

func sampleOrder() market.Order {
	return market.Order{
		Nonce: market.OrderID{1}, Customer: nodeOf(testKey(1)), Payer: market.Address{2}, ClusterTag: 7,
		Created: at(1000), ValidUntil: at(2001),
		Kind: market.KindBatch, Devices: 2, Image: "docker.io/library/x@sha256:00", ImageBytes: 5, InputBytes: 6,
		Platform: "linux/amd64", CPUMilli: 500,
		RAM: 1, Disk: 2, Shm: 3, Egress: market.EgressWeb, MaxRate: 99, Budget: 1000, MaxDuration: time.Hour,
		Tick:         1500 * time.Millisecond,
		StartTimeout: time.Minute, StopGrace: 10 * time.Second,
		Constraints: []market.Term{{Field: market.FieldVRAM, Lo: 1, Hi: 0, HasHi: false},
			{Field: market.FieldCC, HasHi: true},
			{Field: market.FieldClass, Classes: []string{"a100"}, Not: true},
			{Field: market.FieldCountry, In: []uint64{3}, Soft: true}},
	}
}

func sampleQuote() market.Quote {
	return market.Quote{
		Order: market.DocID{1}, Offer: market.DocID{2}, OfferSeq: 3, Devices: []market.DeviceID{{4}}, Rate: 12345,
		Mint:   market.Address{1},
		Payout: market.Address{6}, Created: at(5), Expires: at(20005), Tick: time.Second, Hold: time.Minute, Prepay: 1,
		PrepMax:   time.Minute,
		FloorRate: 9, MinHeadroom: 8, MinCloseDelay: time.Hour, ReleaseKey: [32]byte{7}, ClaimFee: 50000,
		FeePayer: market.Address{8},
	}
}

// roundTrip seals v, opens it, and wants it back unchanged.
func roundTrip[T any](t *testing.T, v T, seal func(ed25519.PrivateKey, string, T) ([]byte, error),
	open func([]byte, string) (T, Envelope, error)) {
	t.Helper()
	raw, err := seal(testKey(1), testNet, v)
	if err != nil {
		t.Fatalf("%T: %v", v, err)
	}
	got, e, err := open(raw, testNet)
	if err != nil {
		t.Fatalf("%T: %v", v, err)
	}
	if d := cmp.Diff(v, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("%T changed: %s", v, d)
	}
	if e.Signer != nodeOf(testKey(1)) || len(raw) > e.Kind.MaxSize() {
		t.Errorf("%T: signer %s, %d bytes", v, e.Signer, len(raw))
	}
	if _, _, err := open(raw, "devnet"); !errors.Is(err, ErrSignature) {
		t.Errorf("%T on another network: %v", v, err)
	}
}

func TestDocuments_SealAndOpen_KeepEveryField(t *testing.T) {
	t.Parallel()
	roundTrip(t, sampleOffer(), SealOffer, OpenOffer)
	roundTrip(t, sampleOrder(), SealOrder, OpenOrder)
	roundTrip(t, sampleQuote(), SealQuote, OpenQuote)
	roundTrip(t, market.Proposal{
		Order: []byte("order"), Quote: []byte("quote"), Channel: market.ChannelID{1}, VoucherKey: [32]byte{2},
		BindSig: [64]byte{3}, Cap: 4,
		Spec: []byte("{}"), Nonce: [16]byte{5}, Created: at(6), AcceptUntil: at(7),
	}, SealProposal, OpenProposal)
	roundTrip(t, market.Decision{Lease: market.LeaseID{1}, Code: market.CodeBusy, Detail: "2 jobs",
		RetryAfter: time.Second,
		At:         at(9)}, SealDecision, OpenDecision)
	roundTrip(t, market.Decision{Lease: market.LeaseID{1}, Accepted: true, At: at(9)}, SealDecision, OpenDecision)
	roundTrip(t, market.Receipt{
		Lease: market.LeaseID{1}, Seq: 2, BillableMS: 3, PausedMS: 4, UnobservedMS: 5, Amount: 6, State: market.Running,
		Wall: at(7), Final: true,
	}, SealReceipt, OpenReceipt)
	roundTrip(t, market.Stop{Lease: market.LeaseID{1}, Code: "user-stop", StopGrace: time.Second, At: at(4)}, SealStop,
		OpenStop)
	roundTrip(t, market.Outcome{
		Lease: market.LeaseID{1}, Fault: market.FaultNone, Code: market.CodeCompleted, Accepted: at(1),
		Ready: time.Time{},
		Ended: at(3), BillableMS: 4, Amount: 5,
		ReceiptHash: [32]byte{6}, VoucherTotal: 7, ExitCode: -1, OutputsRoot: [32]byte{8}, KeepChannel: true,
	}, SealOutcome, OpenOutcome)
}

func TestBodiesWithoutEnvelope_RoundTrip(t *testing.T) {
	t.Parallel()
	p := market.Payment{Lease: market.LeaseID{1}, ReceiptSeq: 2, OwnMS: 3, LeaseAmount: 4, Voucher: [50]byte{5},
		Sig: [64]byte{6}}
	if got, err := DecodePayment(EncodePayment(p)); err != nil || got != p {
		t.Errorf("payment %+v, %v", got, err)
	}
	s := market.Status{
		Lease: market.LeaseID{1}, State: market.Preparing, Cause: "no-voucher", Detail: "a b", Phase: "pull", Done: 1,
		Total: 2, HighestVoucher: 3,
		Devices: []market.DeviceID{{4}}, ExitCode: -5, Receipt: []byte("r"), Decision: []byte("d"),
		Outcome: []byte("o"),
	}
	got, err := DecodeStatus(EncodeStatus(s))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(s, got); d != "" {
		t.Error(d)
	}
}

func TestEncodeDecision_DetailOfAnError_IsMadeSendable(t *testing.T) {
	t.Parallel()
	d := market.Decision{Lease: market.LeaseID{1}, Code: "refused",
		Detail: "pull:\n\tnot found " + string(bytes.Repeat([]byte("ä"), 200))}
	got, err := DecodeDecision(EncodeDecision(d))
	if err != nil || len(got.Detail) != 255 || !printable(got.Detail) || got.Detail[:7] != "pull:  " {
		t.Errorf("detail %q, %v", got.Detail, err)
	}
}

func TestEnvelope_CopiedBody_HasOtherID(t *testing.T) {
	t.Parallel()
	body := EncodeStop(market.Stop{Lease: market.LeaseID{1}, Code: "x"})
	a, err := Seal(testKey(1), testNet, KindStop, body, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Seal(testKey(2), testNet, KindStop, body, nil)
	if err != nil {
		t.Fatal(err)
	}
	ea, erra := Open(a, testNet)
	eb, errb := Open(b, testNet)
	if erra != nil || errb != nil || ea.ID == eb.ID {
		t.Errorf("ids %s, %s; %v, %v", ea.ID, eb.ID, erra, errb)
	}
	copied := append([]byte{}, a...)
	copy(copied[headerSize:], eb.Signer[:])
	if _, err := Open(copied, testNet); !errors.Is(err, ErrSignature) {
		t.Errorf("copied signature: %v", err)
	}
}

func TestEnvelope_EveryFlippedByte_Refused(t *testing.T) {
	t.Parallel()
	raw, err := SealOffer(testKey(1), testNet, sampleOffer())
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		bad := append([]byte{}, raw...)
		bad[i] ^= 1
		if _, _, err := OpenOffer(bad, testNet); err == nil {
			t.Fatalf("byte %d flipped, and it opens", i)
		}
	}
	for _, bad := range [][]byte{nil, raw[:1], raw[:overhead-1], raw[:len(raw)-1], append(append([]byte{}, raw...), 0),
		make([]byte, MaxLease+1)} {
		if _, _, err := OpenOffer(bad, testNet); err == nil {
			t.Errorf("%d bytes open", len(bad))
		}
	}
}

func TestEnvelope_SmallOrderKey_Refused(t *testing.T) {
	t.Parallel()
	// The identity as key and R with S = 0 satisfies the equation for every message.
	raw, err := Seal(testKey(1), testNet, KindStop, EncodeStop(market.Stop{Code: "x"}), nil)
	if err != nil {
		t.Fatal(err)
	}
	identity := make([]byte, 32)
	identity[0] = 1
	copy(raw[headerSize:], identity)
	copy(raw[headerSize+32:], identity)
	clear(raw[headerSize+64 : overhead])
	e, err := Parse(raw, testNet)
	if err != nil {
		t.Fatal(err)
	}
	if !ed25519.Verify(e.Signer[:], []byte("anything"), e.Sig[:]) {
		t.Fatal("the standard library no longer accepts it: this test guards nothing")
	}
	if _, err := Open(raw, testNet); !errors.Is(err, ErrSignature) {
		t.Errorf("small-order key: %v", err)
	}
}

func TestOpen_UnknownKindOrFormat_IsNewer(t *testing.T) {
	t.Parallel()
	raw, err := SealStop(testKey(1), testNet, market.Stop{Code: "x"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		bad := append([]byte{}, raw...)
		bad[i] = 99
		if _, err := Open(bad, testNet); !errors.Is(err, ErrNewer) {
			t.Errorf("byte %d: %v", i, err)
		}
	}
}

func TestSealOffer_BeyondLimits_Refused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*market.Offer){
		"five digits":     func(o *market.Offer) { o.Groups[0].Rates[0] = 12_345 },
		"rate":            func(o *market.Offer) { o.Groups[0].Rates[0] = market.MaxRate * 2 },
		"class":           func(o *market.Offer) { o.Groups[0].Class = "RTX" },
		"bidi name":       func(o *market.Offer) { o.Groups[0].Name = "a\u202eb" },
		"control":         func(o *market.Offer) { o.Version = "a\x1b[2J" },
		"free mask":       func(o *market.Offer) { o.Groups[0].Free = 4 },
		"device twice":    func(o *market.Offer) { o.Groups[0].Devices[1] = o.Groups[0].Devices[0] },
		"no device":       func(o *market.Offer) { o.Groups[0].Devices = nil },
		"lifetime":        func(o *market.Offer) { o.Lifetime = time.Minute },
		"seq":             func(o *market.Offer) { o.Seq = 0 },
		"groups":          func(o *market.Offer) { o.Groups = make([]market.DeviceGroup, 9) },
		"reach":           func(o *market.Offer) { o.Reach = []string{"nonsense"} },
		"too many reach":  func(o *market.Offer) { o.Reach = make([]string, 5) },
		"field zero":      func(o *market.Offer) { o.Fields[0] = 1 },
		"rates for mints": func(o *market.Offer) { o.Mints = nil },
	} {
		o := sampleOffer()
		change(&o)
		if _, err := SealOffer(testKey(1), testNet, o); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenOrder_SignerIsNotCustomer_Refused(t *testing.T) {
	t.Parallel()
	raw, err := SealOrder(testKey(2), testNet, sampleOrder())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenOrder(raw, testNet); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
}

func TestDocuments_GoldenBytes_NeverChange(t *testing.T) {
	t.Parallel()
	raw, err := SealStop(testKey(1), testNet,
		market.Stop{Lease: market.LeaseID{1, 2}, Code: "user-stop", StopGrace: 3 * time.Second,
			At: at(1_700_000_000_000)})
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(raw); got != goldenStop {
		t.Errorf("stop envelope\n%s", got)
	}
	if got := DocIDOf(testNet, KindOffer, nodeOf(testKey(1)),
		EncodeOffer(sampleOffer())).String(); got != goldenOfferID {
		t.Errorf("offer id %s", got)
	}
	if got := DocIDOf(testNet, KindOrder, nodeOf(testKey(1)),
		EncodeOrder(sampleOrder())).String(); got != goldenOrderID {
		t.Errorf("order id %s", got)
	}
}

const (
	goldenStop = "0108000000278a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c26bba02e2b05d4fd86571fd3d535bda79e33d8acc9ae260d31d6cb4b88" +
		"0c75ca7f1047cf5c57f982ee12b58768f4d2d9b47eb2d05e7d96705966c9625a323e060a10010200000000000000000000000000001209757365722d73746f7018b8172080d095ffbc31"
	goldenOfferID = "0los0v5np48ul1qktg6ufivkps"
	goldenOrderID = "967rab1hkrhl37ubgfrnhphcr8"
)
