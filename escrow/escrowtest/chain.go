package escrowtest

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// Options of a Chain. Seed fixes genesis and program; SlotTime 0 means manual: slots and clock move by transactions and
// Advance only. Start is the virtual clock's begin (zero: 2026-01-01). RentPerByte 0 means 6,960 lamports.
type Options struct {
	Seed        string
	SlotTime    time.Duration
	Start       time.Time
	RentPerByte uint64
}

// finalDepth is how many slots the finalised view trails.
const finalDepth = 32

// manualSlot is the virtual time of one slot.
const manualSlot = 400 * time.Millisecond

type version struct {
	slot  uint64
	state escrow.ChannelState
}

// Chain is one cluster in memory. Use Ledger for a handle that signs for one account.
type Chain struct {
	opts    Options
	genesis [32]byte
	program market.Address
	started time.Time

	mu      sync.Mutex
	down    error
	stalled uint64 // slot at which all views stand; 0: they follow
	slots   uint64 // manual part of the slot number
	offset  time.Duration
	st      state
	history map[market.ChannelID][]version
	funded  uint64
	fees    uint64
	seen    uint64 // newest finalised slot shown
	seenAt  time.Time
}

// NewChain starts a chain at slot 1,000.
func NewChain(o Options) *Chain {
	if o.Start.IsZero() {
		o.Start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if o.RentPerByte == 0 {
		o.RentPerByte = 6_960
	}
	return &Chain{
		opts: o, genesis: sha256.Sum256([]byte("genesis" + o.Seed)), program: sha256.Sum256([]byte("program" + o.Seed)),
		started: time.Now(),
		slots:   1_000, st: state{map[market.Address]uint64{}, map[market.ChannelID]escrow.ChannelState{}},
		history: map[market.ChannelID][]version{},
	}
}

// Program is the escrow program's address; Genesis the genesis hash in base58; ClusterTag what both imply.
func (c *Chain) Program() market.Address { return c.program }

// Genesis is the genesis hash in base58.
func (c *Chain) Genesis() string { return market.Base58(c.genesis[:]) }

// ClusterTag is the first 8 bytes of the genesis hash.
func (c *Chain) ClusterTag() uint64 { return binary.LittleEndian.Uint64(c.genesis[:]) }

// Fund adds lamports out of nothing, as an airdrop does.
func (c *Chain) Fund(a market.Address, lamports market.Amount) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.st.lamports[a] += uint64(lamports)
	c.funded += uint64(lamports)
}

// Balance is the lamports of an account now.
func (c *Chain) Balance(a market.Address) market.Amount {
	c.mu.Lock()
	defer c.mu.Unlock()
	return market.Amount(c.st.lamports[a])
}

// Total is Σ lamports of all accounts + fees burnt − funded; it is 0 unless the model loses or makes money.
func (c *Chain) Total() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := int64(c.fees) - int64(c.funded)
	for _, v := range c.st.lamports {
		sum += int64(v)
	}
	return sum
}

// Advance moves the chain's clock by d, and its slots by d / 400 ms (or SlotTime).
func (c *Chain) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
	per := manualSlot
	if c.opts.SlotTime > 0 {
		per = c.opts.SlotTime
	}
	c.slots += uint64(d / per)
}

// Warp moves n slots without moving the clock.
func (c *Chain) Warp(n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slots += n
}

// Down makes every call fail as an unreachable endpoint does, until Down(false).
func (c *Chain) Down(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = nil
	if down {
		c.down = &market.Error{
			Code: market.CodeChainUnreachable, Op: "calling the chain", Kind: market.KindUnavailable,
			Err: errors.Join(escrow.ErrUnreachable, errors.New("the test took it down")),
		}
	}
}

// Stall makes every view stay as it is now, as an endpoint that answers and does not follow, until Stall(false).
// Transactions take effect.
func (c *Chain) Stall(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stalled = 0
	if on {
		c.stalled = c.slot()
	}
}

// shown is the newest slot that views show; it needs mu, as slot and now do.
func (c *Chain) shown() uint64 {
	if c.stalled > 0 {
		return min(c.stalled, c.slot())
	}
	return c.slot()
}

// slot and now need mu.
func (c *Chain) slot() uint64 {
	if c.opts.SlotTime > 0 {
		return c.slots + uint64(time.Since(c.started)/c.opts.SlotTime)
	}
	return c.slots
}

func (c *Chain) now() time.Time {
	if c.opts.SlotTime > 0 {
		return c.opts.Start.Add(c.offset + time.Since(c.started))
	}
	return c.opts.Start.Add(c.offset)
}

func (c *Chain) env() env {
	return env{c.program, c.slot(), c.now().Unix(), c.opts.RentPerByte}
}

// apply runs a transaction: the fee is taken even when it fails, unless the payer cannot pay it. The caller holds mu.
func (c *Chain) apply(feePayer market.Address, fee uint64, run func(env, state) error) error {
	e := c.env()
	if c.opts.SlotTime == 0 {
		c.slots++
		c.offset += manualSlot
	}
	if c.st.lamports[feePayer] < fee {
		return &progErr{text: "InsufficientFundsForFee"}
	}
	next := c.st.clone()
	next.lamports[feePayer] -= fee
	if err := run(e, next); err != nil {
		return err // a simulated failure: nothing was sent, no fee
	}
	if err := next.rentStates(e, c.st); err != nil {
		return err
	}
	for id := range c.st.channels {
		if _, ok := next.channels[id]; !ok {
			c.history[id] = append(c.history[id], version{e.slot, escrow.ChannelState{Status: escrow.StatusGone}})
		}
	}
	for id, cs := range next.channels {
		if old, ok := c.st.channels[id]; !ok || old != cs {
			c.history[id] = append(c.history[id], version{e.slot, cs})
		}
	}
	c.st = next
	c.fees += fee
	return nil
}

// view returns a Channel as seen with trust t; the caller holds mu.
func (c *Chain) view(id market.ChannelID, t escrow.Trust) escrow.ChannelState {
	at := c.shown()
	if t == escrow.Finalised {
		at -= min(at, finalDepth)
	}
	cs := escrow.ChannelState{Status: escrow.StatusGone}
	for _, v := range c.history[id] {
		if v.slot <= at {
			cs = v.state
		}
	}
	cs.ID, cs.Slot = id, at
	if cs.Status != escrow.StatusGone {
		cs.Lamports = c.st.lamports[market.Address(id)]
	}
	return cs
}
