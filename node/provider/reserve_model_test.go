package provider

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/node/provider/rig"
	"github.com/gpuai/gpuai/node/rows"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/runtime/gpu"
)

type nowhere struct{}

func (nowhere) Addrs() []string                       { return nil }
func (nowhere) Peers() int                            { return 0 }
func (nowhere) KeepConnected(market.NodeID, []string) {}
func (nowhere) Forget(market.NodeID)                  {}

// role is a provider of n CPU slots that has read nothing yet.
func role(t rapid.TB, dir string, n int) *Provider {
	db, err := store.Open(filepath.Join(dir, "d", "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	clock, err := lease.NewClock()
	if err != nil {
		t.Fatal(err)
	}
	var devices []gpu.Device
	for i := range n {
		devices = append(devices, gpu.CPUSlot(fmt.Sprint(i)))
	}
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	lent := Lent{CPUMilli: 1000, RAM: 1 << 30, Disk: 1 << 30, Egress: market.EgressNone}
	return New(Config{Network: "localnet", Key: key, Lent: lent, Tick: time.Second, Selling: true}, devices,
		Deps{Store: db, Clock: clock, Log: slog.New(slog.DiscardHandler), Reach: nowhere{}})
}

// bid is one lease that is reserved: for devices, on a channel, at a cap.
type bid struct {
	devices []int
	channel byte
	cap     market.Amount
}

func bids(t *rapid.T, n int) []bid {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) bid {
		return bid{
			devices: rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 1, n, rapid.ID[int]).Draw(t, "devices"),
			channel: rapid.ByteRange(1, 2).Draw(t, "channel"),
			cap:     market.Amount(rapid.IntRange(1, 100).Draw(t, "cap")),
		}
	}), 1, 6).Draw(t, "bids")
}

func (b bid) proposal(i int, p *Provider) *proposal {
	pr := &proposal{id: market.LeaseID{byte(i + 1)}, from: market.NodeID{byte(i + 1)}, raw: []byte("raw")}
	pr.order = market.Order{Nonce: market.OrderID{byte(i + 1)}, Customer: pr.from, Payer: market.Address{b.channel},
		Devices: len(b.devices), MaxDuration: time.Minute}
	pr.quote = market.Quote{Order: market.DocID{byte(i + 1)}, Rate: 1000, Tick: time.Second, MinHeadroom: 60}
	for _, d := range b.devices {
		pr.quote.Devices = append(pr.quote.Devices, p.View().Devices[d].ID)
	}
	pr.body.Cap, pr.body.Channel = b.cap, market.ChannelID{b.channel}
	return pr
}

// TestReserve_Model: any number of leases that are decided at the same time, for one device, on one channel, some of
// whose commits the store refuses: never two leases on a device, never more than the deposit, each lease is there whole
// or not at all, in memory as on disk.
func TestReserve_Model(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "reserve")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		const slots = 3
		p := role(t, dir, slots)
		defer p.db.Close()
		if err := p.load(t.Context()); err != nil {
			t.Fatal(err)
		}
		list := bids(t, slots)
		bad := rapid.IntRange(-1, slots-1).Draw(t, "a row that is not as the rig thinks")
		if bad >= 0 {
			id := p.View().Devices[bad].ID
			row := store.Row(rig.Row{State: rig.Free, Generation: 99})
			c := store.Change{Puts: []store.Put{{Bucket: store.BucketDevices, Key: id[:], Value: row}}}
			if err := p.db.Commit(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		won := make([]error, len(list))
		var wg sync.WaitGroup
		for i, b := range list {
			wg.Go(func() {
				pr := b.proposal(i, p)
				cs := escrow.ChannelState{ID: pr.body.Channel, Status: escrow.StatusOpen, Deposit: 150}
				for won[i] = errStale; won[i] == errStale; {
					ch, err := p.books.of(cs)
					if err != nil {
						t.Error(err)
						return
					}
					won[i] = p.reserve(t.Context(), pr, ch)
				}
			})
		}
		wg.Wait()
		check(t, p, list, won)
		if err := p.db.Close(); err != nil {
			t.Fatal(err)
		}
		again := role(t, dir, slots) // what is on disk says the same
		defer again.db.Close()
		if err := again.books.load(); err != nil {
			t.Fatal(err)
		}
		for i := range list {
			if b, err := again.db.Get(store.BucketTicks, p.id(i)); err != nil || (b != nil) != (won[i] == nil) {
				t.Errorf("lease %d: %v, its tick on disk: %v, %v", i, won[i], b != nil, err)
			}
			for ch := range byte(2) {
				if book, err := again.books.byID(market.ChannelID{ch + 1}); err == nil {
					a, _ := book.See()
					_, has := a.Leases[market.LeaseID(p.id(i))]
					if want := won[i] == nil && list[i].channel == ch+1; has != want {
						t.Errorf("lease %d: %v, a share of channel %d on disk: %v", i, won[i], ch+1, has)
					}
				}
			}
		}
	})
}

func (p *Provider) id(i int) []byte {
	id := market.LeaseID{byte(i + 1)}
	return id[:]
}

// check compares the owners with what was answered.
func check(t *rapid.T, p *Provider, list []bid, won []error) {
	holders := map[market.LeaseID]int{}
	for _, d := range p.View().Devices {
		if d.Lease != (market.LeaseID{}) {
			holders[d.Lease]++
		}
	}
	for i, b := range list {
		id := market.LeaseID{byte(i + 1)}
		ch, err := p.books.byID(market.ChannelID{b.channel})
		if err != nil {
			t.Fatal(err)
		}
		a, _ := ch.See()
		share, has := a.Leases[id]
		docs, err := p.db.Get(store.BucketLeases, id[:])
		if err != nil {
			t.Fatal(err)
		}
		if won[i] != nil {
			if market.CodeOf(won[i]) == "" && !errors.Is(won[i], store.ErrGuard) {
				t.Errorf("lease %d: %v", i, won[i])
			}
			if holders[id] != 0 || has || docs != nil || p.desk.find(id) != nil || p.books.sums.knows(id) || p.Has(id) {
				t.Errorf("lease %d was refused (%v) and leaves: %d devices, share %v, documents %v, run %v", i, won[i],
					holders[id], has, docs != nil, p.desk.find(id) != nil)
			}
			continue
		}
		tick, err := p.db.Get(store.BucketTicks, id[:])
		if err != nil {
			t.Fatal(err)
		}
		m, err := rows.DecodeTick(id, market.ProviderSide, tick)
		if err != nil || m.Lease.State != market.Preparing {
			t.Errorf("lease %d: state %s, %v", i, m.Lease.State, err)
		}
		if holders[id] != len(b.devices) || !has || !share.Live || docs == nil || p.desk.find(id) == nil {
			t.Errorf("lease %d was accepted and has: %d of %d devices, share %v, documents %v, run %v", i, holders[id],
				len(b.devices), has, docs != nil, p.desk.find(id) != nil)
		}
		if a.OwedSum() > a.Deposit {
			t.Errorf("channel %d owes more than it has", b.channel)
		}
	}
}
