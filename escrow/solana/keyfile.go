package solana

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gpuai/gpuai/market"
)

// maxKeyFile bounds a keypair file; 64 numbers take 330 bytes.
const maxKeyFile = 4 << 10

func keyInvalid(path, why string) error {
	return &market.Error{
		Code: market.CodeKeypairInvalid, Op: "reading keypair " + path, Kind: market.KindInvalid, Detail: why,
		Hint: "the file must hold a Solana CLI keypair (64 numbers), readable by its owner only",
	}
}

// LoadKeypair reads a Solana CLI keypair: a JSON array of exactly 64 integers whose seed matches its public half, at
// most 4 KiB, not readable by others. Errors: *market.Error keypair-invalid; fs.ErrNotExist if there is no such file.
func LoadKeypair(path string) (ed25519.PrivateKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading a keypair: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading a keypair: %w", err)
	}
	if !st.Mode().IsRegular() || st.Mode().Perm()&0o077 != 0 {
		return nil, keyInvalid(path, "mode "+st.Mode().String()+", want -rw-------")
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading a keypair: %w", err)
	}
	key, why := ParseKeypair(b)
	if why != "" {
		return nil, keyInvalid(path, why)
	}
	return key, nil
}

// ParseKeypair parses the content of a keypair file; why is empty on success and never repeats the content.
func ParseKeypair(b []byte) (key ed25519.PrivateKey, why string) {
	if len(b) > maxKeyFile {
		return nil, "file is over 4 KiB"
	}
	var nums []int
	if err := json.Unmarshal(b, &nums); err != nil || len(nums) != ed25519.PrivateKeySize {
		return nil, "not an array of 64 integers"
	}
	raw := make([]byte, len(nums))
	for i, n := range nums {
		if n < 0 || n > 255 {
			return nil, "a number is not a byte"
		}
		raw[i] = byte(n)
	}
	key = ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
	if !bytes.Equal(key, raw) {
		return nil, "public half does not belong to the seed"
	}
	return key, ""
}

// SaveKeypair writes a new keypair file, 0600 and synced. Errors: fs.ErrExist: it never replaces a file, which may hold
// money.
func SaveKeypair(path string, key ed25519.PrivateKey) (err error) {
	nums := make([]int, len(key))
	for i, v := range key {
		nums[i] = int(v)
	}
	b, err := json.Marshal(nums)
	if err != nil {
		return fmt.Errorf("encoding a keypair: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("saving a keypair: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("saving a keypair: %w", err)
	}
	_, werr := f.Write(append(b, '\n'))
	if err := errors.Join(werr, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("saving a keypair: %w", errors.Join(err, os.Remove(path)))
	}
	return nil
}

// LoadOrCreateKeypair loads path, or makes a new keypair there.
func LoadOrCreateKeypair(path string) (ed25519.PrivateKey, error) {
	key, err := LoadKeypair(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	_, key, err = ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a keypair: %w", err)
	}
	return key, SaveKeypair(path, key)
}
