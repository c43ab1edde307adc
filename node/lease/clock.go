package lease

import (
	"fmt"
	"time"
)

// Clock is the node's clock: wall time at process start plus boot time since, so a step of the wall clock moves no
// deadline and a suspended machine still counts. Safe for any goroutine.
type Clock struct {
	start  time.Time
	bootAt time.Duration
	id     string
	boot   func() (time.Duration, error)
}

// NewClock reads the wall clock once and the boot clock of the machine. Errors: the boot clock cannot be read.
func NewClock() (*Clock, error) {
	boot, id, err := bootSource()
	if err != nil {
		return nil, fmt.Errorf("read boot id: %w", err)
	}
	return ClockOf(boot, id)
}

// ClockOf is a clock on another boot clock, of a boot with that id: for tests in virtual time. Errors: boot's.
func ClockOf(boot func() (time.Duration, error), id string) (*Clock, error) {
	at, err := boot()
	if err != nil {
		return nil, fmt.Errorf("read boot clock: %w", err)
	}
	return &Clock{start: time.Now().Round(0).UTC(), bootAt: at, id: id, boot: boot}, nil
}

// BootID names this boot of the machine; boot times of two boots are not comparable.
func (c *Clock) BootID() string { return c.id }

// Now is the node's time in UTC.
func (c *Clock) Now() time.Time { now, _ := c.Read(); return now }

// BootMS is the boot clock in whole ms, the only clock that time is billed by.
func (c *Clock) BootMS() uint64 { _, ms := c.Read(); return ms }

// Read returns Now and BootMS of one instant; its signature is Config.Clock's.
func (c *Clock) Read() (time.Time, uint64) {
	at, err := c.boot()
	if err != nil { // it worked at start; the kernel does not take it back
		at = c.bootAt
	}
	return c.start.Add(at - c.bootAt), uint64(at.Milliseconds())
}
