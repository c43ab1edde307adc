package spec

// Spec is what runs: it travels as JSON (≤ 32 KiB) inside the signed Lease, is hashed, stored and parsed as received,
// and holds no secrets.
type Spec struct {
	Command    []string          `json:"command,omitempty"` // replaces ENTRYPOINT
	Args       []string          `json:"args,omitempty"`    // replaces CMD
	Workdir    string            `json:"workdir,omitempty"`
	Env        map[string]string `json:"env,omitempty"`
	Init       string            `json:"init,omitempty"` // "supervise" (default) or "exec"
	Inputs     []Input           `json:"inputs,omitempty"`
	Outputs    []Output          `json:"outputs,omitempty"`
	StopSignal string            `json:"stop_signal,omitempty"` // default TERM
}

// Input is a path below /workspace that the customer fills before the start. From stays at the customer (not in the
// Lease).
type Input struct {
	From string `json:"-"`
	To   string `json:"to"`
}

// Output is a path below /workspace that is brought back. To stays at the customer. When: "success" or "always"
// (default).
type Output struct {
	Path string `json:"path"`
	To   string `json:"-"`
	When string `json:"when,omitempty"`
}

// WhenSuccess is the When of an output that is only wanted of a job that ended by itself with exit code 0.
const WhenSuccess = "success"

// ImageRef pins an image. Ref: name as written; Manifest, Config: "sha256:…"; Platform "linux/amd64".
type ImageRef struct {
	Ref             string `json:"Ref"`
	Manifest        string `json:"Manifest"`
	Config          string `json:"Config"`
	Platform        string `json:"Platform"`
	CompressedBytes uint64 `json:"CompressedBytes"`
	UnpackedBytes   uint64 `json:"UnpackedBytes"`
}

// Entry is one file of a Manifest. Type: "file", "dir" or "symlink". SHA256: hex, files only. MTime: unix seconds.
// Link: the earlier entry that this file is a hard link to; its other fields are those of the file. MTime and Link are
// not part of the manifest's id.
type Entry struct {
	Path   string `json:"path"`
	Type   string `json:"type"`
	Mode   uint32 `json:"mode"`
	Size   uint64 `json:"size"`
	SHA256 string `json:"sha256,omitempty"`
	Target string `json:"target,omitempty"`
	MTime  int64  `json:"mtime,omitempty"`
	Link   string `json:"link,omitempty"`
}

// Manifest is the sorted list of entries; its id is the SHA-256 of its JSON bytes (see Manifest.ID). Skipped: what was
// left out, each with its reason; More: how many others, above the limit of the list.
type Manifest struct {
	Entries []Entry   `json:"entries"`
	Skipped []Skipped `json:"skipped,omitempty"`
	More    int       `json:"more,omitempty"`
}
