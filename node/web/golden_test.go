package web_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/wire"
)

// golden is what Go wrote and the app's own readers must read (src/lib/document.test.ts). Bytes are hex, 64-bit numbers
// decimal text.
type golden struct {
	Network  string    `json:"network"`
	Peer     string    `json:"peer"`
	Offer    string    `json:"offer"`
	Outcome  string    `json:"outcome"`
	Says     said      `json:"says"`
	Accounts []account `json:"accounts"`
	Open     fields    `json:"open"`
	TopUp    fields    `json:"top_up"`
}

type said struct {
	Seq     string `json:"seq"`
	Payout  string `json:"payout"`
	Class   string `json:"class"`
	Name    string `json:"name"`
	Devices int    `json:"devices"`
	Free    int    `json:"free"`
	Lease   string `json:"lease"`
	Code    string `json:"code"`
	Ended   int64  `json:"ended"`
	Amount  string `json:"amount"`
	Outputs string `json:"outputs"`
}

type fields struct {
	Bytes string            `json:"bytes"`
	Say   map[string]string `json:"say"`
}

type account = fields

func filled(b byte) (out [32]byte) {
	for i := range out {
		out[i] = b + byte(i)
	}
	return out
}

func u(v uint64) string { return strconv.FormatUint(v, 10) }

func accounts() (out []account) {
	for i, s := range []escrow.ChannelState{
		{Deposit: 1<<64 - 1, Settled: 1<<63 + 7, Paid: 5, OpenSlot: 123_456_789, Salt: 3, ClusterTag: 1<<63 + 1,
			CloseDelay: 7 * 24 * time.Hour, OpenedAt: -1, VoucherSlot: 9},
		{Status: escrow.StatusClosing, Deposit: 10, Deadline: 1_800_000_000, CloseDelay: 10 * time.Minute},
		{Status: escrow.StatusSealed, Deposit: 10, Settled: 4, Paid: 4, Refunded: 6},
	} {
		b := byte(10 * i)
		s.Payer, s.Payee, s.VoucherKey, s.ReleaseKey = filled(b), filled(b+1), filled(b+2), filled(b+3)
		s.PayeeDest, s.PayerDest = filled(b+4), filled(b+5)
		raw := escrow.EncodeChannel(s)
		h := func(v [32]byte) string { return hex.EncodeToString(v[:]) }
		out = append(out, account{Bytes: hex.EncodeToString(raw[:]), Say: map[string]string{
			"status": u(uint64(s.Status)), "deposit": u(uint64(s.Deposit)), "settled": u(uint64(s.Settled)),
			"paid": u(uint64(s.Paid)), "refunded": u(uint64(s.Refunded)), "deadline": strconv.FormatInt(s.Deadline, 10),
			"openSlot": u(s.OpenSlot), "salt": u(s.Salt), "clusterTag": u(s.ClusterTag),
			"closeDelay": u(uint64(s.CloseDelay / time.Second)), "openedAt": strconv.FormatInt(s.OpenedAt, 10),
			"voucherSlot": u(s.VoucherSlot), "bump": "255", "flags": "0", "decimals": "9", "payer": h(s.Payer),
			"payee": h(s.Payee), "voucherKey": h(s.VoucherKey), "releaseKey": h(s.ReleaseKey), "mint": h(s.Mint),
			"vault": h(s.Vault), "payeeDest": h(s.PayeeDest), "payerDest": h(s.PayerDest),
		}})
	}
	return out
}

func made(t *testing.T) golden {
	t.Helper()
	seed := filled(1)
	key := ed25519.NewKeyFromSeed(seed[:])
	payout := market.Address(filled(77))
	offer := market.Offer{Seq: 1_800_000_000_000, Lifetime: time.Hour, Payout: payout, Version: "0.1.0",
		Mints: []market.Address{{}}, Reach: []string{"/ip4/10.0.0.7/udp/4801/quic-v1"},
		Groups: []market.DeviceGroup{{Devices: []market.DeviceID{{1}, {2}, {3}}, Free: 5, Class: "rtx-4090",
			Name: "NVIDIA RTX 4090 <b>&\u00e9", Rates: []market.Rate{2_400_000}}}}
	rawOffer, err := wire.SealOffer(key, "localnet", offer)
	if err != nil {
		t.Fatal(err)
	}
	outcome := market.Outcome{Lease: market.LeaseID{1, 2, 3, 255}, Code: market.CodeCompleted,
		Accepted: time.UnixMilli(1_800_000_000_000), Ready: time.UnixMilli(1_800_000_004_000),
		Ended: time.UnixMilli(1_800_000_064_000), BillableMS: 60_000, Amount: 1<<63 - 1, OutputsRoot: filled(40)}
	rawOutcome, err := wire.SealOutcome(key, "localnet", outcome)
	if err != nil {
		t.Fatal(err)
	}
	peer := market.NodeID(key.Public().(ed25519.PublicKey))
	g := golden{Network: "localnet", Peer: peer.String(), Offer: hex.EncodeToString(wire.WithoutReach(rawOffer)),
		Outcome: hex.EncodeToString(rawOutcome), Accounts: accounts(),
		Says: said{Seq: u(offer.Seq), Payout: payout.String(), Class: "rtx-4090", Name: offer.Groups[0].Name,
			Devices: 3,
			Free:    2, Lease: outcome.Lease.String(), Code: string(outcome.Code), Ended: outcome.Ended.UnixMilli(),
			Amount: u(uint64(outcome.Amount)), Outputs: hex.EncodeToString(outcome.OutputsRoot[:])}}
	open := escrow.OpenData{Deposit: 1<<64 - 1, CloseDelay: 604_800, Salt: 5, ClusterTag: 1 << 63, OpenSlot: 77,
		VoucherKey: filled(3), ReleaseKey: filled(4)}
	g.Open = fields{hex.EncodeToString(open.Encode()), map[string]string{"deposit": u(uint64(open.Deposit)),
		"closeDelay": u(uint64(open.CloseDelay)), "salt": u(open.Salt), "clusterTag": u(open.ClusterTag),
		"openSlot": u(open.OpenSlot), "voucherKey": hex.EncodeToString(open.VoucherKey[:]),
		"releaseKey": hex.EncodeToString(open.ReleaseKey[:])}}
	top := escrow.TopUpData{Total: 1 << 63}
	g.TopUp = fields{hex.EncodeToString(top.Encode()), map[string]string{"total": u(uint64(top.Total))}}
	return g
}

// TestGolden_IsWhatGoWrites: the app's test reads this file; `make docs` writes it.
func TestGolden_IsWhatGoWrites(t *testing.T) {
	const at = "test/golden.json"
	want, err := json.MarshalIndent(made(t), "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if os.Getenv("GPUAI_WRITE_DOCS") != "" {
		if err := os.WriteFile(at, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(at); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what Go writes (make docs writes it), %v", at, err)
	}
}
