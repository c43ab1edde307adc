//go:build integration && linux

package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestCommit_RealFullDisk fills an 8 MiB file system: growth is refused, overwrites and deletes go on, and the file
// stays whole.
func TestCommit_RealFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m,mode=0700"); err != nil {
		t.Skip("needs the right to mount:", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	path := filepath.Join(dir, "state.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	voucher := func(i int) Change { return Change{Puts: []Put{put(BucketChannels, "channel", fmt.Sprint(i))}} }
	if err := s.Commit(ctx, voucher(0)); err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; n < 1000; n++ {
		c := Change{Puts: []Put{{BucketLeases, fmt.Append(nil, n), make([]byte, 100<<10)}}}
		if err = s.Commit(ctx, c); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrDiskFull) || n < 10 {
		t.Fatalf("after %d leases: %v", n, err)
	}
	for i := range 100 {
		if err := s.Commit(ctx, voucher(i+1)); err != nil {
			t.Fatalf("voucher %d on a full disk: %v", i, err)
		}
	}
	if err := s.Commit(ctx, Change{Deletes: []Ref{{BucketLeases, []byte("0")}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(path); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if v, err := s.Get(BucketChannels, []byte("channel")); err != nil || string(v) != "100" || s.Unclean() {
		t.Fatalf("%q, %v, unclean %v", v, err, s.Unclean())
	}
	if info, err := os.Stat(path); err != nil || info.Size() < 1<<20 {
		t.Fatalf("%v, %v", info, err)
	}
}
