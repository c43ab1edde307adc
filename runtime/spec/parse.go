package spec

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"

	"github.com/gpuai/gpuai/market"
)

// Limits of a Spec and of a job file.
const (
	MaxSpecBytes = 32 << 10  // the Spec inside a Lease
	MaxFileBytes = 256 << 10 // a job file
	maxWords     = 256       // command, args
	maxWordBytes = 8 << 10
	maxEnv       = 256
	maxEnvValue  = 8 << 10
	maxPaths     = 64 // inputs, outputs
	maxPathBytes = 1024
)

// Workspace is the only directory whose files are moved.
const Workspace = "/workspace"

var (
	envName     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
	reservedEnv = []string{"NVIDIA_", "CUDA_VISIBLE_DEVICES", "MELLANOX_", "GPUAI_", "RAY_AUTH_"}
	signals     = []string{"TERM", "INT", "QUIT", "HUP", "USR1", "USR2"}
)

// ParseSpec reads a Spec from a Lease: strict keys, one value, at most 32 KiB, every limit of the job file. Defaults
// are filled in.
// Errors: *market.Error spec-refused.
func ParseSpec(raw []byte) (Spec, error) {
	refuse := func(detail string, err error) (Spec, error) {
		return Spec{}, &market.Error{
			Code: market.CodeSpecRefused, Kind: market.KindInvalid, Op: "read spec", Detail: detail, Err: err,
			Hint: "check the job with gpuai run --dry-run",
		}
	}
	if len(raw) > MaxSpecBytes {
		return refuse(fmt.Sprintf("%d bytes, at most %d", len(raw), MaxSpecBytes), nil)
	}
	var s Spec
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return refuse("no valid JSON", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return refuse("text after the JSON value", nil)
	}
	if faults := s.check(); len(faults) > 0 {
		return refuse(cut(faults[0].Path+": "+faults[0].text(), 256), nil)
	}
	return s.withDefaults(), nil
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// Encode returns the JSON that goes into a Lease. Errors: *market.Error spec-refused above 32 KiB.
func (s Spec) Encode() ([]byte, error) {
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode spec: %w", err)
	}
	if _, err := ParseSpec(raw); err != nil {
		return nil, err
	}
	return raw, nil
}

func (s Spec) withDefaults() Spec {
	if s.Init == "" {
		s.Init = "supervise"
	}
	if s.StopSignal == "" {
		s.StopSignal = "TERM"
	}
	for i := range s.Outputs {
		if s.Outputs[i].When == "" {
			s.Outputs[i].When = "always"
		}
	}
	return s
}

// check returns the faults of a Spec's values; paths are those of the job file.
func (s Spec) check() (f []Fault) {
	add := func(fault *Fault, at string) {
		if fault != nil {
			fault.Path = at
			f = append(f, *fault)
		}
	}
	add(checkWords(s.Command), "command")
	add(checkWords(s.Args), "args")
	add(checkWorkdir(s.Workdir), "workdir")
	add(checkOneOf(s.Init, "", "supervise", "exec"), "init")
	add(checkOneOf(s.StopSignal, append([]string{""}, signals...)...), "stop.signal")
	if len(s.Env) > maxEnv {
		add(&Fault{Code: market.CodeSpecRange, Got: fmt.Sprint(len(s.Env)), Want: "at most 256 variables"}, "env")
	}
	for k, v := range s.Env {
		add(checkEnv(k, v), "env."+cut(k, 64))
	}
	if len(s.Inputs) > maxPaths || len(s.Outputs) > maxPaths {
		add(&Fault{Code: market.CodeSpecRange, Want: "at most 64 inputs and 64 outputs"}, "inputs")
	}
	for i, in := range s.Inputs {
		add(checkWorkspace(in.To), fmt.Sprintf("inputs[%d].to", i))
	}
	for i, out := range s.Outputs {
		add(checkWorkspace(out.Path), fmt.Sprintf("outputs[%d].path", i))
		add(checkOneOf(out.When, "", WhenSuccess, "always"), fmt.Sprintf("outputs[%d].when", i))
	}
	return f
}

