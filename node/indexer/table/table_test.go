package table

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

type row struct {
	Name   string `parquet:"name"`
	At     int64  `parquet:"at,timestamp(millisecond)"`
	Amount int64  `parquet:"amount"`
	Known  int64  `parquet:"known,optional"`
	more
}

type more struct {
	Live bool `parquet:"live"`
}

func rows(n int) (out []row) {
	for i := range n {
		out = append(out, row{"name", 1_800_000_000_123 + int64(i), math.MaxInt64 - int64(i), int64(i % 3),
			more{i%2 == 0}})
	}
	return out
}

func written(t *testing.T, w Writer[row], parts ...[]row) {
	t.Helper()
	for _, p := range parts {
		if err := w.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCSV_IsHarmless: no cell of a text begins a formula; numbers below zero stay numbers, what is not known is empty.
func TestCSV_IsHarmless(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w, err := NewCSV[row](&b)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", `a"b,c`, "plain", ""}
	var in []row
	for _, n := range names {
		in = append(in, row{Name: n, At: 1_800_000_000_123, Amount: -7, more: more{true}})
	}
	written(t, w, in)
	got, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(got) != len(names)+1 ||
		!slices.Equal(got[0], []string{"name", "at", "amount", "known", "live"}) {
		t.Fatalf("%v, %v", got, err)
	}
	for i, r := range got[1:] {
		if r[0] != "" && strings.ContainsAny(r[0][:1], "=+-@\t\r\n") {
			t.Errorf("%q is a formula", r[0])
		}
		if strings.TrimPrefix(r[0], "'") != strings.ReplaceAll(names[i], "\r\n", "\n") ||
			!slices.Equal(r[1:], []string{"2027-01-15T08:00:00.123Z", "-7", "", "true"}) {
			t.Errorf("%q of %q", r, names[i])
		}
	}
}

// TestParquet_ForeignReader: a reader of others gets what was written, over several groups. It needs Node.js and
// `npm ci` in testdata/reader; GPUAI_NEED with "hyparquet" makes their lack a failure.
func TestParquet_ForeignReader(t *testing.T) {
	t.Parallel()
	at := filepath.Join(t.TempDir(), "rows.parquet")
	f, err := os.Create(at)
	if err != nil {
		t.Fatal(err)
	}
	want := rows(2*groupRows + 5)
	written(t, NewParquet[row](f), want[:10], want[10:groupRows+9], want[groupRows+9:], nil)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	own, err := parquet.ReadFile[row](at)
	if err != nil || !slices.Equal(own, want) {
		t.Fatalf("%d rows, %v", len(own), err)
	}
	_, err = os.Stat("testdata/reader/node_modules/hyparquet")
	node, noNode := exec.LookPath("node")
	if err != nil || noNode != nil {
		if slices.Contains(strings.Split(os.Getenv("GPUAI_NEED"), ","), "hyparquet") {
			t.Fatalf("GPUAI_NEED asks for it: %v, %v", err, noNode)
		}
		t.Skip("no reader of others: npm ci in node/indexer/table/testdata/reader")
	}
	out, err := exec.CommandContext(t.Context(), node, "testdata/reader/read.mjs", at).Output()
	if err != nil {
		t.Fatal(err)
	}
	sc, n := bufio.NewScanner(bytes.NewReader(out)), 0
	for sc.Scan() {
		var r struct {
			Name, At, Amount string
			Known            *string
			Live             bool
		}
		if err := json.Unmarshal(sc.Bytes(), &r); err != nil {
			t.Fatalf("%s: %v", sc.Text(), err)
		}
		w := want[n]
		known := w.Known != 0 && r.Known != nil && *r.Known == string(rune('0'+w.Known)) ||
			w.Known == 0 && r.Known == nil
		if r.Name != w.Name || !known || r.Live != w.Live || json.Number(r.Amount).String() != amount(w.Amount) ||
			!strings.HasPrefix(r.At, "2027-01-15T08:00:") {
			t.Fatalf("row %d: %s, want %+v", n, sc.Text(), w)
		}
		n++
	}
	if n != len(want) || sc.Err() != nil {
		t.Errorf("%d rows of %d, %v", n, len(want), sc.Err())
	}
}

func amount(v int64) string {
	b, _ := json.Marshal(v) // of a number
	return string(b)
}

// TestParquet_Broken: a writer that fails is an error, and a file without its end is none.
func TestParquet_Broken(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w := NewParquet[row](&b)
	if err := w.Write(rows(groupRows)); err != nil {
		t.Fatal(err)
	}
	cut := bytes.NewReader(b.Bytes())
	if _, err := parquet.OpenFile(cut, cut.Size()); err == nil {
		t.Error("a file without its footer is taken")
	}
}
