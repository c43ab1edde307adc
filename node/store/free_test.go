package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/gpuai/gpuai/market"
)

// TestClose_LeavesAFreeList_ThatIsChecked: a store that was closed in order names its free pages, one that was not does
// not; a list that names a page in use, or one twice, is damage, not a page that is written over.
func TestClose_LeavesAFreeList_ThatIsChecked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "d", "state.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	big := Put{BucketOrders, []byte("big"), bytes.Repeat([]byte{1}, 40_000)}
	for _, c := range []Change{{Puts: []Put{big, {BucketJobs, []byte("k"), []byte("v")}}},
		{Deletes: []Ref{{BucketOrders, big.Key}}}} {
		if err := s.Commit(context.Background(), c); err != nil {
			t.Fatal(err)
		}
	}
	if list, _ := freeList(t, path); list != 0 {
		t.Errorf("an open store has a free list at page %d", list)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	list, n := freeList(t, path)
	if list == 0 || n < 8 {
		t.Fatalf("free list at page %d with %d pages", list, n)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first := int(list)*os.Getpagesize() + pageHeader
	second := binary.LittleEndian.Uint64(whole[first+8:])
	for name, id := range map[string]uint64{"twice": second, "itself": list, "in use": root(t, path),
		"beyond": 1 << 40} {
		broken := bytes.Clone(whole)
		binary.LittleEndian.PutUint64(broken[first:], id)
		at := filepath.Join(t.TempDir(), "d", "state.db")
		if err := os.Mkdir(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(at); market.CodeOf(err) != market.CodeStoreDamaged {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s, err = Open(path); err != nil {
		t.Fatal(err)
	}
	if v, err := s.Get(BucketJobs, []byte("k")); err != nil || string(v) != "v" {
		t.Errorf("%q, %v", v, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// freeList is the page of the newest meta page's free list, 0: none, and its length.
func freeList(t *testing.T, path string) (page uint64, n int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var newest uint64
	for i := range 2 {
		meta := b[i*os.Getpagesize():]
		if tx := binary.LittleEndian.Uint64(meta[metaTx:]); tx >= newest {
			newest, page = tx, binary.LittleEndian.Uint64(meta[metaFree:])
		}
	}
	if page == noFree {
		return 0, 0
	}
	return page, int(binary.LittleEndian.Uint16(b[int(page)*os.Getpagesize()+10:]))
}

// root is the page of the file's root bucket.
func root(t *testing.T, path string) (page uint64) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	err = db.View(func(tx *bolt.Tx) error { page = uint64(tx.Cursor().Bucket().Root()); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return page
}
