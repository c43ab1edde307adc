//go:build !linux

package docker

import "errors"

// statfs is for machines that sell, which run Linux.
func statfs(string) (free, total uint64, err error) { return 0, 0, errors.ErrUnsupported }
