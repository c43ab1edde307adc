package escrow_test

import (
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"filippo.io/edwards25519"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

func testKey(b byte) ed25519.PrivateKey {
	var seed [32]byte
	seed[0] = b
	return ed25519.NewKeyFromSeed(seed[:])
}

func TestVoucher_Layout(t *testing.T) {
	v := escrow.Voucher{Channel: market.ChannelID{1, 2, 3}, Amount: 0x0102030405060708}
	b := v.Encode()
	want := "5601010203" + hex.EncodeToString(make([]byte, 29)) + "0807060504030201" + "0000000000000000"
	if got := hex.EncodeToString(b[:]); got != want {
		t.Fatalf("voucher bytes\n got %s\nwant %s", got, want)
	}
	r := escrow.Release{Channel: v.Channel, Final: v.Amount, Expires: 5}
	rb := r.Encode()
	want = "5201010203" + hex.EncodeToString(make([]byte, 29)) + "0807060504030201" + "0500000000000000"
	if got := hex.EncodeToString(rb[:]); got != want {
		t.Fatalf("release bytes\n got %s\nwant %s", got, want)
	}
}

func TestVoucher_Expiring(t *testing.T) {
	b := escrow.Voucher{Amount: 7}.Encode()
	b[42] = 1
	if _, err := escrow.DecodeVoucher(b[:]); !errors.Is(err, escrow.ErrExpires) {
		t.Fatalf("expiring voucher: %v, want ErrExpires", err)
	}
}

func TestEd25519Data_Layout(t *testing.T) {
	key := testKey(1)
	s := escrow.Voucher{Amount: 9}.Sign(key)
	msg := s.Encode()
	d := escrow.Ed25519Data(escrow.PublicKey(key), msg, s.Sig)
	if got, want := hex.EncodeToString(d[:16]), "01003000ffff1000ffff70003200ffff"; got != want {
		t.Fatalf("header %s, want %s", got, want)
	}
	if [32]byte(d[16:48]) != escrow.PublicKey(key) || [64]byte(d[48:112]) != s.Sig || [50]byte(d[112:]) != msg {
		t.Fatal("key, signature or message is not where the program reads it")
	}
}

func FuzzDecodeVoucher(f *testing.F) {
	v := escrow.Voucher{Channel: market.ChannelID{9}, Amount: 3}.Encode()
	f.Add(v[:])
	r := escrow.Release{Final: 1, Expires: 2}.Encode()
	f.Add(r[:])
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := escrow.DecodeVoucher(b); err == nil {
			if got := v.Encode(); string(got[:]) != string(b) {
				t.Fatalf("encode(decode(%x)) = %x", b, got)
			}
		}
		if r, err := escrow.DecodeRelease(b); err == nil {
			if got := r.Encode(); string(got[:]) != string(b) {
				t.Fatalf("encode(decode(%x)) = %x", b, got)
			}
		}
	})
}

func FuzzDecodeChannel(f *testing.F) {
	b := escrow.EncodeChannel(escrow.ChannelState{Deposit: 10, Settled: 5, Paid: 5, CloseDelay: time.Hour})
	f.Add(b[:])
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := escrow.DecodeChannel(b)
		if err != nil {
			return
		}
		e := escrow.EncodeChannel(s)
		back, err := escrow.DecodeChannel(e[:])
		if err != nil || back != s {
			t.Fatalf("decode(encode(s)) = %+v, %v; s = %+v", back, err, s)
		}
	})
}

func TestOpenTerms_FindSaltGivesOffCurveAddress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		terms := escrow.OpenTerms{Salt: rapid.Uint64().Draw(t, "salt"), OpenSlot: rapid.Uint64().Draw(t, "slot"),
			Payer: market.Address{1}, Payee: market.Address{2}}
		got, id, err := terms.FindSalt(market.Address{7})
		if err != nil {
			t.Fatal(err)
		}
		if again, err := got.Address(market.Address{7}); err != nil || again != id || escrow.OnCurve(id) {
			t.Fatalf("address %s, again %s, %v", id, again, err)
		}
		got.OpenSlot++
		if other, err := got.Address(market.Address{7}); err == nil && other == id {
			t.Fatal("another open slot has the same address")
		}
	})
}

