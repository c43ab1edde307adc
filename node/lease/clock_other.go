//go:build !linux

package lease

import (
	"strconv"
	"time"
)

// bootSource stands in for a boot clock by the process's monotonic one: off Linux a new process counts as a new boot,
// so nothing from before it is billed, and suspended time is not seen. Selling is for Linux; a customer's own meter is
// only lower by it.
func bootSource() (func() (time.Duration, error), string, error) {
	start := time.Now()
	return func() (time.Duration, error) { return time.Since(start) + time.Millisecond, nil },
		"process-" + strconv.FormatInt(start.UnixNano(), 36), nil
}
