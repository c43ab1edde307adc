package store

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"

	"github.com/gpuai/gpuai/market"
)

// maxCheck is the largest file whose pages are all read at each start; a larger one is read after an unclean end.
const maxCheck = 256 << 20

func damaged(path, what string) *market.Error {
	if len(what) > 150 {
		what = what[:150]
	}
	return &market.Error{
		Code: market.CodeStoreDamaged, Kind: market.KindInternal, Op: "open store",
		Detail: filepath.Base(path) + " is damaged: " + what,
		Hint:   "keep " + path + " aside, put the newest copy in its place; peers repeat their last vouchers to it",
	}
}

// checkFile reads an existing file before it is opened for writing: then bbolt walks it in goroutines of its own, where
// damage would end the process with a stack trace instead of a word to the user. A newer schema is refused before
// anything is written.
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
		if tx.Size() > maxCheck && endedClean(tx) {
			return checkSchema(path, tx)
		}
		return checkPages(path, db.Info().PageSize, tx)
	})
	if cerr := db.Close(); err == nil {
		err = cerr
	}
	return err
}

// schemaOf is the file's; one that is new has this version's.
func schemaOf(tx *bolt.Tx) uint32 {
	if meta := tx.Bucket([]byte(BucketMeta)); meta != nil {
		if v := meta.Get([]byte(keySchema)); len(v) == 4 {
			return binary.BigEndian.Uint32(v)
		}
	}
	return schemaVersion
}

// checkPages reads the pages themselves, below bbolt, with all rows. What a newer schema's rows are is not known here.
func checkPages(path string, size int, tx *bolt.Tx) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	defer f.Close()
	p := newPages(f, int64(size), uint64(tx.Size()/int64(size)))
	if err := p.tree(uint64(tx.Cursor().Bucket().Root()), span{}, false, 0); err != nil {
		return damaged(path, err.Error())
	}
	if err := p.free(uint64(tx.ID())); err != nil {
		return damaged(path, err.Error())
	}
	if err := checkSchema(path, tx); err != nil {
		return err
	}
	if p.row != nil {
		return damaged(path, p.row.Error())
	}
	return nil
}

func endedClean(tx *bolt.Tx) bool {
	meta := tx.Bucket([]byte(BucketMeta))
	return meta != nil && meta.Get([]byte(keyClean)) != nil
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
		return &market.Error{Code: market.CodeVersionMismatch, Kind: market.KindConflict, Op: "open store",
			Detail: fmt.Sprintf("schema %d, this program knows %d", got, schemaVersion), Hint: "use the newer gpuai"}
	}
	return nil
}
