package node

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gpuai/gpuai/escrow/solana"
	"github.com/gpuai/gpuai/market"
)

// keys are a node's own secrets, each for one purpose (docs/ARCHITECTURE.md, keys): files of mode 0600 in a folder of
// mode 0700.
type keys struct {
	node     ed25519.PrivateKey
	seed     [32]byte // voucher and release keys are derived from it
	spending ed25519.PrivateKey
	feePayer ed25519.PrivateKey
}

func (keys) String() string { return "[redacted]" }

// openKeys loads or makes the keys. spendingPath may name an existing keypair file. Errors: data-dir-open (readable by
// others).
func openKeys(dir, spendingPath string) (k keys, err error) {
	folder := filepath.Join(dir, "keys")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return k, fmt.Errorf("create key folder: %w", err)
	}
	if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o077 != 0 {
		return k, &market.Error{Code: market.CodeDataDirOpen, Kind: market.KindDenied, Op: "open data folder",
			Detail: dir + " is readable by others", Hint: "chmod 700 " + dir}
	}
	seed, err := secret(filepath.Join(folder, "node.key"))
	if err != nil {
		return k, err
	}
	k.node = ed25519.NewKeyFromSeed(seed[:])
	if k.seed, err = secret(filepath.Join(folder, "voucher.seed")); err != nil {
		return k, err
	}
	if spendingPath == "" {
		spendingPath = filepath.Join(folder, "spending.json")
	}
	if k.spending, err = solana.LoadOrCreateKeypair(spendingPath); err != nil {
		return k, err
	}
	k.feePayer, err = solana.LoadOrCreateKeypair(filepath.Join(folder, "fee-payer.json"))
	return k, err
}

// secret reads 32 bytes, or makes them once; the file is on disk before they are used.
func secret(path string) (s [32]byte, err error) {
	b, err := os.ReadFile(path)
	switch {
	case err == nil && len(b) == len(s):
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
			return s, &market.Error{Code: market.CodeDataDirOpen, Kind: market.KindDenied, Op: "read key",
				Detail: path + " is readable by others", Hint: "chmod 600 " + path}
		}
		return [32]byte(b), nil
	case err == nil:
		return s, &market.Error{
			Code: market.CodeKeypairInvalid, Kind: market.KindInvalid, Op: "read key",
			Detail: fmt.Sprintf("key %s has %d bytes, want %d", path, len(b), len(s)),
			Hint:   "restore a copy of it; without one, move the data folder away and begin anew",
		}
	case !errors.Is(err, fs.ErrNotExist):
		return s, fmt.Errorf("read key: %w", err)
	}
	if _, err := rand.Read(s[:]); err != nil {
		return s, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return s, fmt.Errorf("write key: %w", err)
	}
	_, err = f.Write(s[:])
	return s, errors.Join(err, f.Sync(), f.Close())
}
