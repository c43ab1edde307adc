package spec

import (
	"regexp"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
)

// Limits of lists, and the least share of a core in milli-cores: rigs lend small ones, too.
const (
	maxLabels  = 16
	maxExclude = 64 // exclude patterns of an input, providers of a placement
	minCPU     = 100
)

const (
	schemaID  = "gpuai.job/v1"
	wantName  = "1 to 40 of a-z, 0-9 and -"
	wantImage = "an image name as in pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime"
)

var (
	jobName   = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)
	sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// key is one key of the job file. Decoding, writing, flag, help, docs and JSON Schema follow from this row: a new key
// is a field of File and its row.
type key struct {
	name    string
	about   string // for people
	example string // its value in the example of the help, as YAML; "": the example goes without it
	flag    Flag   // zero: it has none
	value   value
}

// keys is the table of a job file's keys, bound to f.
func (f *File) keys() []key {
	return []key{
		{"schema", "the form of this file", schemaID, Flag{}, oneOf(&f.Schema, schemaID)},
		{"name", "a name for ps and stop", "train", Flag{Name: "name"},
			text(&f.Name, wantName, jobName.String(), checkName)},
		{"kind", "what becomes of it", "", Flag{}, oneOf(&f.Kind, "batch")},
		{"profile", "how it is confined", "", Flag{}, oneOf(&f.Profile, "standard")},
		{"image", "the container image; needed", "pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime",
			Flag{Name: "image", Word: true}, text(&f.Image, wantImage, "", checkImage)},
		{"command", "replaces the image's ENTRYPOINT", "", Flag{}, phrase(&f.Command, maxWords)},
		{"args", "replaces the image's CMD", "[python, src/train.py]", Flag{Name: "args", Word: true},
			phrase(&f.Args, maxWords)},
		{"workdir", "folder in the container", "/workspace", Flag{Name: "workdir", Short: "w"},
			text(&f.Workdir, "an absolute path, not under /proc, /sys or /dev", "^/", checkWorkdir)},
		{"env", "the provider can read it: no secrets", `{EPOCHS: "3"}`,
			Flag{Name: "env", Short: "e", Usage: "NAME=VALUE; the provider can read it"},
			pairs(&f.Env, maxEnv, checkEnv)},
		{"init", "exec: the image's own program is process 1", "", Flag{}, oneOf(&f.Init, "supervise", "exec")},
		{"gpu", "none, any, MODEL, MODEL:COUNT, or these", "",
			Flag{Name: "gpu", Place: true, Usage: "MODEL[:N], any or none; repeat for any of several"}, f.GPU.value()},
		{"cpu", "cores, at least", "4", Flag{Name: "cpu", Place: true}, cores(&f.CPUMilli)},
		{"memory", "at least, as in 8GiB", "16GiB", Flag{Name: "memory", Place: true},
			size(&f.Memory, 64<<20, 8<<40, "64MiB to 8TiB")},
		{"disk", "at least, as in 20GiB", "40GiB", Flag{Name: "disk", Place: true},
			size(&f.Disk, 1<<30, 64<<40, "1GiB to 64TiB")},
		{"shm", "shared memory", "4GiB", Flag{Name: "shm"},
			f.shm()},
		{"inputs", "copied in before the start", "",
			Flag{Name: "in", Usage: "SRC:/workspace/…, copied in before the start"},
			items(&f.Inputs, maxPaths, Source{}, (*Source).keys, splitInput, "from", "to")},
		{"outputs", "brought home at the end", "", Flag{Name: "out",
			Usage: "/workspace/…:DST, brought home at the end"},
			items(&f.Outputs, maxPaths, Output{When: "always"}, (*Output).keys, splitOutput, "path")},
		{"egress", "what the job may reach: none, web or any", "web", Flag{Name: "egress", Place: true},
			egress(&f.Egress)},
		{"stop", "how it is told to end", "", Flag{}, mapping(
			key{"signal", "the signal that asks it to end", "TERM", Flag{}, oneOf(&f.StopSignal, signals...)},
			key{"stop_grace", "time between the stop signal and the kill", "30s", Flag{Name: "stop-grace"},
				duration(&f.StopGrace, 0, 5*time.Minute, "0s to 300s")})},
		{"limits", "what it may cost and how long it may last", "", Flag{}, mapping(f.Limits.keys()...)},
		{"placement", "where it may run", "", Flag{}, mapping(f.Placement.keys()...)},
		{"retry", "times that it is placed anew after a provider's loss", "", Flag{Name: "retry"},
			count(&f.Retry, 0, 3, "0 to 3")},
		{"labels", "your own words about it, for ps --label", "{project: demo}",
			Flag{Name: "label", Usage: "NAME=VALUE, your own words about it, for ps --label"},
			pairs(&f.Labels, maxLabels, checkLabel)},
		{"outcome", "when it is over: public tells what was leased and how it ended, private nobody", "", Flag{
			Name: "outcome", Usage: "public or private: whether everybody is told what was leased and how it ended"},
			oneOf(&f.Outcome, "public", OutcomePrivate)},
	}
}

