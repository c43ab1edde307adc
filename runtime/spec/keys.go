package spec

import (
	"fmt"
	"regexp"
	"time"

	"github.com/gpuai/gpuai/market"
)

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

const (
	maxLabels  = 16
	maxExclude = 64 // exclude patterns of an input, providers of a placement
)

// top is the table of a job file's keys.
func (d *decoder) top() []field {
	f := &d.file
	return []field{
		{"schema", d.text(&f.Schema, func(s string) *Fault { return checkOneOf(s, "gpuai.job/v1") })},
		{"name", d.text(&f.Name, checkName)},
		{"kind", d.text(&f.Kind, func(s string) *Fault { return checkOneOf(s, "batch") })},
		{"profile", d.text(&f.Profile, func(s string) *Fault { return checkOneOf(s, "standard") })},
		{"image", d.text(&f.Image, checkImage)},
		{"command", d.words(&f.Command, maxWords)},
		{"args", d.words(&f.Args, maxWords)},
		{"workdir", d.text(&f.Workdir, checkWorkdir)},
		{"env", d.strings(&f.Env, maxEnv, checkEnv)},
		{"init", d.text(&f.Init, func(s string) *Fault { return checkOneOf(s, "supervise", "exec") })},
		{"gpu", d.gpu},
		{"cpu", d.scalar(d.cpu)},
		{"memory", d.size(&f.Memory, 64<<20, 8<<40, "64MiB to 8TiB")},
		{"disk", d.size(&f.Disk, 1<<30, 64<<40, "1GiB to 64TiB")},
		{"shm", d.size(&f.Shm, 0, 4<<40, "at most half of memory")},
		{"inputs", d.list(maxPaths, false, d.input)},
		{"outputs", d.list(maxPaths, false, d.output)},
		{"egress", d.scalar(d.egress)},
		{"stop", func(n *node, at string) {
			d.object(n, at, []field{
				{"signal", d.text(&f.StopSignal, func(s string) *Fault { return checkOneOf(s, signals...) })},
				{"stop_grace", d.duration(&f.StopGrace, 0, 5*time.Minute, "0s to 300s")},
			})
		}},
		{"limits", d.limits},
		{"placement", d.placement},
		{"retry", d.scalar(d.retry)},
		{"labels", d.strings(&f.Labels, maxLabels, checkLabel)},
	}
}

func checkName(s string) *Fault {
	if !jobName.MatchString(s) {
		return &Fault{Code: "spec-format", Got: cut(s, 64), Want: "1 to 40 of a-z, 0-9 and -"}
	}
	return nil
}

func checkImage(s string) *Fault {
	if _, err := ParseReference(s); err != nil {
		return &Fault{Code: "spec-image", Got: cut(s, 80),
			Want: "an image name as in pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime"}
	}
	return nil
}

func checkLabel(k, v string) *Fault {
	if k == "" || len(k) > 32 || len(v) > 64 {
		return &Fault{Code: "spec-range", Got: cut(k, 40), Want: "a name of at most 32 and a value of at most 64 bytes"}
	}
	return nil
}

// minCPU is the least share of a core that a job may ask for, in milli-cores: rigs lend small ones, too.
const minCPU = 100

func (d *decoder) cpu(s string) *Fault {
	v, err := market.ParseValue(market.FieldCPU, s)
	if err != nil || v < minCPU || v > 1024_000 {
		return &Fault{Code: "spec-range", Got: cut(s, 20), Want: "0.1 to 1024 cores, without a unit"}
	}
	d.file.CPUMilli = uint32(v)
	return nil
}

func (d *decoder) egress(s string) *Fault {
	v, err := market.ParseValue(market.FieldEgress, s)
	if err != nil {
		return checkOneOf(s, "none", "web", "any")
	}
	d.file.Egress = uint8(v)
	return nil
}

func (d *decoder) retry(s string) *Fault {
	n, ok := parseCount(s, 0, 3)
	if !ok {
		return &Fault{Code: "spec-range", Got: cut(s, 20), Want: "0 to 3"}
	}
	d.file.Retry = n
	return nil
}

