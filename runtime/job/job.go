// Package job is the contract of whatever runs jobs: told what should be, it makes it so, idempotently, and reports
// what is.
//
// Invariants: unknown is never absent; a start is never repeated after a start; SIGTERM is sent once. The only
// persisted machine of a job is its Lease (market). Concurrency: calls for one Key are serialised by the
// implementation. Persistence: container names and labels, the Handle, and intent rows through Memory. Next:
// runtime/docker, runtime/runtimetest.Conformance.
package job

import (
	"context"
	"io"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/spec"
)

// Key names one attempt of a lease's job.
type Key struct {
	Lease   market.LeaseID
	Attempt int
}

// Phase is what should be.
type Phase uint8

// Wanted phases: a pure function of the Lease's state (Preparing, Running: Running; Paused: Paused; Stopping and later:
// Gone).
const (
	WantRunning Phase = iota + 1
	WantPaused
	WantGone // no process lives; files stay until Remove
)

// Want is what should be. Grace: time left between SIGTERM and SIGKILL; 0 kills at once. InputsReady: the node has
// staged all inputs into the created container (FileStore.PutInputs returned); the job starts only then.
type Want struct {
	Phase       Phase
	Plan        Plan
	InputsReady bool
	Grace       time.Duration
}

// Plan is Spec + Order + device UUIDs + denied prefixes + limits, free of policy.
type Plan struct {
	Spec           spec.Spec
	Image          spec.ImageRef
	Devices        []Device
	CPUMilli       uint32
	RAM, Disk, Shm uint64    // bytes
	Egress         uint8     // market.Egress…
	Resolvers      []string  // public DNS servers, written by the guard
	UplinkMbit     uint32    // 0 = uncapped
	FloorRate      uint64    // bytes/s while bytes are due
	Deadline       time.Time // end of prep_max
}

// Device is a leased device. Kind: "gpu", "cpu" or "sim"; only "gpu" makes a device request.
type Device struct {
	Kind, UUID string
	Minor      int // -1 = none
}

// State is what is seen.
type State uint8

// Observed states.
const (
	Unknown State = iota + 1 // the engine does not answer; nothing is torn down on it
	Absent
	Pulling
	Created // container exists, waits for inputs
	Gated   // started, gate not open yet
	Running // the command runs behind an open gate: Ready
	PausedState
	Exited
	FailedState // preparation failed: Code says why
)

// Observed is what was seen. Exit is valid in Exited; Code and Detail name a failure (kebab-case). A Detail without a
// Code is a note: why a step is tried again, or what the end does not show.
type Observed struct {
	State             State
	Progress          Progress
	Handle            []byte // versioned JSON, opaque
	Exit              int
	OOM               bool
	Code              market.Code
	Detail            string
	Devices           []string // UUIDs seen by the gate
	ContainerID       string
	PID               int
	Started, Finished time.Time // the engine's words: labels, never billed
}

// Progress of the current step: "pull", "extract", "inputs", "create", "start". Total 0 = unknown.
type Progress struct {
	Phase       string
	Done, Total uint64
}

// Found is one container of this node's name.
type Found struct {
	Key             Key
	Role            string // "job" or "guard"
	ContainerID     string
	Running, Paused bool
}

// Runner runs jobs. Each call returns within 5 s; a pull or upload goes on in the background and is joined by the next
// call.
type Runner interface {
	Reconcile(ctx context.Context, k Key, w Want) (Observed, error)
	Observe(ctx context.Context, k Key) (Observed, error)
	Remove(ctx context.Context, k Key) error
	List(ctx context.Context) ([]Found, error)
}

// Access reaches into a job. Exec is refused while paused (*market.Refusal "paused").
type Access interface {
	Exec(ctx context.Context, k Key, s ExecSpec) (ExecStream, error)
	// Logs streams records from an offset on, in order, each byte once. follow waits for more until the job has ended,
	// and comes back where the engine was away. Errors: not-found without a job; engine-error; those of f as they are.
	Logs(ctx context.Context, k Key, from uint64, follow bool, f func(LogRecord) error) (LogEnd, error)
	Files(ctx context.Context, k Key) (FileStore, error)
}

// LogRecord is one chunk of output; Stream 1 = stdout, 2 = stderr. Its identity is its place, never its time.
type LogRecord struct {
	Offset uint64 // of its first byte in the job's merged log
	Time   time.Time
	Stream uint8
	Data   []byte // ≤ 16 KiB
	Gap    uint64 // bytes that are lost from Offset on; such a record has no Data
	Raw    bool   // written beside the log's numbering: at Offset, without moving it
}

// Next is the offset behind the record.
func (r LogRecord) Next() uint64 {
	if r.Raw {
		return r.Offset
	}
	return r.Offset + r.Gap + uint64(len(r.Data))
}

// LogEnd is how a log that was read to its end stands. Total is the offset behind its last byte. Over: the job has
// ended. Whole: nothing can be missing behind Total; a log that is over and not whole lost an end of unknown length.
type LogEnd struct {
	Total uint64
	Over  bool
	Whole bool
}

// Usage is what a job takes of the rig: CPU time since its start, and memory now, in bytes without the page cache that
// can be dropped.
type Usage struct {
	CPU    time.Duration
	Memory uint64
}

// ExecSpec is a command to run beside the job. Argv ≤ 64 KiB. Term: its terminal's kind; one that is none is xterm.
type ExecSpec struct {
	Argv       []string
	TTY        bool
	Cols, Rows uint16
	Term       string
}

// ExecStream is a running exec: write stdin, close it with CloseWrite; Output calls f per chunk until the end and
// returns the exit code.
type ExecStream interface {
	io.WriteCloser // Close kills the process group
	CloseWrite() error
	Resize(cols, rows uint16) error
	Output(f func(stream uint8, data []byte) error) (exit int, err error)
}

// FileStore moves files while no process of the job exists. Both use tar; every file is hashed while it flows
// (spec.Manifest).
type FileStore interface {
	// PutInputs unpacks a tar into the created container below /workspace; total bytes above limit are *market.Error
	// input-too-big.
	PutInputs(ctx context.Context, tar io.Reader, limit uint64) (spec.Manifest, error)
	// GetOutputs writes the output paths of the stopped container as a safe tar and returns the manifest; its ID is
	// outputs_root.
	GetOutputs(ctx context.Context, paths []string, w io.Writer) (spec.Manifest, error)
}

// Memory keeps intent rows across restarts of the node (the store's jobs bucket).
type Memory interface {
	Load(ctx context.Context, k Key) ([]byte, error) // nil, nil if none
	Save(ctx context.Context, k Key, row []byte) error
}
