//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	randv2 "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/public"
)

// Targets of the public API.
const (
	publicP99     = 10 * time.Millisecond
	publicRate    = 2_000.0
	publicReaders = 4 // requests at once
	publicLoad    = 10 * time.Second
)

// benchPublic reads an index of -rows offers over HTTP on loopback: each request another one, so that nothing is
// answered from memory; then one answer again and again, which is.
func benchPublic(ctx context.Context, o options, r *report) error {
	return onBoth(ctx, func(kind string, d *db.DB) error {
		began := time.Now()
		if err := fillOffers(ctx, d, o.rows); err != nil {
			return err
		}
		r.note("%s: %d offers are there after %s", kind, o.rows, time.Since(began).Round(time.Second))
		began = time.Now()
		if _, err := d.Sum(ctx, time.Now()); err != nil {
			return err
		}
		if err := r.add(figure{Name: "public_" + kind + "_sum", Value: millis(time.Since(began)), Unit: "ms",
			OK: true}); err != nil {
			return err
		}
		m := public.New(public.Config{Index: d, Network: "localnet-bench", Since: began}, slog.New(slog.DiscardHandler))
		defer m.Close()
		s := httptest.NewServer(m)
		defer s.Close()
		for _, q := range publicReads(o.rows) {
			took, err := readAll(ctx, s.URL+public.Base, o.queries, q.path)
			if err != nil {
				return err
			}
			p99 := quantile(took, 0.99)
			if err := r.add(figure{Name: "public_" + kind + "_" + q.name + "_p99", Value: millis(p99), Unit: "ms",
				Target: "≤ 10 ms", OK: p99 <= publicP99}); err != nil {
				return err
			}
		}
		rate, err := cachedRate(ctx, s.URL+public.Base+"/summary")
		if err != nil {
			return err
		}
		return r.add(figure{Name: "public_" + kind + "_cached", Value: rate, Unit: "requests/s", Target: "≥ 2000",
			OK: rate >= publicRate})
	})
}

// benchClasses are models of the rigs.
var benchClasses = []string{"rtx-3090", "rtx-4090", "rtx-5090", "a100", "h100", "h200", "l40s", "b200"}

func benchPeer(i int) string { return fmt.Sprintf("12D3KooWbench%039d", i) }

func fillOffers(ctx context.Context, d *db.DB, n int) error {
	rng, now := randv2.New(randv2.NewPCG(1, 2)), time.Now()
	raw := make([]byte, 300)
	for from := 0; from < n; from += indexRound {
		var c db.Change
		for i := from; i < min(from+indexRound, n); i++ {
			class, pay := benchClasses[rng.IntN(len(benchClasses))], fmt.Sprintf("payout%d", i)
			devices := int64(1 + rng.IntN(8))
			c.Rigs = append(c.Rigs, db.Rig{Peer: benchPeer(i), Seq: 1, Raw: raw, Payout: pay, Version: "0.1.0",
				Country: "DE", Devices: devices, Free: devices / 2, ExpiresAt: now.Add(24 * time.Hour).UnixMilli(),
				Lots: []db.Lot{{Mint: public.SOLMint, Class: class, Name: class, Devices: devices, Free: devices / 2,
					Rate: int64(1_000_000 + 1000*rng.IntN(5000)), VRAM: 24 << 30, Country: "DE", Payout: pay,
					Lead: true,
					Head: true}}})
		}
		if _, err := d.Apply(ctx, now, c); err != nil {
			return err
		}
	}
	return nil
}

// publicReads are questions that pages ask; i makes each another one.
func publicReads(n int) []struct {
	name string
	path func(i int) string
} {
	at := func(i int) int { return i * 7919 % n }
	class := func(i int) string { return benchClasses[i%len(benchClasses)] }
	return []struct {
		name string
		path func(i int) string
	}{
		{"offers", func(i int) string {
			return fmt.Sprintf("/offers?slug=%s&max_rate=%d", class(i), 2_000_000+i)
		}},
		{"offers_all", func(i int) string { return fmt.Sprintf("/offers?max_rate=%d", 3_000_000+i) }},
		{"provider", func(i int) string { return "/providers/" + benchPeer(at(i)) }},
		{"providers", func(i int) string { return fmt.Sprintf("/providers?limit=%d", 1+i%200) }},
		{"search", func(i int) string { return "/search?q=" + benchPeer(at(i))[:40] + fmt.Sprint(i%10) }},
	}
}

// readAll asks n different questions, some at once.
func readAll(ctx context.Context, base string, n int, path func(int) string) ([]time.Duration, error) {
	took := make([]time.Duration, n)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: publicReaders}}
	defer client.CloseIdleConnections()
	var next atomic.Int64
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for range publicReaders {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				began := time.Now()
				err := readOne(ctx, client, base+path(i))
				took[i] = time.Since(began)
				if err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return took, failed
}

func readOne(ctx context.Context, client *http.Client, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %d", url, resp.StatusCode)
	}
	return nil
}

// cachedRate asks for one answer as fast as it comes.
func cachedRate(ctx context.Context, url string) (float64, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: publicReaders}}
	defer client.CloseIdleConnections()
	var n atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, publicReaders)
	began := time.Now()
	for w := range publicReaders {
		wg.Go(func() {
			for errs[w] == nil && time.Since(began) < publicLoad {
				errs[w] = readOne(ctx, client, url)
				n.Add(1)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return 0, err
		}
	}
	return float64(n.Load()) / time.Since(began).Seconds(), nil
}
