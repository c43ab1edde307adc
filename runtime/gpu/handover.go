package gpu

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// idleSlackMiB is how much more than at rest a cleared device may show: what a driver keeps of a context for a while.
const idleSlackMiB = 64

// Idle is what a device shows while nobody has it. UsedMiB nil: not stated, or not seen: then memory says nothing.
type Idle struct {
	UUID    string   `json:"uuid"`
	UsedMiB *uint64  `json:"used_mib,omitempty"`
	PIDs    []uint32 `json:"pids,omitempty"` // the owner's own
}

// HandOver tells whether a lease has left devices as it found them, by NVML, or by what simulated devices show. Its
// methods are safe for any goroutine.
type HandOver struct {
	sample func(context.Context) ([]Sample, error)

	mu   sync.Mutex
	idle map[string]Idle
}

// NewHandOver asks the agent of cfg.
func NewHandOver(cfg Config) *HandOver {
	return &HandOver{sample: func(ctx context.Context) ([]Sample, error) { return Samples(ctx, cfg) },
		idle: map[string]Idle{}}
}

// Learn notes how devices look that nobody has now. Errors: the agent's; ErrNoDriver.
func (h *HandOver) Learn(ctx context.Context, uuids []string) error {
	if len(uuids) == 0 {
		return nil
	}
	now, err := h.sample(ctx)
	if err != nil {
		return fmt.Errorf("look at idle devices: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range now {
		if slices.Contains(uuids, s.UUID) {
			h.idle[s.UUID] = Idle{UUID: s.UUID, UsedMiB: s.UsedMiB, PIDs: s.PIDs}
		}
	}
	return nil
}

// Idle is what was learnt of devices; store it with the lease that gets them. One that was not learnt has no measure of
// memory.
func (h *HandOver) Idle(uuids []string) []Idle {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Idle, len(uuids))
	for i, u := range uuids {
		out[i] = h.idle[u]
		out[i].UUID = u
	}
	return out
}

// Left says what of a lease is still on its devices, "" if nothing is. The lower memory of a cleared device is its
// measure from then on.
// Errors: the agent's, so that nothing is known.
func (h *HandOver) Left(ctx context.Context, idle []Idle) (string, error) {
	if len(idle) == 0 {
		return "", nil
	}
	now, err := h.sample(ctx)
	if err != nil && !errors.Is(err, ErrNoDriver) { // a driver that is gone has no device to hand over
		return "", fmt.Errorf("look at released devices: %w", err)
	}
	var clear []Idle
	for _, d := range idle {
		i := slices.IndexFunc(now, func(s Sample) bool { return s.UUID == d.UUID })
		if i < 0 {
			return fmt.Sprintf("%s is not seen", d.UUID), nil
		}
		if why := left(now[i], d); why != "" {
			return why, nil
		}
		if d.UsedMiB == nil || now[i].UsedMiB != nil && *now[i].UsedMiB < *d.UsedMiB {
			d.UsedMiB = now[i].UsedMiB
		}
		clear = append(clear, d)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range clear {
		h.idle[d.UUID] = d
	}
	return "", nil
}

func left(now Sample, idle Idle) string {
	if now.Fault != "" {
		return fmt.Sprintf("%s does not tell: %s", now.UUID, now.Fault)
	}
	for _, pid := range now.PIDs {
		if !slices.Contains(idle.PIDs, pid) {
			return fmt.Sprintf("process %d is still on %s", pid, now.UUID)
		}
	}
	if now.UsedMiB != nil && idle.UsedMiB != nil && *now.UsedMiB > *idle.UsedMiB+idleSlackMiB {
		return fmt.Sprintf("%d MiB of %s are still used, %d MiB were before", *now.UsedMiB, now.UUID, *idle.UsedMiB)
	}
	return ""
}
