package health

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// volume is a file system: bytes free and in all; remote names one that a database must not be on.
type volume struct {
	free, total uint64
	remote      string
}

var remotes = map[int64]string{
	unix.NFS_SUPER_MAGIC: "nfs", unix.V9FS_MAGIC: "9p", unix.FUSE_SUPER_MAGIC: "fuse", unix.SMB_SUPER_MAGIC: "smb",
	unix.CIFS_SUPER_MAGIC: "cifs",
	unix.SMB2_SUPER_MAGIC: "smb2", unix.AFS_SUPER_MAGIC: "afs",
}

func volumeOf(dir string) (volume, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return volume{}, fmt.Errorf("measure disk: %w", err)
	}
	return volume{free: s.Bavail * uint64(s.Bsize), total: s.Blocks * uint64(s.Bsize), remote: remotes[int64(s.Type)]},
		nil
}
