package db_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/dbtest"
)

// TestLeases_FloodOnAStrangersChannel: so many leases that strangers sign for a channel that is not theirs leave its
// own leases their room, and are named foreign at once.
func TestLeases_FloodOnAStrangersChannel(t *testing.T) {
	t.Parallel()
	d, err := db.Open(t.Context(), filepath.Join(t.TempDir(), "index.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c := account(1, 1, 1, 100)
	var list []db.Lease
	for n := range 10_002 {
		l := lease(n, c, 1, int64(-n))
		l.Customer, l.Ready = nodeOf(9).String(), 0 // the channel's key signed for another one
		list = append(list, l)
	}
	apply(t, d, start, db.Change{Channels: []db.Channel{c}})
	refused := 0
	for part := range slices.Chunk(list, 500) {
		refused += apply(t, d, start, db.Change{Leases: part}).Refused
	}
	honest := lease(20_000, c, 100, 5)
	if a := apply(t, d, start, db.Change{Leases: []db.Lease{honest}}); a.Refused != 0 || refused != 2 {
		t.Errorf("%d of the flood were refused; then: %+v", refused, a)
	}
	if got, err := d.Lease(t.Context(), honest.ID); err != nil || got.Settled != db.SettledCovered {
		t.Errorf("%v: %+v", err, got)
	}
	if got, err := d.Lease(t.Context(), list[5].ID); err != nil || got.Settled != db.SettledForeign {
		t.Errorf("%v: %+v", err, got)
	}
}

// TestLeases_FloodOfNoChannel: leases without a channel have room for so many; one that a channel stands for is written
// all the same, and what is forgotten changes the answers' tag.
func TestLeases_FloodOfNoChannel(t *testing.T) {
	t.Parallel()
	at := filepath.Join(t.TempDir(), "index.db")
	d, err := db.Open(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c, none := account(1, 1, 1, 100), account(2, 1, 1, 0)
	apply(t, d, start, db.Change{Channels: []db.Channel{c}, Leases: []db.Lease{lease(1, none, 1, 0)}})
	raw, err := sql.Open("sqlite", at)
	if err != nil {
		t.Fatal(err)
	}
	_, err = raw.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
		INSERT INTO leases SELECT 'made' || i, class, mint, devices, rate, provider, customer, 'none' || i, payer,
		payee, accepted_at, ready_at, ended_at, billable_ms, amount, code, fault, outputs, bind, by_provider,
		by_customer, first_at, wanted_at, settled FROM leases, n`)
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	honest, another := lease(2, c, 100, 0), lease(3, none, 1, 0)
	if a := apply(t, d, start, db.Change{Leases: []db.Lease{honest, another}}); a.Refused != 1 || a.Leases != 1 {
		t.Errorf("%+v", a)
	}
	if got, err := d.Lease(t.Context(), honest.ID); err != nil || got.Settled != db.SettledCovered {
		t.Errorf("%v: %+v", err, got)
	}
	tag := d.Tag("signed")
	apply(t, d, start.Add(49*time.Hour), db.Change{Leases: []db.Lease{honest}})
	if got, err := d.Leases(t.Context(), db.LeaseQuery{Limit: 9}); err != nil || len(got) != 1 ||
		d.Tag("signed") == tag {
		t.Errorf("two days later: %v, %d leases, tag %s after %s", err, len(got), d.Tag("signed"), tag)
	}
}

// TestTag_AfterANewStart: an index that was opened anew has other tags, though it changed as often as before.
func TestTag_AfterANewStart(t *testing.T) {
	t.Parallel()
	dbtest.Both(t, func(t *testing.T, d *db.DB, at string) {
		apply(t, d, start, db.Change{Rigs: []db.Rig{rig(1, 1, "a", 5, 1, 1)}})
		tag, epoch := d.Tag("gossip"), d.Epoch()
		again, err := db.Open(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		apply(t, again, start, db.Change{Rigs: []db.Rig{rig(1, 2, "a", 7, 1, 1)}})
		if again.Tag("gossip") == tag || again.Epoch() != epoch {
			t.Error(fmt.Sprint("two states have one tag: ", tag))
		}
	})
}

// TestRigs_Forgotten: of providers that are gone so many stay, those that went last, and all that were paid.
func TestRigs_Forgotten(t *testing.T) {
	t.Parallel()
	at := filepath.Join(t.TempDir(), "index.db")
	d, err := db.Open(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c := account(1, 1, 1, 100)
	paid, first, live := rig(1, 1, "a", 5, 1, 1), rig(2, 1, "a", 5, 1, 1), rig(3, 1, "a", 5, 1, 1)
	paid.Peer, paid.ExpiresAt, first.ExpiresAt = nodeOf(2).String(), start.UnixMilli()-9, start.UnixMilli()-8
	apply(t, d, start, db.Change{Channels: []db.Channel{c}, Leases: []db.Lease{lease(1, c, 100, 0)},
		Rigs: []db.Rig{paid, first, live}, Probes: []db.Probe{{Peer: first.Peer, At: 5}}})
	raw, err := sql.Open("sqlite", at)
	if err != nil {
		t.Fatal(err)
	}
	_, err = raw.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
		INSERT INTO rigs SELECT 'made' || i, 1, raw, 1, 1, 5 + i, 0, '', '', '', 1, 1, 0, 0, 0 FROM n, rigs
		WHERE peer = $1`, first.Peer)
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	apply(t, d, start, db.Change{Rigs: []db.Rig{rig(4, 1, "a", 5, 1, 1)}})
	for peer, stays := range map[string]bool{paid.Peer: true, first.Peer: true, live.Peer: true, "made1": false,
		"made2": false, "made3": true, "made100000": true} {
		if _, err := d.Rig(t.Context(), peer); (err == nil) != stays {
			t.Errorf("%s: %v", peer, err)
		}
	}
}

// TestWants_Forgotten: of Wants that are over so many stay, those that ended last; live ones all stay.
func TestWants_Forgotten(t *testing.T) {
	t.Parallel()
	at := filepath.Join(t.TempDir(), "index.db")
	d, err := db.Open(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	now := start.UnixMilli()
	want := db.Want{Customer: "a", Seq: 1, Classes: []string{"a"}, Devices: 1, Mint: sol, Began: now,
		Until: now + 60_000}
	apply(t, d, start, db.Change{Wants: []db.Want{want}})
	raw, err := sql.Open("sqlite", at)
	if err != nil {
		t.Fatal(err)
	}
	_, err = raw.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100003)
		INSERT INTO wants SELECT 'made' || i, 0, began_at, class, 1, 0, 1, classes, 1, mint, rate, 0,
		until_at - 600000 + i FROM n, wants`)
	if err != nil {
		t.Fatal(err)
	}
	want.Customer = "b"
	apply(t, d, start, db.Change{Wants: []db.Want{want}})
	var over int
	err = raw.QueryRow("SELECT COUNT(*) FROM wants WHERE live = 0 AND customer NOT IN ('made1', 'made2', 'made3')").
		Scan(&over)
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	if list, listErr := d.Wants(t.Context(), db.WantQuery{AfterSlot: -1, Limit: 9}); err != nil || listErr != nil ||
		over != 100_000 || len(list) != 2 {
		t.Errorf("%v, %v: %d that are over, %d live", err, listErr, over, len(list))
	}
}
