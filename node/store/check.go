package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"

	"github.com/gpuai/gpuai/market"
)

// maxCheck is the largest file whose pages are all read at start.
const maxCheck = 256 << 20

func damaged(path, what string) *market.Error {
	if len(what) > 150 {
		what = what[:150]
	}
	return &market.Error{
		Code: "store-damaged", Kind: market.KindInternal, Op: "open store", Detail: filepath.Base(path) + " is damaged: " + what,
		Hint: "keep " + path + " aside, put the newest copy in its place; peers repeat their last vouchers to it",
	}
}

// checkFile reads an existing file before it is opened for writing: then bbolt walks it in goroutines of its own, where damage would end
// the process with a stack trace instead of a word to the user. A newer schema is refused before anything is written.
func checkFile(path string) (err error) {
	db, err := openBolt(path, &bolt.Options{Timeout: lockWait, ReadOnly: true})
	if err != nil {
		return err
	}
	// Pages beyond the file's end are a memory fault, and a broken page can be anything.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			_ = db.Close() // View has ended its transaction
			err = damaged(path, fmt.Sprint(r))
		}
	}()
	info, err := os.Stat(path)
	if err != nil {
		_ = db.Close()
		return fmt.Errorf("open store: %w", err)
	}
	err = db.View(func(tx *bolt.Tx) error {
		if tx.Size() > info.Size() {
			return damaged(path, fmt.Sprintf("%d bytes are missing at its end", tx.Size()-info.Size()))
		}
		if err := checkSchema(path, tx); err != nil || tx.Size() > maxCheck {
			return err
		}
		_, err := walk(path, tx)
		return err
	})
	if cerr := db.Close(); err == nil {
		err = cerr
	}
	return err
}

func checkSchema(path string, tx *bolt.Tx) error {
	meta := tx.Bucket([]byte(BucketMeta))
	if meta == nil {
		return nil // the process ended before it had made its buckets
	}
	v := meta.Get([]byte(keySchema))
	if v == nil {
		return nil
	}
	if len(v) != 4 {
		return damaged(path, "schema number")
	}
	if got := binary.BigEndian.Uint32(v); got > schemaVersion {
		return &market.Error{Code: "version-mismatch", Kind: market.KindConflict, Op: "open store", Detail: fmt.Sprintf("schema %d, this program knows %d", got, schemaVersion), Hint: "use the newer gpuai"}
	}
	return nil
}

// walk reads every key and value of every bucket; keys must ascend. The checksum is what makes it touch all of them.
func walk(path string, tx *bolt.Tx) (sum uint32, err error) {
	err = tx.ForEach(func(name []byte, b *bolt.Bucket) error {
		var last []byte
		return b.ForEach(func(k, v []byte) error {
			if last != nil && bytes.Compare(last, k) >= 0 {
				return damaged(path, fmt.Sprintf("keys of %s are out of order", name))
			}
			last = k
			sum = crc32.Update(crc32.Update(sum, crc32.IEEETable, k), crc32.IEEETable, v)
			return nil
		})
	})
	return sum, err
}