func (l *FileLimits) keys() []key {
	const week, month = 7 * 24 * time.Hour, 30 * 24 * time.Hour
	return []key{
		{"max_rate", "SOL per device and hour, at most", "0.003/h", Flag{Name: "max-rate", Place: true},
			rate(&l.MaxRate)},
		{"max_total", "SOL for this order, at most", `"0.02"`, Flag{Name: "max-total"}, amount(&l.MaxTotal)},
		{"max_duration", "end it after, as in 10h", "10h", Flag{Name: "max-duration"},
			duration(&l.MaxDuration, time.Minute, month, "1m to 30d")},
		{"idle_stop", "end it after so long without output or an exec of yours", "", Flag{Name: "idle-stop"},
			duration(&l.IdleStop, 5*time.Minute, month, "at least 5m")},
		{"ttl", "end the order so long after it was placed, wherever it stands", "", Flag{Name: "ttl"},
			duration(&l.TTL, time.Minute, 3*month, "1m to 90d")},
		{"wait", "wait so long for a rig that fits, as in 2h", "", Flag{Name: "wait"},
			duration(&l.Wait, time.Minute, week, "1m to 7d")},
		{"start_timeout", "give up if it is not ready by then", "15m", Flag{Name: "start-timeout"},
			duration(&l.StartTimeout, time.Second, 24*time.Hour, "1s to 24h")},
		{"away", "how far to pay ahead while this computer sleeps; 0s = not", "15m", Flag{Name: "away"},
			duration(&l.Away, 0, market.MaxAway, "at most 24h")},
	}
}

func (p *Placement) keys() []key {
	return []key{
		{"where", "more terms, as in 'net_down >= 100Mbit/s'", `"net_down >= 100Mbit/s"`,
			Flag{Name: "where", Place: true}, terms(&p.Where)},
		{"providers", "only these nodes", "", Flag{Name: "provider", Place: true,
			Usage: "only this node, by its id or the end of it"}, nodes(&p.Providers, maxExclude)},
		{"exclude", "never these nodes", "", Flag{Name: "exclude", Place: true, Usage: "never this node"},
			nodes(&p.Exclude, maxExclude)},
		{"sort", "who comes first of those that fit: price, unless you say another", "",
			Flag{Name: "sort", Place: true, Usage: market.WantSort}, ranking(&p.Sort)},
		{"want", "while it waits: public tells the market which devices, private nobody", "", Flag{Name: "want",
			Usage: "public or private: whether the market is told which devices --wait waits for"},
			oneOf(&p.Want, "public", WantPrivate)},
	}
}

