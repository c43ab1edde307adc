package spec

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/gpuai/gpuai/market"
)

// Received is an archive whose files lie beside their places as .gpuai-part-… until Commit. Discard removes them.
type Received struct {
	Manifest Manifest
	dest     *os.Root
	parts    []part
	links    []Entry
}

type part struct{ temp, name string }

// Receive reads a foreign tar below dest. Nothing it brings replaces a file before Commit; symlinks are made last, so no file of the
// archive passes through one. On error the parts are removed. rename: as in Filter. Errors: ErrArchive, *market.Error with lim.Code, I/O.
func Receive(r io.Reader, dest *os.Root, lim Limits, rename func(string) (string, bool)) (*Received, error) {
	rd, u := &reading{lim: lim}, &Received{dest: dest}
	if err := rd.walk(r, rename, u.place); err != nil {
		u.Discard()
		return nil, err
	}
	u.Manifest = rd.manifest
	return u, nil
}

func (u *Received) place(e Entry, body io.Reader) error {
	switch e.Type {
	case "symlink":
		u.links = append(u.links, e)
		return nil
	case "dir":
		if err := u.dest.MkdirAll(e.Path, 0o755); err != nil {
			return fmt.Errorf("make directory %q: %w", e.Path, err)
		}
		return nil
	}
	dir := path.Dir(e.Path)
	if dir != "." {
		if err := u.dest.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make directory %q: %w", dir, err)
		}
	}
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	temp := path.Join(dir, partPrefix+hex.EncodeToString(id[:]))
	f, err := u.dest.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fs.FileMode(e.Mode&0o777)|0o200)
	if err != nil {
		return fmt.Errorf("create %q: %w", e.Path, err)
	}
	u.parts = append(u.parts, part{temp, e.Path})
	n, err := io.Copy(f, body)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %q: %w", e.Path, err)
	}
	if uint64(n) != e.Size {
		return fmt.Errorf("write %q: %w: %d of %d bytes", e.Path, ErrArchive, n, e.Size)
	}
	return nil
}

// Commit moves the files to their places if the manifest's id is want. Errors: *market.Error input-hash (the parts are removed), I/O.
func (u *Received) Commit(want [32]byte) error {
	if u.Manifest.ID() != want {
		u.Discard()
		return &market.Error{
			Code: "input-hash", Kind: market.KindInvalid, Op: "receive files", Detail: "the files are not those of the manifest",
			Hint: "try again; if it happens twice, use another provider",
		}
	}
	for i, p := range u.parts {
		if err := u.dest.Rename(p.temp, p.name); err != nil {
			u.parts = u.parts[i:]
			u.Discard()
			return fmt.Errorf("move %q into place: %w", p.name, err)
		}
	}
	u.parts = nil
	for _, e := range u.links {
		if err := u.link(e); err != nil {
			return err
		}
	}
	return nil
}

// link replaces an older symlink, but never a file or directory.
func (u *Received) link(e Entry) error {
	if dir := path.Dir(e.Path); dir != "." {
		if err := u.dest.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make directory %q: %w", dir, err)
		}
	}
	if old, err := u.dest.Lstat(e.Path); err == nil && old.Mode()&fs.ModeSymlink != 0 {
		if err := u.dest.Remove(e.Path); err != nil {
			return fmt.Errorf("replace link %q: %w", e.Path, err)
		}
	}
	if err := u.dest.Symlink(e.Target, e.Path); err != nil {
		return fmt.Errorf("make link %q: %w", e.Path, err)
	}
	return nil
}

// Discard removes the parts that have not been committed.
func (u *Received) Discard() {
	for _, p := range u.parts {
		_ = u.dest.Remove(p.temp) // a leftover is hidden by its name and harmless
	}
	u.parts = nil
}

// Unpack is Receive and Commit of whatever came, for archives whose hash is compared by the caller through the returned manifest.
func Unpack(r io.Reader, dest *os.Root, lim Limits) (Manifest, error) {
	u, err := Receive(r, dest, lim, nil)
	if err != nil {
		return Manifest{}, err
	}
	if err := u.Commit(u.Manifest.ID()); err != nil {
		return Manifest{}, err
	}
	return u.Manifest, nil
}
