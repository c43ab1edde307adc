package nodetest

import (
	"errors"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/p2ptest"
)

// stranger is a buyer that only asks.
func (w *world) stranger(seed byte) *Buyer {
	return &Buyer{
		Network: w.ph.Network().Name, Key: p2ptest.Key(seed), ID: p2ptest.NodeID(p2ptest.Key(seed)),
		Payer: addr("nobody"), Chain: w.chain, Now: w.clock.Now,
	}
}

// ask asks for a quote as this buyer, twice with one document if it means it.
func (b *Buyer) ask(t *testing.T, w *world, means bool) error {
	t.Helper()
	raw, err := b.Order(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.prov.Quote(t.Context(), b.ID, raw)
	if err == nil && means {
		_, err = w.prov.Quote(t.Context(), b.ID, raw)
	}
	return err
}

// TestHold_KeepsDevicesForTheOrderThatMeansIt: whoever only compares prices holds nothing; whoever asks again has the
// device until the quote ends, and the next one is told when.
func TestHold_KeepsDevicesForTheOrderThatMeansIt(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Second}, func(t *testing.T, w *world) {
		for i := range byte(5) {
			if err := w.stranger(100+i).ask(t, w, false); err != nil {
				t.Fatal("somebody who compared prices holds the device: ", err)
			}
		}
		if err := w.stranger(110).ask(t, w, true); err != nil {
			t.Fatal(err)
		}
		var no *market.Refusal
		if err := w.stranger(111).ask(t, w, false); !errors.As(err, &no) || no.Code != market.CodeBusy ||
			no.RetryAfter <= 0 ||
			no.RetryAfter > 30*time.Second {
			t.Fatalf("a held device is quoted: %v", err)
		}
		time.Sleep(no.RetryAfter + time.Second)
		if err := w.stranger(111).ask(t, w, false); err != nil {
			t.Fatal("the hold has not ended: ", err)
		}
	})
}

// TestHold_NobodyFreezesTheRigForFree: fresh keys that hold the device again and again, and never buy, keep an order
// from it for a minute at the most.
func TestHold_NobodyFreezesTheRigForFree(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Second}, func(t *testing.T, w *world) {
		held, seed := 0, byte(100)
		for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(time.Second) {
			if err := w.stranger(seed).ask(t, w, true); err != nil {
				continue
			}
			if seed++; seed > 200 {
				seed = 100
			}
			if err := w.stranger(201).ask(t, w, false); err != nil {
				held++
			}
		}
		if held > 2 {
			t.Errorf("the device was held %d times", held)
		}
		v := w.await(t, w.place(t, request("honest")), over)
		if v.Code != market.CodeCompleted {
			t.Errorf("%s %s %s", v.Standing, v.Code, v.Detail)
		}
	})
}
