package spec

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/gpuai/gpuai/market"
)

// anyFile draws a job that a file can say.
func anyFile(t *rapid.T) File {
	word := rapid.StringN(1, 20, 200).Filter(func(s string) bool { return !strings.ContainsRune(s, 0) })
	words := rapid.SliceOfN(word, 0, 4)
	f := NewFile("127.0.0.1:5000/gpuai/sample:v1")
	f.Name = rapid.StringMatching(`[a-z0-9-]{1,40}`).Draw(t, "name")
	f.Command, f.Args = words.Draw(t, "command"), words.Draw(t, "args")
	f.Env = rapid.MapOfN(rapid.StringMatching(`[A-Z_][A-Z0-9_]{0,9}`).Filter(func(s string) bool {
		return checkEnv(s, "") == nil
	}), word, 0, 3).Draw(t, "env")
	f.Init = rapid.SampledFrom([]string{"supervise", "exec"}).Draw(t, "init")
	f.GPU = rapid.Custom(func(t *rapid.T) GPU {
		g := GPU{None: rapid.Bool().Draw(t, "none")}
		if g.None {
			return g
		}
		g.Count = rapid.IntRange(1, 64).Draw(t, "count")
		g.AnyOf = rapid.SliceOfN(rapid.SampledFrom([]string{"rtx-4090", "h100", "t4"}), 0, 3).Draw(t, "any_of")
		if rapid.Bool().Draw(t, "vram?") {
			g.Terms = append(g.Terms,
				market.Term{Field: market.FieldVRAM, Lo: rapid.Uint64Range(1, 1<<20).Draw(t, "vram")})
		}
		if rapid.Bool().Draw(t, "cc?") {
			g.Terms = append(g.Terms, market.Term{Field: market.FieldCC, Lo: rapid.Uint64Range(10, 120).Draw(t, "cc")})
		}
		return g
	}).Draw(t, "gpu")
	f.CPUMilli = rapid.Uint32Range(minCPU, 1024_000).Draw(t, "cpu")
	f.Memory, f.Disk = rapid.Uint64Range(64<<20, 8<<40).Draw(t, "memory"),
		rapid.Uint64Range(1<<30, 64<<40).Draw(t, "disk")
	f.Shm = min(rapid.Uint64Range(1, f.Memory/2).Draw(t, "shm"), 4<<40)
	f.Egress = rapid.SampledFrom([]uint8{market.EgressNone, market.EgressWeb, market.EgressAny}).Draw(t, "egress")
	if rapid.Bool().Draw(t, "files") {
		f.Inputs = []Source{{From: word.Draw(t, "from"), To: "/workspace/in", Exclude: words.Draw(t, "exclude")}}
		f.Outputs = []Output{{Path: "/workspace", To: word.Draw(t, "to"), When: "success"}, {Path: "/workspace/b",
			When: "always"}}
	}
	f.StopSignal = rapid.SampledFrom(signals).Draw(t, "signal")
	ms := func(name string, lo, hi int64) time.Duration {
		return time.Duration(rapid.Int64Range(lo, hi).Draw(t, name)) * time.Millisecond
	}
	f.StopGrace = ms("grace", 0, 300_000)
	f.Limits = FileLimits{MaxRate: market.Rate(rapid.Uint64Range(0, uint64(market.MaxRate)).Draw(t, "rate")),
		MaxTotal: market.Amount(rapid.Uint64().Draw(t, "total")), MaxDuration: ms("longest", 60_000, 30*86_400_000),
		StartTimeout: ms("start", 1000, 86_400_000), Away: ms("away", 0, 86_400_000)}
	f.Placement.Where = rapid.SampledFrom([][]market.Term{nil, {{Field: market.FieldNetDown, Lo: 100}},
		{{Field: market.FieldCountry, In: []uint64{'D'<<8 | 'E'}, Not: true},
			{Field: market.FieldDiskRead, Lo: 5, Soft: true}},
	}).Draw(t, "where")
	f.Placement.Sort = rapid.SampledFrom([]market.Sort{{}, {Field: market.FieldRTT},
		{Field: market.FieldMemBW, Each: true}}).Draw(t, "sort")
	f.Retry = rapid.IntRange(0, 3).Draw(t, "retry")
	f.Labels = rapid.MapOfN(rapid.StringMatching(`[a-z]{1,9}`), rapid.StringN(0, 9, 64), 0, 3).Draw(t, "labels")
	return f
}

// TestFile_WrittenAndRead_IsTheSame: what the API and the store carry says all of a job, also to the strict reader.
func TestFile_WrittenAndRead_IsTheSame(t *testing.T) {
	t.Parallel()
	empty := cmpopts.EquateEmpty()
	rapid.Check(t, func(t *rapid.T) {
		f := anyFile(t)
		raw, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		var row File
		if err := json.Unmarshal(raw, &row); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(f, row, empty); d != "" {
			t.Fatalf("%s: %s", raw, d)
		}
		job, faults := ParseFile(raw)
		if len(faults) > 0 {
			t.Fatalf("%s: %v", raw, faults)
		}
		if d := cmp.Diff(f, job, empty); d != "" {
			t.Fatalf("%s: %s", raw, d)
		}
	})
}

