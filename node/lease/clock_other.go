//go:build !linux

package lease

import "time"

var processStart = time.Now()

// bootTime is the wall clock since the process start: buyers only (other systems do not sell), and a stepped clock costs them at most
// what their tick and away allowance bound.
func bootTime() (time.Duration, error) { return time.Since(processStart.Round(0)), nil }
