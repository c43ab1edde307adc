package lease

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// Clock is the node clock: wall time at process start plus the boot clock since, so that a step of the wall clock moves no deadline.
// BootMS is the boot clock itself, the only source of billed time.
type Clock struct {
	wall   time.Time
	start  time.Duration
	bootID string
	boot   func() time.Duration
}

// NewClock reads the system's boot clock. Errors: the system has none that counts suspended time.
func NewClock() (*Clock, error) {
	start, err := bootTime()
	if err != nil {
		return nil, fmt.Errorf("read boot clock: %w", err)
	}
	boot := func() time.Duration {
		d, err := bootTime()
		if err != nil {
			return start // stands still: nothing is billed on a broken clock
		}
		return d
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil { // other systems: the boot moment to the minute tells boots apart
		id = []byte(time.Now().Add(-start).Truncate(time.Minute).UTC().Format(time.RFC3339))
	}
	return &Clock{wall: time.Now().Round(0), start: start, bootID: strings.TrimSpace(string(id)), boot: boot}, nil
}

// Now is the node clock.
func (c *Clock) Now() time.Time { return c.wall.Add(c.boot() - c.start) }

// BootMS is the boot clock in whole milliseconds.
func (c *Clock) BootMS() uint64 { return uint64(c.boot().Milliseconds()) }

// BootID names this boot of the machine.
func (c *Clock) BootID() string { return c.bootID }