// TestFile_Row_KeepsWhatIsRefusedNow: a store outlives the rules, and the version, that its rows were written by.
func TestFile_Row_KeepsWhatIsRefusedNow(t *testing.T) {
	t.Parallel()
	var f File
	err := json.Unmarshal([]byte(`{"schema":"gpuai.job/v1","image":"UPPER","name":"A b","cpu":0.01,"memory":"1MiB",
		"disk":"3B","retry":9,"limits":{"max_duration":"1s","idle_stop":"7d"},"inputs":[{"to":"/etc"}],
		"a_later_key":{"x":[1]},"env":{"NVIDIA_X":"1"},"gpu":{"any_of":"t4","count":65}}`), &f)
	if err != nil {
		t.Fatal(err)
	}
	if f.Image != "UPPER" || f.Name != "A b" || f.CPUMilli != 10 || f.Memory != 1<<20 || f.Disk != 3 || f.Retry != 9 ||
		f.Limits.MaxDuration != time.Second || f.Limits.IdleStop != 168*time.Hour || f.Inputs[0].To != "/etc" ||
		f.Env["NVIDIA_X"] != "1" || f.GPU.Count != 65 || f.GPU.AnyOf[0] != "t4" {
		t.Errorf("%+v", f)
	}
	for _, raw := range []string{"", "{", `{"a":}`, strings.Repeat("[", 100) + strings.Repeat("]", 100)} {
		if err := new(File).UnmarshalJSON([]byte(raw)); err == nil {
			t.Errorf("%q is a job", raw)
		}
	}
}

// TestTable_EveryFieldHasItsKey: a field of File that no key reaches could not be ordered, stored or sent.
func TestTable_EveryFieldHasItsKey(t *testing.T) {
	t.Parallel()
	var walk func(v reflect.Value, at string)
	seen := File{}
	text := func(keys []key) []string {
		var out []string
		for _, k := range keys {
			out = append(out, k.name, k.about)
			if k.about == "" || k.value.want == "" || k.value.schema == nil || k.value.read == nil {
				t.Errorf("%s: the row is not whole", k.name)
			}
		}
		return out
	}
	for _, table := range [][]key{seen.keys(), seen.Limits.keys(), seen.Placement.keys(), seen.GPU.keys(),
		(&Source{}).keys(), (&Output{}).keys()} {
		if names := text(table); len(slices.Compact(slices.Clone(names))) != len(names) {
			t.Errorf("a key twice: %v", names)
		}
	}
	full, faults := ParseFile([]byte(`{"schema":"gpuai.job/v1","name":"n","kind":"batch","profile":"standard",
		"image":"a","command":["c"],"args":["d"],"workdir":"/w","env":{"A":"b"},"init":"exec","gpu":{"any_of":["t4"],
		"count":2,"vram":"1GiB"},"cpu":1,"memory":"1GiB","disk":"1GiB","shm":"1MiB","inputs":[{"from":"f",
		"to":"/workspace/i"}],"outputs":[{"path":"/workspace/o"}],"egress":"any","stop":{"signal":"INT",
		"stop_grace":"1s"},"limits":{"max_rate":"1","max_total":"1","max_duration":"1h","idle_stop":"5m",
		"start_timeout":"1s","away":"1s","ttl":"2h",
		"wait":"1h"},"placement":{"where":"ecc = yes","want":"private",
		"providers":"12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp",
		"exclude":"12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp",
		"sort":"value:fp16"},"retry":1,"labels":{"a":"b"},
		"outcome":"private"}`))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	walk = func(v reflect.Value, at string) {
		for i := range v.NumField() {
			f := v.Field(i)
			switch name := at + v.Type().Field(i).Name; {
			case name == "GPU.None":
			case f.Kind() == reflect.Struct:
				walk(f, name+".")
			case f.IsZero():
				t.Errorf("%s: no key sets it", name)
			}
		}
	}
	walk(reflect.ValueOf(full), "")
}

// TestPages_AreGenerated: docs/reference/job.schema.json and job-file.md follow the table; make docs writes them.
func TestPages_AreGenerated(t *testing.T) {
	t.Parallel()
	page := "# The job file\n\nYAML, or the same as JSON; at most 256 KiB. `gpuai help job-file` shows an example, " +
		"[job.schema.json](job.schema.json)\nis its JSON Schema (`gpuai job schema`, `GET /job/schema`). A flag " +
		"replaces its key. Local paths are relative to the file's folder, those of\nflags to the shell's. Made from " +
		"`runtime/spec/keys.go` by `make docs`.\n\n" + KeyTable()
	for name, want := range map[string]string{"job-file.md": page, "job.schema.json": string(Schema())} {
		path := "../../docs/reference/" + name
		if os.Getenv("GPUAI_WRITE_DOCS") != "" {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("%s is not what the table says (make docs): %v", name, err)
		}
	}
}