func (g *GPU) keys() []key {
	return []key{
		{"any_of", "models, any of them", "[rtx-4090, rtx-3090]", Flag{}, models(&g.AnyOf)},
		{"count", "how many", "1", Flag{}, count(&g.Count, 1, market.MaxDevices, "1 to 64")},
		{"vram", "at least, as in 24GiB", "24GB", Flag{Name: "vram", Place: true}, minimum(&g.Terms, market.FieldVRAM)},
		{"cuda", "at least, as in 12.4", "", Flag{Name: "cuda", Place: true}, minimum(&g.Terms, market.FieldCUDA)},
		{"cc", "compute capability, at least, as in 8.9", "", Flag{}, minimum(&g.Terms, market.FieldCC)},
	}
}

func (s *Source) keys() []key {
	return []key{
		{"from", "a local path, relative to this file", "./src", Flag{}, localPath(&s.From)},
		{"to", "its place in the job", "/workspace/src", Flag{}, inWorkspace(&s.To)},
		{"exclude", "patterns of names that stay here", `["*.pyc"]`, Flag{}, phrase(&s.Exclude, maxExclude)},
		{"sha256", "of a single file, checked before it is sent", "", Flag{},
			text(&s.SHA256, "64 hex digits", sha256Hex.String(), checkSHA256)},
	}
}

func (o *Output) keys() []key {
	return []key{
		{"path", "a path in the job", "/workspace/out", Flag{}, inWorkspace(&o.Path)},
		{"to", "a local path, relative to this file", "./out", Flag{}, localPath(&o.To)},
		{"when", "success: only of a job that ended by itself with exit code 0", "always", Flag{},
			oneOf(&o.When, WhenSuccess, "always")},
	}
}

// splitInput reads SRC:/workspace/…; the colon that counts is the one before /workspace, since local paths may hold
// colons.
func splitInput(s string) (*node, *Fault) {
	i := strings.LastIndex(s, ":"+Workspace)
	if i < 0 {
		i = strings.LastIndexByte(s, ':')
	}
	if i < 0 {
		return nil, &Fault{Code: market.CodeSpecFormat, Got: cut(s, 80), Want: "SRC:/workspace/…",
			Fix: "write " + cut(s, 80) + ":" + Workspace + "/…"}
	}
	return object("from", word(s[:i]), "to", word(s[i+1:])), nil
}

// splitOutput reads /workspace/…[:DST].
func splitOutput(s string) (*node, *Fault) {
	path, to, ok := strings.Cut(s, ":")
	if !ok {
		return object("path", word(path)), nil
	}
	return object("path", word(path), "to", word(to)), nil
}

// shm is a quarter of the memory where a file does not say.
func (f *File) shm() value {
	v := size(&f.Shm, 0, 4<<40, "at most half of memory")
	v.write = func() *node {
		if f.Shm == 0 || f.Shm == f.Memory/4 {
			return nil
		}
		return exactly(f.Shm, bytesScale)
	}
	return v
}

func checkName(s string) *Fault {
	if !jobName.MatchString(s) {
		return &Fault{Code: market.CodeSpecFormat, Got: cut(s, 64), Want: wantName}
	}
	return nil
}

func checkImage(s string) *Fault {
	if _, err := ParseReference(s); err != nil {
		return &Fault{Code: market.CodeSpecImage, Got: cut(s, 80), Want: wantImage}
	}
	return nil
}

func checkSHA256(s string) *Fault {
	if !sha256Hex.MatchString(s) {
		return &Fault{Code: market.CodeSpecFormat, Got: cut(s, 64), Want: "64 hex digits"}
	}
	return nil
}

func checkLabel(k, v string) *Fault {
	if k == "" || len(k) > 32 || len(v) > 64 || strings.Contains(k, "=") {
		return &Fault{Code: market.CodeSpecRange, Got: cut(k, 40),
			Want: "a name of at most 32 bytes without = and a value of at most 64 bytes"}
	}
	return nil
}
