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
	"slices"
	"syscall"
	"time"

	"github.com/gpuai/gpuai/market"
)

// Received is an archive whose files lie beside their places as .gpuai-part-… until Commit. Discard removes them.
type Received struct {
	Manifest Manifest
	dest     *os.Root
	parts    []part
	links    []Entry // symlinks
	hard     []Entry
	dirs     []Entry // made by this archive
	room     uint64  // for copies, where the disk knows no hard links
}

type part struct{ temp, name string }

// Receive reads a foreign tar below dest. Nothing it brings replaces a file before Commit; symlinks are made last, so
// no file of the archive passes through one. On error the parts are removed. rename: as in Filter. Errors: ErrArchive,
// *market.Error with lim.Code, or disk-full; I/O.
func Receive(r io.Reader, dest *os.Root, lim Limits, rename Rename) (*Received, error) {
	rd, u := &reading{lim: lim}, &Received{dest: dest}
	if err := rd.walk(r, Workspace, rename, u.place); err != nil {
		u.Discard()
		return nil, Full(err, bringAgain)
	}
	u.Manifest, u.room = rd.sorted(), lim.Total-min(rd.total, lim.Total)
	return u, nil
}

func (u *Received) place(e Entry, body io.Reader) error {
	switch {
	case e.Type == "symlink":
		u.links = append(u.links, e)
		return nil
	case e.Type == "dir":
		_, err := u.dest.Lstat(e.Path)
		if errors.Is(err, fs.ErrNotExist) {
			u.dirs = append(u.dirs, e)
		}
		return u.folder(e.Path)
	case e.Link != "":
		u.hard = append(u.hard, e)
		return nil
	}
	if err := u.folder(path.Dir(e.Path)); err != nil {
		return err
	}
	n, err := u.part(e, body)
	if err != nil {
		return fmt.Errorf("write %q: %w", e.Path, err)
	}
	if uint64(n) != e.Size {
		return fmt.Errorf("write %q: %w: %d of %d bytes", e.Path, ErrArchive, n, e.Size)
	}
	return nil
}

func (u *Received) folder(dir string) error {
	if dir == "." {
		return nil
	}
	if err := u.dest.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make directory %q: %w", dir, err)
	}
	return nil
}

func tempBeside(name string) string {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	return path.Join(path.Dir(name), partPrefix+hex.EncodeToString(id[:]))
}

// part writes a file beside its place.
func (u *Received) part(e Entry, body io.Reader) (n int64, err error) {
	temp := tempBeside(e.Path)
	f, err := u.dest.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fs.FileMode(e.Mode&0o777)|0o200)
	if err != nil {
		return 0, err
	}
	u.parts = append(u.parts, part{temp, e.Path})
	n, err = io.Copy(f, body)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = u.dated(temp, e)
	}
	return n, err
}

// dated gives a file its own time. A disk that keeps none is no reason to lose the file.
func (u *Received) dated(name string, e Entry) error {
	at := time.Unix(max(e.MTime, oldest), 0)
	if err := u.dest.Chtimes(name, at, at); err != nil && !errors.Is(err, errors.ErrUnsupported) &&
		!errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// Commit moves the files to their places if the manifest's id is want. Errors: *market.Error input-hash (the parts are
// removed), disk-full; I/O.
func (u *Received) Commit(want [32]byte) error {
	if u.Manifest.ID() != want {
		u.Discard()
		return &market.Error{
			Code: market.CodeInputHash, Kind: market.KindInvalid, Op: "receive files",
			Detail: "the files are not those of the manifest",
			Hint:   "try again; if it happens twice, use another provider",
		}
	}
	if err := u.commit(); err != nil {
		u.Discard()
		return Full(err, bringAgain)
	}
	return nil
}

func (u *Received) commit() error {
	for len(u.parts) > 0 {
		p := u.parts[0]
		if err := u.dest.Rename(p.temp, p.name); err != nil {
			return fmt.Errorf("move %q into place: %w", p.name, err)
		}
		u.parts = u.parts[1:]
	}
	for _, e := range u.hard {
		if err := u.second(e); err != nil {
			return fmt.Errorf("write %q: %w", e.Path, err)
		}
	}
	for _, e := range u.links {
		if err := u.link(e); err != nil {
			return err
		}
	}
	for _, e := range slices.Backward(u.dirs) { // last: what is written into a folder changes its time
		if err := u.dest.Chmod(e.Path, fs.FileMode(e.Mode&0o755)|0o700); err != nil &&
			!errors.Is(err, fs.ErrPermission) && !errors.Is(err, errors.ErrUnsupported) {
			return fmt.Errorf("set mode of %q: %w", e.Path, err)
		}
		if err := u.dated(e.Path, e); err != nil {
			return fmt.Errorf("set time of %q: %w", e.Path, err)
		}
	}
	return nil
}

// second makes another name of a file, or where the disk has no such thing, a copy of it.
func (u *Received) second(e Entry) error {
	if err := u.folder(path.Dir(e.Path)); err != nil {
		return err
	}
	temp := tempBeside(e.Path)
	if err := u.dest.Link(e.Link, temp); err == nil {
		return u.dest.Rename(temp, e.Path)
	}
	if e.Size > u.room {
		return Limits{Code: market.CodeOutputTooBig}.tooBig()
	}
	u.room -= e.Size
	f, err := u.dest.Open(e.Link)
	if err != nil {
		return err
	}
	_, err = u.part(e, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	last := len(u.parts) - 1
	if err := u.dest.Rename(u.parts[last].temp, e.Path); err != nil {
		return err
	}
	u.parts = u.parts[:last]
	return nil
}

// link replaces an older symlink, but never a file or directory.
func (u *Received) link(e Entry) error {
	if err := u.folder(path.Dir(e.Path)); err != nil {
		return err
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

// Full gives a full disk its code, and what to do then.
func Full(err error, hint string) error {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, diskQuota) {
		return err
	}
	return &market.Error{Code: market.CodeDiskFull, Kind: market.KindUnavailable, Op: "write files", Err: err,
		Hint: hint}
}

const bringAgain = "free some space, then bring them again: gpuai outputs ID DIR"

// Unpack is Receive and Commit of whatever came, for archives whose hash is compared by the caller through the returned
// manifest.
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