func TestKeys_DifferPerTermAndAreStable(t *testing.T) {
	k := escrow.NewKeys([32]byte{1})
	seen := map[[32]byte]string{}
	add := func(name string, key ed25519.PrivateKey, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[escrow.PublicKey(key)]; ok {
			t.Fatalf("%s equals %s", name, other)
		}
		seen[escrow.PublicKey(key)] = name
	}
	a, b := market.Address{1}, market.Address{2}
	for n := range uint32(3) {
		key, err := k.Voucher(1, a, b, market.Address{}, n)
		add("voucher", key, err)
	}
	key, err := k.Voucher(2, a, b, market.Address{}, 0)
	add("voucher on another cluster", key, err)
	key, err = k.Release(1, market.NodeID(a), b, market.Address{})
	add("release", key, err)
	again, err := k.Release(1, market.NodeID(a), b, market.Address{})
	if err != nil || !again.Equal(key) {
		t.Fatal("derivation is not stable")
	}
}

// smallOrder are the canonical small-order points and their non-canonical twins.
var smallOrder = []string{
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
}

func point(t *testing.T, s string) (b [32]byte) {
	t.Helper()
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != 32 {
		t.Fatalf("bad vector %s", s)
	}
	return [32]byte(raw)
}

func TestVoucherKey_Refused(t *testing.T) {
	for _, s := range smallOrder {
		b := point(t, s)
		if _, err := escrow.ParseVoucherKey(b[:]); !errors.Is(err, escrow.ErrKey) {
			t.Errorf("small-order key %s: %v, want ErrKey", s, err)
		}
	}
	for _, s := range []string{
		"0200000000000000000000000000000000000000000000000000000000000000", // not on the curve
		"f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // y = p + 3, the point with y = 3
	} {
		b := point(t, s)
		if _, err := escrow.ParseVoucherKey(b[:]); !errors.Is(err, escrow.ErrKey) {
			t.Errorf("key %s: %v, want ErrKey", s, err)
		}
	}
	good := escrow.PublicKey(testKey(3))
	if got, err := escrow.ParseVoucherKey(good[:]); err != nil || got != good {
		t.Errorf("good key: %v", err)
	}
	if _, err := escrow.ParseVoucherKey(good[:31]); !errors.Is(err, escrow.ErrKey) {
		t.Errorf("31 bytes: %v, want ErrKey", err)
	}
}

