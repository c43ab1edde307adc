//go:build unix

package config

import (
	"errors"
	"os"
	"syscall"
)

// keepOwner gives f the mode, and as far as this user may the owner, of the file that it replaces: a service goes on
// reading what root has changed, and its group too.
func keepOwner(f *os.File, path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		if err := f.Chown(int(s.Uid), int(s.Gid)); err != nil && !errors.Is(err, os.ErrPermission) {
			return err
		}
	}
	return f.Chmod(info.Mode().Perm())
}
