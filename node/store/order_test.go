package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/market"
)

// TestOpen_KeysOutOfOrder_IsOurWord: a key of a branch page that is not where its pages are would make bbolt look for
// rows in the wrong place. It is found before bbolt's own walk, whose goroutine nobody can catch.
func TestOpen_KeysOutOfOrder_IsOurWord(t *testing.T) {
	t.Parallel()
	s := open(t)
	for i := range 4 { // enough for a branch page
		var c Change
		for n := range 100 {
			c.Puts = append(c.Puts, put(BucketJobs, fmt.Sprintf("key %d", i*100+n+100), strings.Repeat("v", 40)))
		}
		if err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	good, err := os.ReadFile(crashed(t, s))
	if err != nil {
		t.Fatal(err)
	}
	size := s.db.Info().PageSize
	keys := 0
	for page := 2 * size; page+size <= len(good) && keys < 6; page += size {
		b := good[page:][:size]
		if binary.LittleEndian.Uint16(b[8:]) != flagBranch {
			continue
		}
		for i := range min(int(binary.LittleEndian.Uint16(b[10:])), 6) {
			at := pageHeader + i*pageElement
			at += int(binary.LittleEndian.Uint32(b[at:])) + len("key ")
			for _, digit := range []byte("09") { // too low and too high for what is below it, or beside it
				raw := bytes.Clone(good)
				if raw[page+at] == digit || digit == '0' && i == 0 {
					continue
				}
				raw[page+at] = digit
				keys += refused(t, raw)
			}
		}
	}
	if keys < 4 {
		t.Errorf("%d keys were refused", keys)
	}
}

// refused opens a file that holds raw, and returns 1 if our own check says that keys are out of order. A page that is
// no longer part of the tree may hold anything.
func refused(t *testing.T, raw []byte) int {
	t.Helper()
	path := dbPath(t)
	if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o700), os.WriteFile(path, raw, 0o600)); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path)
	if err == nil {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		return 0
	}
	if market.CodeOf(err) != market.CodeStoreDamaged || !strings.Contains(err.Error(), "out of order") {
		t.Error(err)
	}
	return 1
}
