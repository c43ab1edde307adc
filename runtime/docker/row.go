package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
)

// rowVersion grows with every change that older nodes must not touch.
const rowVersion = 1

// handle says which container of which boot the row is about.
type handle struct {
	V            int    `json:"v"`
	Driver       string `json:"driver"`
	BootID       string `json:"boot_id"`
	JobID        string `json:"job_id"`
	GuardID      string `json:"guard_id,omitempty"`
	GuardStarted string `json:"guard_started,omitempty"`
	PID          int    `json:"pid,omitempty"`
	PIDStart     uint64 `json:"pid_start,omitempty"`
	SpecHash     string `json:"spec_hash"`
}

// row is all that is remembered of a key. Start and Stop are intents, saved before the call; Opened is saved after the
// gate reported.
type row struct {
	Handle      handle      `json:"handle"`
	Start       bool        `json:"start,omitempty"`
	Opened      bool        `json:"opened,omitempty"`
	StartFailed string      `json:"start_failed,omitempty"` // init's words
	Devices     []string    `json:"devices,omitempty"`
	Stop        bool        `json:"stop,omitempty"`
	FirstKill   time.Time   `json:"first_kill,omitzero"`
	LastKill    time.Time   `json:"last_kill,omitzero"`
	Code        market.Code `json:"code,omitempty"` // preparation failed
	Detail      string      `json:"detail,omitempty"`
	EndCode     market.Code `json:"end_code,omitempty"` // why we ended a job that ran
	Killed      market.Code `json:"killed,omitempty"`   // the code of an end by somebody else's signal
	Removed     bool        `json:"removed,omitempty"`
}

// errTooNew: the row was written by a newer node; its container is left alone.
func errTooNew(v int) error {
	return &market.Error{
		Code: market.CodeHandleTooNew, Kind: market.KindInvalid, Op: "read job row",
		Detail: fmt.Sprintf("version %d", v),
		Hint:   "upgrade this node; the container is left running",
	}
}

// rows are the store's rows of this node's jobs.
type rows struct{ job.Memory }

func (rs rows) load(ctx context.Context, k job.Key) (row, error) {
	raw, err := rs.Load(ctx, k)
	if err != nil || len(raw) == 0 {
		return row{}, err
	}
	r, err := parseRow(raw)
	if err != nil {
		return row{}, fmt.Errorf("job row of %s: %w", k.Lease, err)
	}
	return r, nil
}

func parseRow(raw []byte) (r row, err error) {
	if err := json.Unmarshal(raw, &r); err != nil {
		return row{}, err
	}
	if r.Handle.V > rowVersion {
		return row{}, errTooNew(r.Handle.V)
	}
	return r, nil
}

func (rs rows) save(ctx context.Context, k job.Key, r row) error {
	r.Handle.V, r.Handle.Driver = rowVersion, "docker"
	raw, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode job row: %w", err)
	}
	return rs.Save(ctx, k, raw)
}

func (r row) handleJSON() []byte {
	r.Handle.V, r.Handle.Driver = rowVersion, "docker"
	b, _ := json.Marshal(r.Handle) // strings and numbers always marshal
	return b
}

// specHash names the plan that a container was made for.
func specHash(p job.Plan) string {
	raw, _ := json.Marshal(struct {
		Spec    any
		Image   string
		Devices []job.Device
	}{p.Spec, p.Image.Manifest, p.Devices})
	s := sha256.Sum256(raw)
	return hex.EncodeToString(s[:])
}

// bootID is empty where the system has none.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// pidStart is the start time of a process in ticks since boot, 0 if it is gone: with it a pid cannot be mistaken.
func pidStart(pid int) uint64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, ok := strings.Cut(string(raw), ") ") // the name may hold spaces
	f := strings.Fields(rest)
	if !ok || len(f) < 20 {
		return 0
	}
	var n uint64
	_, _ = fmt.Sscan(f[19], &n)
	return n
}
