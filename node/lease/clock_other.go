//go:build !linux

package lease

import (
	"strconv"
	"time"
)

// processStart stands in for a boot: off Linux [1] has no suspend-proof clock, so a new process counts as a new boot and nothing that
// happened before it is billed. Selling is for Linux; customers lose at most their own meter of one away time.
var processStart = time.Now()

func bootTime() (time.Duration, error) { return time.Since(processStart) + time.Millisecond, nil }

func bootID() (string, error) {
	return "process-" + strconv.FormatInt(processStart.UnixNano(), 36), nil
}
