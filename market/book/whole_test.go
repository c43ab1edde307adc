package book

import (
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
)

// shared is a rig of n devices with so many milli-cores and MiB in all; each device's share is rounded up.
func shared(n int, milli, mib uint64) market.Offer {
	o := market.Offer{
		Provider: market.NodeID{byte(n)}, Seq: uint64(time.Now().UnixMilli()), Lifetime: time.Hour,
		Mints: []market.Address{{}},
		Fields: market.Fields{
			market.FieldCPU: (milli + uint64(n) - 1) / uint64(n), market.FieldRAM: (mib + uint64(n) - 1) / uint64(n),
			market.FieldRigCPU: milli, market.FieldRigRAM: mib,
		},
	}
	g := market.DeviceGroup{Class: "rtx-4090", Free: 1<<n - 1, Rates: []market.Rate{1000}}
	for i := range n {
		g.Devices = append(g.Devices, market.DeviceID{byte(i + 1)})
	}
	o.Groups = []market.DeviceGroup{g}
	return o
}

// TestMatch_WholeRig_IsWhatIsStated: what a proposed change names is what the rig has, not what its rounded shares add
// up to; a rig of before that stated no totals is still matched by its shares.
func TestMatch_WholeRig_IsWhatIsStated(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := New()
	if _, err := b.Put(shared(3, 1000, 4000), market.DocID{}, nil, now); err != nil {
		t.Fatal(err)
	}
	ask := func(milli, mib uint64) Result {
		return b.Match(Query{Explain: true, Devices: 1, Limit: 5,
			Terms: []market.Term{{Field: market.FieldRigCPU, Lo: milli}, {Field: market.FieldRigRAM, Lo: mib}}}, now)
	}
	if r := ask(1000, 4000); len(r.Candidates) != 1 {
		t.Errorf("the whole rig does not fit: %s", r.Explanation.Text())
	}
	if r := ask(2000, 1000); len(r.Candidates) != 0 || r.Explanation.Hint() != "--cpu 1 (1 rig)" {
		t.Errorf("hint %q: %s", r.Explanation.Hint(), r.Explanation.Text())
	}
	old := shared(3, 1000, 4000)
	old.Seq++
	delete(old.Fields, market.FieldRigCPU)
	delete(old.Fields, market.FieldRigRAM)
	if _, err := b.Put(old, market.DocID{}, nil, now); err != nil {
		t.Fatal(err)
	}
	if r := ask(1000, 4000); len(r.Candidates) != 1 {
		t.Errorf("a rig that states shares only does not fit: %s", r.Explanation.Text())
	}
}

// TestExplain_NamesWhatElseFails: whoever mends the first term would meet the next one, so both are said.
func TestExplain_NamesWhatElseFails(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := New()
	if _, err := b.Put(shared(1, 1000, 4096), market.DocID{}, nil, now); err != nil {
		t.Fatal(err)
	}
	r := b.Match(Query{Explain: true, Devices: 1, Limit: 5,
		Terms: []market.Term{{Field: market.FieldRigCPU, Lo: 2000}, {Field: market.FieldRigRAM, Lo: 100 << 10}}}, now)
	text := r.Explanation.Text()
	for _, want := range []string{"rig_cpu >= 2 (nearest 1", "also rig_ram >= 100GiB (nearest 4GiB"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q does not say %q", text, want)
		}
	}
}

// TestMatch_Rented_FindsWhatIsTaken: a rig fits but for a free device only where that is asked.
func TestMatch_Rented_FindsWhatIsTaken(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := New()
	o := shared(2, 1000, 4096)
	o.Groups[0].Free = 0
	if _, err := b.Put(o, market.DocID{}, nil, now); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		q    Query
		want int
	}{{Query{Devices: 1}, 0}, {Query{Devices: 1, Rented: true}, 1}, {Query{Devices: 2, Rented: true}, 1},
		{Query{Devices: 3, Rented: true}, 0}} {
		if r := b.Match(c.q, now); len(r.Candidates) != c.want {
			t.Errorf("%+v: %d candidates", c.q, len(r.Candidates))
		}
	}
}