func checkWords(words []string) *Fault {
	if len(words) > maxWords {
		return &Fault{Code: market.CodeSpecRange, Got: fmt.Sprint(len(words)), Want: "at most 256 items"}
	}
	for _, w := range words {
		if len(w) > maxWordBytes || strings.ContainsRune(w, 0) {
			return &Fault{Code: market.CodeSpecRange, Got: cut(w, 40), Want: "at most 8 KiB per item, no NUL byte"}
		}
	}
	return nil
}

func checkOneOf(v string, want ...string) *Fault {
	for _, w := range want {
		if v == w {
			return nil
		}
	}
	words := strings.Trim(strings.Join(want, ", "), ", ")
	return &Fault{Code: market.CodeSpecRange, Got: cut(v, 64), Want: "one of " + words}
}

// checkWorkdir refuses what CVE-2024-21626 used: a working directory that reaches a leaked descriptor below /proc.
func checkWorkdir(p string) *Fault {
	if p == "" {
		return nil
	}
	if f := checkPath(p); f != nil {
		return f
	}
	for _, bad := range []string{"/proc", "/sys", "/dev"} {
		if p == bad || strings.HasPrefix(p, bad+"/") {
			return &Fault{Code: market.CodeSpecPath, Got: cut(p, 64),
				Want: "a directory that is not under /proc, /sys or /dev"}
		}
	}
	return nil
}

func checkPath(p string) *Fault {
	if !strings.HasPrefix(p, "/") || path.Clean(p) != p || len(p) > maxPathBytes || strings.ContainsRune(p, 0) {
		return &Fault{Code: market.CodeSpecPath, Got: cut(p, 64),
			Want: "an absolute path without .. or double slashes, at most 1024 bytes"}
	}
	return nil
}

func checkWorkspace(p string) *Fault {
	if f := checkPath(p); f != nil {
		return f
	}
	if p != Workspace && !strings.HasPrefix(p, Workspace+"/") {
		return &Fault{Code: market.CodeSpecPath, Got: cut(p, 64), Want: "a path under /workspace",
			Fix: "write " + cut(Workspace+p, 64)}
	}
	return nil
}

func checkEnv(k, v string) *Fault {
	if !envName.MatchString(k) {
		return &Fault{Code: market.CodeSpecFormat, Got: cut(k, 64),
			Want: "a name of letters, digits and _, not beginning with a digit"}
	}
	for _, r := range reservedEnv {
		if k == r || strings.HasSuffix(r, "_") && strings.HasPrefix(k, r) {
			return &Fault{Code: market.CodeSpecEnvReserved, Got: k,
				Want: "another name: this one is set by the provider"}
		}
	}
	if len(v) > maxEnvValue || strings.ContainsRune(v, 0) {
		return &Fault{Code: market.CodeSpecRange, Got: fmt.Sprintf("%d bytes", len(v)),
			Want: "at most 8 KiB, no NUL byte"}
	}
	return nil
}

// ID returns the SHA-256 of the manifest's canonical JSON: entries as sorted by Pack and Unpack, each as its path,
// type, mode, size, hash and target. The skipped list, which each end fills by itself, times, and whether two files
// share their bytes are no part of it.
func (m Manifest) ID() [32]byte {
	type entry struct {
		Path   string `json:"path"`
		Type   string `json:"type"`
		Mode   uint32 `json:"mode"`
		Size   uint64 `json:"size"`
		SHA256 string `json:"sha256,omitempty"`
		Target string `json:"target,omitempty"`
	}
	var list []entry
	for _, e := range m.Entries {
		list = append(list, entry{e.Path, e.Type, e.Mode, e.Size, e.SHA256, e.Target})
	}
	raw, err := json.Marshal(struct {
		Entries []entry `json:"entries"`
	}{list})
	if err != nil {
		return [32]byte{} // strings and integers always marshal
	}
	return sha256.Sum256(raw)
}

// Size returns the sum of the file sizes in bytes; a second name of a file counts nothing.
func (m Manifest) Size() (n uint64) {
	for _, e := range m.Entries {
		if e.Link == "" {
			n += e.Size
		}
	}
	return n
}
