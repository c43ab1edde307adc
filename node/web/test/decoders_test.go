//go:build web

package test

import (
	"crypto/ed25519"
	"errors"
	"slices"
	"testing"
	"time"
	"unicode"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/wire"
)

// TestHostile_Decoders: what hostile fills into the pages comes through the decoders of documents as a name of
// printable text at most. Classes and codes are never such texts.
func TestHostile_Decoders(t *testing.T) {
	t.Parallel()
	now := uint64(time.Now().UnixMilli())
	offer := market.Offer{Seq: now, Lifetime: time.Hour, Mints: []market.Address{{}}, Version: "0.1.0",
		Reach: []string{"/ip4/10.0.0.7/udp/4801/quic-v1"},
		Groups: []market.DeviceGroup{{Devices: []market.DeviceID{{1}}, Free: 1, Class: "rtx-4090", Name: "RTX 4090",
			Rates: []market.Rate{5000}}}}
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	read := func(o market.Offer) (market.Offer, error) {
		raw, err := wire.SealOffer(key, network, o)
		if err == nil {
			o, _, err = wire.OpenOffer(raw, network)
		}
		return o, err
	}
	if _, err := read(offer); err != nil {
		t.Fatal("a good offer is refused: ", err)
	}
	outcome := func(code string) error {
		_, err := wire.DecodeOutcome(wire.EncodeOutcome(market.Outcome{Code: market.Code(code)}))
		return err
	}
	wanted := func(class string) error {
		_, err := wire.DecodeWant(wire.EncodeWant(market.Want{Seq: now, Lifetime: time.Minute, Devices: 1, MaxRate: 1,
			Classes: []string{class}, MaxDuration: time.Hour}))
		return err
	}
	if err := errors.Join(outcome("completed"), wanted("rtx-4090")); err != nil {
		t.Fatal("good ones are refused: ", err)
	}
	shown := 0
	for _, text := range hostileTexts() {
		for what, change := range map[string]func(*market.Offer, *market.DeviceGroup){
			"class":   func(_ *market.Offer, g *market.DeviceGroup) { g.Class = text },
			"name":    func(_ *market.Offer, g *market.DeviceGroup) { g.Name = text },
			"version": func(o *market.Offer, _ *market.DeviceGroup) { o.Version = text },
		} {
			o := offer
			o.Groups = slices.Clone(offer.Groups)
			change(&o, &o.Groups[0])
			got, err := read(o)
			if err != nil {
				continue
			}
			shown++
			if what == "class" {
				t.Errorf("%q is a class", text)
			}
			for _, c := range got.Groups[0].Name + got.Version {
				if !unicode.IsPrint(c) {
					t.Errorf("%q came through as a %s", text, what)
				}
			}
		}
		if outcome(text) == nil || wanted(text) == nil {
			t.Errorf("%q is a code, or a class that is wanted", text)
		}
	}
	if shown == 0 {
		t.Error("no text came through: pages would need no test")
	}
}
