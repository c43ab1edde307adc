package customer

import (
	"crypto/ed25519"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/p2ptest"
	"github.com/gpuai/gpuai/p2p/wire"
)

// TestFrontRunner: a node that is asked for a Quote and hands on another rig's, or one that it has changed, gets no
// order in any of 1,000 seeds: a Quote counts only from the node that was asked, for the very order that was sent.
func TestFrontRunner(t *testing.T) {
	t.Parallel()
	const network = "localnet"
	rigKey, thiefKey, buyerKey := p2ptest.Key(1), p2ptest.Key(2), p2ptest.Key(3)
	thief, buyer := p2ptest.NodeID(thiefKey), p2ptest.NodeID(buyerKey)
	now := time.UnixMilli(1_800_000_000_000)
	fills := 0
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 0))
		order := market.Order{Nonce: market.OrderID{byte(seed), byte(seed >> 8)}, Customer: buyer,
			Payer: market.Address{9}, Devices: 1, MaxRate: market.Rate(1 + r.IntN(1_000_000))}
		id, other := market.DocID{byte(seed), 1}, market.DocID{byte(seed), 2}
		quote := market.Quote{Order: id, Offer: market.DocID{7}, OfferSeq: 1, Devices: []market.DeviceID{{1}},
			Rate: order.MaxRate, Payout: market.Address{5}, Created: now, Expires: now.Add(20 * time.Second),
			Tick: time.Second, Hold: time.Minute}
		key := rigKey
		switch r.IntN(3) {
		case 0: // as it came
		case 1: // with the thief's own account
			quote.Payout = market.Address{byte(r.IntN(255)), 6}
		case 2: // signed by the thief, for the order that it was shown last
			key, quote.Order = thiefKey, other
		}
		raw, err := wire.SealQuote(key, network, quote)
		if err != nil {
			t.Fatal(err)
		}
		if r.IntN(2) == 0 && key.Equal(rigKey) { // the signer's name alone is soon written over
			raw = append(append(append([]byte{}, raw[:6]...), thiefKey[ed25519.SeedSize:]...), raw[38:]...)
		}
		got, env, err := wire.OpenQuote(raw, network)
		if err == nil && checkQuote(got, order, id, env.Signer, thief, now) == nil {
			fills++
		}
	}
	if fills > 0 {
		t.Errorf("%d fills", fills)
	}
	if err := checkQuote(market.Quote{Order: market.DocID{1}, Devices: []market.DeviceID{{1}},
		Payout:  market.Address{5},
		Expires: now, Tick: time.Second}, market.Order{Devices: 1}, market.DocID{1}, thief, thief, now); err != nil {
		t.Errorf("an honest quote is refused as well: %v", err)
	}
}
