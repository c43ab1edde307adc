package escrowtest

import (
	"encoding/json"
	"fmt"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// dump is a Chain as a golden file keeps it, beside the stores of the nodes that used it. The history is not part of
// it: what stood then is final at the Load.
type dump struct {
	Slot     uint64                                   `json:"slot"`
	Lamports map[market.Address]uint64                `json:"lamports"`
	Channels map[market.ChannelID]escrow.ChannelState `json:"channels"`
	Funded   uint64                                   `json:"funded"`
	Fees     uint64                                   `json:"fees"`
}

// Dump returns the chain's state as JSON.
func (c *Chain) Dump() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return json.Marshal(dump{c.slot(), c.st.lamports, c.st.channels, c.funded, c.fees})
}

// Load makes the chain go on from a Dump of a chain with the same seed, at its slot or a later one. Errors: not a Dump.
func (c *Chain) Load(b []byte) error {
	var d dump
	if err := json.Unmarshal(b, &d); err != nil {
		return fmt.Errorf("load chain: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.slot(); now < d.Slot+finalDepth {
		c.slots += d.Slot + finalDepth - now
	}
	c.st, c.funded, c.fees = state{d.Lamports, d.Channels}, d.Funded, d.Fees
	clear(c.history)
	for id, cs := range d.Channels {
		c.history[id] = []version{{d.Slot, cs}}
	}
	return nil
}
