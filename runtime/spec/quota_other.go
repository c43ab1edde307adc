//go:build !unix

package spec

import "syscall"

// diskQuota is what Windows says of a full disk: ERROR_DISK_FULL.
const diskQuota = syscall.Errno(112)
