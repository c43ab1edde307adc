package db_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/dbtest"
)

// helperEnv makes this program the one that is killed.
const helperEnv = "GPUAI_TEST_INDEX"

// runHelper writes change after change, and says each that is written.
func runHelper() bool {
	at := os.Getenv(helperEnv)
	if at == "" {
		return false
	}
	ctx := context.Background()
	d, err := db.Open(ctx, at)
	if err != nil {
		fmt.Println(err)
		return true
	}
	cursor, _ := d.Meta(ctx, "n") // 0 if there is none
	n, _ := strconv.Atoi(cursor)
	for ; n < 500; n++ {
		if _, err := d.Apply(ctx, start, nth(n)); err != nil {
			fmt.Println(err)
			return true
		}
		if n%2 == 1 { // prices are made by a transaction of their own
			if _, err := d.Clear(ctx); err != nil {
				fmt.Println(err)
				return true
			}
		}
		fmt.Println("written", n)
	}
	return true
}

// nth is a change that says its number, of every kind of row. Each begins with the last instruction of the one before.
func nth(n int) db.Change {
	tx := func(n int) db.Tx {
		return db.Tx{Sig: fmt.Sprintf("sig%05d", n), Inner: -1, Slot: int64(n) + 1, Result: db.TxOK, Name: "open",
			Channel: "c", At: 5}
	}
	c := account(1, 1, 1, 100*int64(n+1)) // it has paid all leases up to this one
	c.Slot += int64(n)
	return db.Change{
		Leases: []db.Lease{lease(max(n-1, 0), c, 100, int64(max(n, 1))), lease(n, c, 100, int64(n+1))}[bit(n == 0):],
		Wants:  []db.Want{want(1, 0, n, 1, 0, "a"), want(2, n%8, n, int64(1+n), 0, "a")},
		Delays: []db.Delay{{At: start.UnixMilli(), Micros: int64(n)}}, Channels: []db.Channel{c},
		Rigs:    []db.Rig{rig(n, 1, "a", 1, 1, 1), rig(100_000, n+1, "b", 1, 1, 1)},
		Probes:  []db.Probe{{Peer: "peer100000", At: start.UnixMilli() + int64(n), OK: true}},
		Txs:     []db.Tx{tx(n - 1), tx(n)},
		Meta:    map[string]string{"n": strconv.Itoa(n + 1)},
		Buckets: []db.Bucket{hourly(n - 1), hourly(n)}, Digests: []db.Digest{digest(n - 1), digest(n)},
	}
}

func hourly(n int) db.Bucket {
	return db.Bucket{Metric: "told", Key: "a", Mint: db.SOLMint, Step: 3600, N: int64(n),
		At: start.Add(time.Duration(n) * time.Hour).UnixMilli()}
}

func digest(n int) db.Digest {
	return db.Digest{Slot: 1, What: "told", Part: int64(n) + 1, N: 1, Hash: "h"}
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestKill_LosesAndDoublesNothing: the writer is killed after one to four commits, and later in the next
// one each time; what it said it wrote is there, once, and what it had begun is there whole or not at all. Each commit
// holds rows of every kind, and what ends by the clock.
func TestKill_LosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	dbtest.Both(t, func(t *testing.T, d *db.DB, at string) {
		said := -1
		for round := range 12 {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), helperEnv+"="+at)
			out, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			for i := 0; i <= round%4 && lines.Scan(); i++ {
				var n int
				if _, err := fmt.Sscanf(lines.Text(), "written %d", &n); err != nil {
					t.Fatal(lines.Text())
				}
				if n <= said {
					t.Fatalf("it wrote %d after %d", n, said)
				}
				said = n
			}
			time.Sleep(time.Duration(round) * 250 * time.Microsecond) // a commit takes a few milliseconds
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // it was killed
			whole(t, d, said)
		}
	})
}

// whole checks that all rows are of the same number of changes, at least those up to said.
func whole(t *testing.T, d *db.DB, said int) {
	t.Helper()
	ctx := t.Context()
	apply(t, d, start, db.Change{}) // PostgreSQL ends the transaction of one that was killed in its own time
	cursor, err := d.Meta(ctx, "n")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(cursor)
	if err != nil || n <= said {
		t.Fatalf("%v: %d changes, it said %d", err, n, said+1)
	}
	txs, err := d.Txs(ctx, "c", db.Tx{}, 10_000)
	if err != nil || len(txs) != n+1 { // and the one before the first
		t.Errorf("%v: %d instructions after %d changes", err, len(txs), n)
	}
	rigs, err := d.Rigs(ctx, "", 10_000)
	if err != nil || len(rigs) != n+1 {
		t.Errorf("%v: %d rigs after %d changes", err, len(rigs), n)
	}
	if r, err := d.Rig(ctx, "peer100000"); err != nil || r.Seq != int64(n) || len(r.Lots) != 1 {
		t.Errorf("%v: seq %d, %d lots after %d changes", err, r.Seq, len(r.Lots), n)
	}
	up, err := d.Uptime(ctx, "peer100000", 0)
	if err != nil || len(up) != 1 || up[0].Probes != int64(n) {
		t.Errorf("%v: %v probes after %d changes", err, up, n)
	}
	leases, err := d.Leases(ctx, db.LeaseQuery{Limit: 10_000})
	if err != nil || len(leases) != n || leases[0].Settled != db.SettledCovered ||
		leases[n-1].Settled != db.SettledCovered {
		t.Errorf("%v: %d leases after %d changes", err, len(leases), n)
	}
	var trades int64
	for _, h := range clear(t, d) {
		trades += h.N
	}
	if trades != 2*int64(n) { // each ran in two hours
		t.Errorf("%d leases in the hours after %d changes", trades, n)
	}
	buckets, err := d.Buckets(ctx, "told", "a", 3600, 0, 10_000)
	if err != nil || len(buckets) != n+1 {
		t.Errorf("%v: %d sums of hours after %d changes", err, len(buckets), n)
	}
	digests, err := d.Digests(ctx, "told", 1)
	if err != nil || len(digests) != n+1 {
		t.Errorf("%v: %d digests after %d changes", err, len(digests), n)
	}
	m := sum(t, d, start)
	if m.Delay.N != int64(n) || len(m.Bids) != 1 || m.Bids[0].N != int64(min(n, 8)+1) {
		t.Errorf("after %d changes: %+v, %+v", n, m.Delay, m.Bids)
	}
	rows, floor, last, err := d.Events(ctx, 0, 10_000)
	if want := 5*n + 1; err != nil || len(rows) != want || floor != 0 || last != uint64(want) {
		t.Errorf("%v: %d events, last %d, want %d", err, len(rows), last, want)
	}
	for i, e := range rows {
		if e.Seq != uint64(i)+1 {
			t.Fatalf("event %d has the number %d", i, e.Seq)
		}
	}
}
