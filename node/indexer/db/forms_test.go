package db_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/dbtest"
)

// pastForms are those that an index may still have. testdata/formN.sql are rows that came with form N,
// testdata/formN.db is a file as that version wrote it. A new migration needs a row here, and a file:
// GPUAI_WRITE_FIXTURES=1 writes it.
var pastForms = []int{1, 2, 3}

// statements are those that make an index of a form, with its rows.
func statements(t *testing.T, form int, text, raw string) (out []string) {
	t.Helper()
	add := func(path string) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all := strings.NewReplacer("{text}", text, "{raw}", raw).Replace(string(b))
		for s := range strings.SplitSeq(all, ";\n") {
			if strings.TrimSpace(s) != "" {
				out = append(out, s)
			}
		}
	}
	out = append(out, "CREATE TABLE meta (k "+text+" PRIMARY KEY, v "+text+" NOT NULL)",
		fmt.Sprintf("INSERT INTO meta (k, v) VALUES ('schema', '%d')", form))
	for n := 1; n <= form; n++ {
		add(fmt.Sprintf("migrations/%04d.sql", n))
		add(fmt.Sprintf("testdata/form%d.sql", n))
	}
	return out
}

func written(t *testing.T, driver, at string, list []string) {
	t.Helper()
	c, err := sql.Open(driver, at)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		if _, err := c.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%.80s: %v", s, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestForms_AreBroughtUp: an index of each past form opens, and what only it can know is as it was; what the chain can
// tell again may be read anew.
func TestForms_AreBroughtUp(t *testing.T) {
	t.Parallel()
	for _, form := range pastForms {
		t.Run(fmt.Sprintf("sqlite, form %d", form), func(t *testing.T) {
			t.Parallel()
			kept := fmt.Sprintf("testdata/form%d.db", form)
			if os.Getenv("GPUAI_WRITE_FIXTURES") != "" {
				_ = os.Remove(kept) // there may be none
				written(t, "sqlite", kept, append([]string{"PRAGMA page_size = 512"},
					statements(t, form, "TEXT", "x'0001726177'")...))
			}
			b, err := os.ReadFile(kept)
			if err != nil {
				t.Fatal(err)
			}
			at := filepath.Join(t.TempDir(), "index.db")
			if err := os.WriteFile(at, b, 0o600); err != nil {
				t.Fatal(err)
			}
			intact(t, at, form)
		})
		t.Run(fmt.Sprintf("postgres, form %d", form), func(t *testing.T) {
			t.Parallel()
			at := dbtest.Postgres(t)
			written(t, "pgx", at, statements(t, form, `TEXT COLLATE "C"`, `'\x0001726177'`))
			intact(t, at, form)
		})
	}
}

func intact(t *testing.T, at string, form int) {
	t.Helper()
	d, err := db.Open(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	r, err := d.Rig(t.Context(), "peer1")
	if err != nil || r.Seq != 7 || string(r.Raw) != "\x00\x01raw" || !r.Live || r.FirstAt != 1799999000000 ||
		r.RTT != 900 || len(r.Lots) != 1 || r.Lots[0].Rate != 2400000 || r.Lots[0].Class != "rtx-4090" ||
		r.Lots[0].Devices != 4 {
		t.Errorf("%+v, %v", r, err)
	}
	if all, err := d.Rigs(t.Context(), "", 9); err != nil || len(all) != 2 || all[1].Live {
		t.Errorf("%+v, %v", all, err)
	}
	if days, err := d.Uptime(t.Context(), "peer1", 0); err != nil || len(days) != 1 || days[0].Reached != 359 {
		t.Errorf("%+v, %v", days, err)
	}
	wanted := map[bool]int64{true: 1}[form > 1]
	if b, err := d.Buckets(t.Context(), db.MetricAsk, "rtx-4090", db.HourStep, 0, 9); err != nil || len(b) != 1 ||
		b[0].P50 != 2400000 || b[0].Wanted != wanted {
		t.Errorf("%+v, %v", b, err)
	}
	for k, want := range map[string]string{"since": "1799999000000", "refused": "3", "genesis": "GenesisOfDevnet"} {
		if got, err := d.Meta(t.Context(), k); err != nil || got != want {
			t.Errorf("%s is %q, %v", k, got, err)
		}
	}
	if form < 2 {
		return
	}
	l, err := d.Lease(t.Context(), "lease_1")
	if err != nil || l.Amount != 6666 || l.Provider != "peer1" || string(l.ByCustomer) != "\x00\x01raw" ||
		l.WantedAt != 1799999980000 || l.Outputs != "c0ffee" {
		t.Errorf("%+v, %v", l, err)
	}
	if c, err := d.Channel(t.Context(), "channel3"); form > 2 &&
		(err != nil || c.Settled != 640 || c.VoucherKey != "key") {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := d.Cleared(t.Context(), "rtx-4090", sol, 0, 9); err != nil || len(c) != 1 || c[0].Price != 2400000 {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestForms_Latest: each form but the newest is among the past ones.
func TestForms_Latest(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(files) != len(pastForms)+1 {
		t.Errorf("%d migrations, past forms %v, %v", len(files), pastForms, err)
	}
}