// gpu reads "rtx-4090:2" or {any_of, count, vram, cuda, cc}.
func (d *decoder) gpu(n *node, at string) {
	if n.kind == nodeScalar {
		g, fault := parseGPU(n.text)
		d.file.GPU = g
		d.add(n, at, fault)
		return
	}
	g := GPU{Count: 1}
	term := func(id market.FieldID) func(*node, string) {
		return d.scalar(func(s string) *Fault {
			t, fault := minimum(id, s)
			if fault == nil {
				g.Terms = append(g.Terms, t)
			}
			return fault
		})
	}
	d.object(n, at, []field{
		{"any_of", d.list(market.MaxTermValues, true, d.scalar(func(s string) *Fault {
			one, fault := parseGPU(s)
			if fault == nil && (one.None || one.Count != 1) {
				fault = &Fault{Code: "spec-format", Got: cut(s, 40), Want: "a model without a count"}
			}
			g.AnyOf = append(g.AnyOf, one.AnyOf...)
			return fault
		}))},
		{"count", d.scalar(func(s string) *Fault {
			count, ok := parseCount(s, 1, market.MaxDevices)
			if !ok {
				return &Fault{Code: "spec-range", Got: cut(s, 20), Want: "1 to 64"}
			}
			g.Count = count
			return nil
		})},
		{"vram", term(market.FieldVRAM)},
		{"cuda", term(market.FieldCUDA)},
		{"cc", term(market.FieldCC)},
	})
	d.file.GPU = g
}

func (d *decoder) input(n *node, at string) {
	var s Source
	d.object(n, at, []field{
		{"from", d.scalar(func(v string) *Fault {
			if s.From = v; v == "" || len(v) > maxPathBytes {
				return &Fault{Code: "spec-path", Got: cut(v, 64), Want: "a local path of at most 1024 bytes"}
			}
			return nil
		})},
		{"to", d.text(&s.To, checkWorkspace)},
		{"exclude", d.words(&s.Exclude, maxExclude)},
		{"sha256", d.scalar(func(v string) *Fault {
			if !sha256Hex.MatchString(v) {
				return &Fault{Code: "spec-format", Got: cut(v, 64), Want: "64 hex digits"}
			}
			s.SHA256 = v
			return nil
		})},
	})
	if (s.From == "" && !d.has(at+".from")) || (s.To == "" && !d.has(at+".to")) {
		d.add(n, at, &Fault{Code: "spec-required", Want: "from and to"})
	}
	d.file.Inputs = append(d.file.Inputs, s)
}

func (d *decoder) output(n *node, at string) {
	o := Output{When: "always"}
	d.object(n, at, []field{
		{"path", d.text(&o.Path, checkWorkspace)},
		{"to", d.scalar(func(v string) *Fault {
			if o.To = v; v == "" || len(v) > maxPathBytes {
				return &Fault{Code: "spec-path", Got: cut(v, 64), Want: "a local path of at most 1024 bytes"}
			}
			return nil
		})},
		{"when", d.text(&o.When, func(s string) *Fault { return checkOneOf(s, "success", "always") })},
	})
	if o.Path == "" && !d.has(at+".path") {
		d.add(n, at, &Fault{Code: "spec-required", Want: "path"})
	}
	d.file.Outputs = append(d.file.Outputs, o)
}

func (d *decoder) limits(n *node, at string) {
	l := &d.file.Limits
	d.object(n, at, []field{
		{"max_rate", d.scalar(func(s string) (f *Fault) {
			v, err := market.ParseRateSOL(s)
			if err != nil || v == 0 {
				return &Fault{Code: "spec-format", Got: cut(s, 40), Want: "SOL per GPU hour as in 0.003/h"}
			}
			l.MaxRate = v
			return nil
		})},
		{"max_total", d.scalar(func(s string) *Fault {
			v, err := market.ParseSOL(s)
			if err != nil || v == 0 {
				return &Fault{Code: "spec-format", Got: cut(s, 40), Want: "SOL as in 0.02"}
			}
			l.MaxTotal = v
			return nil
		})},
		{"max_duration", d.duration(&l.MaxDuration, time.Minute, 30*24*time.Hour, "1m to 30d")},
		{"idle_stop", d.duration(&l.IdleStop, 5*time.Minute, 30*24*time.Hour, "at least 5m")},
		{"start_timeout", d.duration(&l.StartTimeout, time.Second, 24*time.Hour, "1s to 24h")},
		{"away", d.duration(&l.Away, 0, market.MaxAway, "at most 24h")},
	})
}

func (d *decoder) placement(n *node, at string) {
	p := &d.file.Placement
	nodes := func(to *[]market.NodeID) func(*node, string) {
		return d.list(maxExclude, true, d.scalar(func(s string) *Fault {
			id, err := market.ParseNodeID(s)
			if err != nil {
				return &Fault{Code: "spec-format", Got: cut(s, 64), Want: "a node id, 12D3KooW…"}
			}
			*to = append(*to, id)
			return nil
		}))
	}
	d.object(n, at, []field{
		{"where", d.scalar(func(s string) *Fault {
			terms, err := market.ParseTerms(s)
			if err != nil {
				return &Fault{Code: "spec-format",
					Want: fmt.Sprintf("terms as in vram >= 24GiB (%s)", cut(err.Error(), 160))}
			}
			p.Where = terms
			return nil
		})},
		{"providers", nodes(&p.Providers)},
		{"exclude", nodes(&p.Exclude)},
	})
}
