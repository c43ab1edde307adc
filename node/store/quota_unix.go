//go:build unix

package store

import "syscall"

// errQuota is what a user's own limit of disk space says.
const errQuota = syscall.EDQUOT