// forge signs with secret scalar a, R = r·B + tr and public key A = a·B + ta, so that the cofactored equation holds
// whatever ta and tr.
func forge(t *testing.T, msg []byte, ta, tr *edwards25519.Point) (key [32]byte, sig [64]byte) {
	t.Helper()
	scalar := func(b byte) *edwards25519.Scalar {
		s, err := edwards25519.NewScalar().SetBytesWithClamping(append(make([]byte, 31), b))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, r := scalar(5), scalar(9)
	pub := new(edwards25519.Point).Add(new(edwards25519.Point).ScalarBaseMult(a), ta)
	rp := new(edwards25519.Point).Add(new(edwards25519.Point).ScalarBaseMult(r), tr)
	h := sha512.New()
	h.Write(rp.Bytes())
	h.Write(pub.Bytes())
	h.Write(msg)
	k, err := edwards25519.NewScalar().SetUniformBytes(h.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	s := edwards25519.NewScalar().MultiplyAdd(k, a, r)
	copy(sig[:], rp.Bytes())
	copy(sig[32:], s.Bytes())
	return [32]byte(pub.Bytes()), sig
}

// TestVerify_StrictVectors: every crafted vector is either refused, or accepted by the strict rules (canonical, no
// small order, cofactorless).
func TestVerify_StrictVectors(t *testing.T) {
	m := escrow.Voucher{Channel: market.ChannelID{4}, Amount: 77}.Encode()
	identity := edwards25519.NewIdentityPoint()
	key, sig := forge(t, m[:], identity, identity)
	if !escrow.Verify(key, m[:], sig) {
		t.Fatal("the forge itself does not sign: vectors below would prove nothing")
	}
	over := sig // S + L: same residue, not canonical
	order, _ := hex.DecodeString("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
	carry := uint16(0)
	for i := range 32 {
		carry += uint16(over[32+i]) + uint16(order[i])
		over[32+i], carry = byte(carry), carry>>8
	}
	if escrow.Verify(key, m[:], over) {
		t.Error("S + L accepted")
	}
	for _, s := range smallOrder[:8] {
		enc := point(t, s)
		low, err := new(edwards25519.Point).SetBytes(enc[:])
		if err != nil {
			t.Fatal(err)
		}
		if low.Equal(identity) == 1 {
			continue
		}
		// A mixed-order R fails the cofactorless equation; so does a mixed-order A unless k·ta = 0, which the strict
		// rules allow.
		if key, sig := forge(t, m[:], identity, low); escrow.Verify(key, m[:], sig) {
			t.Errorf("R with small part %s accepted", s)
		}
		if key, sig := forge(t, m[:], low, identity); escrow.Verify(key, m[:], sig) != ed25519.Verify(key[:], m[:],
			sig[:]) {
			t.Errorf("A with small part %s: not the cofactorless answer", s)
		}
	}
	for _, a := range smallOrder {
		for _, r := range smallOrder {
			sig := [64]byte{}
			rb := point(t, r)
			copy(sig[:], rb[:])
			if escrow.Verify(point(t, a), m[:], sig) {
				t.Errorf("key %s, R %s, S = 0 accepted", a, r)
			}
		}
	}
}

func TestVerify_MutatedNeverAccepted(t *testing.T) {
	key := testKey(8)
	rapid.Check(t, func(t *rapid.T) {
		v := escrow.Voucher{Amount: market.Amount(rapid.Uint64().Draw(t, "amount"))}.Sign(key)
		pub, msg := escrow.PublicKey(key), v.Encode()
		if !escrow.Verify(pub, msg[:], v.Sig) {
			t.Fatal("own signature refused")
		}
		bit := rapid.IntRange(0, 8*(32+64+50)-1).Draw(t, "bit")
		switch at := bit / 8; {
		case at < 32:
			pub[at] ^= 1 << (bit % 8)
		case at < 96:
			v.Sig[at-32] ^= 1 << (bit % 8)
		default:
			msg[at-96] ^= 1 << (bit % 8)
		}
		if escrow.Verify(pub, msg[:], v.Sig) {
			t.Fatalf("accepted with bit %d flipped", bit)
		}
	})
}

func TestDecodeChannel_RoundTripAndRefusals(t *testing.T) {
	s := escrow.ChannelState{
		Status: escrow.StatusClosing, Deposit: 100, Settled: 40, Paid: 30, Refunded: 60, Deadline: -5, OpenSlot: 1,
		Salt: 2, ClusterTag: 3,
		CloseDelay: time.Hour, Payer: market.Address{1}, Payee: market.Address{2}, VoucherKey: [32]byte{3},
		ReleaseKey: [32]byte{4},
		PayeeDest:  market.Address{2}, PayerDest: market.Address{1}, OpenedAt: 6, VoucherSlot: 7,
	}
	b := escrow.EncodeChannel(s)
	got, err := escrow.DecodeChannel(b[:])
	if diff := cmp.Diff(s, got); err != nil || diff != "" {
		t.Fatalf("round trip: %v\n%s", err, diff)
	}
	for name, change := range map[string]func(b []byte){
		"discriminator":        func(b []byte) { b[0] = 2 },
		"version":              func(b []byte) { b[1] = 2 },
		"status":               func(b []byte) { b[2] = 3 },
		"bump":                 func(b []byte) { b[5] = 254 },
		"paid over settled":    func(b []byte) { binary.LittleEndian.PutUint64(b[24:], 41) },
		"settled over deposit": func(b []byte) { binary.LittleEndian.PutUint64(b[16:], 101) },
		"half refund":          func(b []byte) { binary.LittleEndian.PutUint64(b[32:], 59) },
	} {
		c := b
		change(c[:])
		if _, err := escrow.DecodeChannel(c[:]); !errors.Is(err, escrow.ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	key := testKey(1)
	v := escrow.Voucher{Amount: 5}.Sign(key)
	pub := escrow.PublicKey(key)
	for b.Loop() {
		if !v.Verify(pub) {
			b.Fatal("refused")
		}
	}
}
