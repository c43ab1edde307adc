//go:build unix

package spec

import "syscall"

// diskQuota: the disk has room, but not for this user.
const diskQuota = syscall.EDQUOT
