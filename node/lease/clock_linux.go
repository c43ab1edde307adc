package lease

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// bootSource returns CLOCK_BOOTTIME, which counts while the machine is suspended, and the kernel's boot id.
func bootSource() (func() (time.Duration, error), string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return bootTime, strings.TrimSpace(string(id)), err
}

func bootTime() (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, err
	}
	return time.Duration(ts.Nano()), nil
}
