//go:build !unix

package store

import "syscall"

// errQuota: there is no other error than the full disk's.
const errQuota = syscall.ENOSPC
