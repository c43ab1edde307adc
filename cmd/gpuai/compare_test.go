package main

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/node/indexer"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/indextest"
	"github.com/gpuai/gpuai/node/indexer/public"
)

// TestCompare_ExitSaysWhetherTheyAgree: two indexers that agree are exit 0; one that tells another amount is exit 1,
// and the channel is named, also where no ledger answers.
func TestCompare_ExitSaysWhetherTheyAgree(t *testing.T) {
	d, err := db.Open(t.Context(), filepath.Join(t.TempDir(), "index.db"))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-10 * time.Minute).Truncate(time.Hour)
	if _, err := indextest.Fill(t.Context(), d, "localnet", at); err != nil {
		t.Fatal(err)
	}
	m := public.New(public.Config{Index: d, Network: "localnet", Since: at}, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { m.Close(); _ = d.Close() })
	honest, forged := httptest.NewServer(m), httptest.NewServer(http.HandlerFunc(forgedChannel(m)))
	t.Cleanup(honest.Close)
	t.Cleanup(forged.Close)
	b := newBed(t)
	t.Setenv("GPUAI_SOLANA_RPC", "http://127.0.0.1:1") // nobody is there
	for _, c := range []struct {
		with  string
		exit  int
		agree bool
	}{{honest.URL, 0, true}, {forged.URL, 1, false}} {
		code, out, errOut := b.run("", "--json", "indexer", "compare", honest.URL, c.with)
		var got indexer.Comparison
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatalf("exit %d, %v: %s%s", code, err, out, errOut)
		}
		if code != c.exit || got.Agrees != c.agree || got.Channels == nil || (got.Channels.Key == "") != c.agree ||
			(got.ChainFault == "") != c.agree {
			t.Errorf("with %s: exit %d, %+v, %s", c.with, code, got, errOut)
		}
	}
}

// forgedChannel answers as h does, but for one digit of the first channel's deposit.
func forgedChannel(h http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/export/channels.csv") {
			h.ServeHTTP(w, r)
			return
		}
		r.Header.Del("Accept-Encoding") // what is compressed cannot be changed
		got := httptest.NewRecorder()
		h.ServeHTTP(got, r)
		lines := strings.SplitAfter(got.Body.String(), "\n")
		for i, name := range strings.Split(strings.TrimSpace(lines[0]), ",") {
			if name == "deposit" {
				cells := strings.Split(lines[2], ",")
				cells[i] = "1" + cells[i]
				lines[2] = strings.Join(cells, ",")
			}
		}
		w.WriteHeader(got.Code)
		_, _ = w.Write([]byte(strings.Join(lines, "")))
	}
}
