package spec

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gpuai/gpuai/market"
)

// Source is a local file or directory and its place in the job, a path at or below /workspace. Exclude: patterns of path.Match against
// the path below From or its last element.
type Source struct {
	From, To string
	Exclude  []string
	SHA256   string // wanted hash of a single file, hex; empty = any
}

// Measure returns the sum of the file sizes of sources in bytes, so that a sender can state it first. Errors: *market.Error spec-path, I/O.
func Measure(sources []Source) (total uint64, err error) {
	err = eachSource(sources, nil, func(_ string, e Entry, _ func() (fs.File, error)) error {
		total += e.Size
		return nil
	})
	return total, err
}

// Pack writes sources as a tar with paths relative to /workspace, parents first, and returns its manifest. Symlinks that leave their
// source, and what is no file or directory, are skipped and listed. A file that shrinks meanwhile is an error; one that grows is cut.
// Errors: *market.Error spec-path, ErrArchive (two sources for one path, too many entries), I/O.
func Pack(w io.Writer, sources []Source) (Manifest, error) {
	var m Manifest
	tw := tar.NewWriter(w)
	seen := map[string]string{} // path to type
	want := wanted(sources)
	err := eachSource(sources, &m, func(name string, e Entry, open func() (fs.File, error)) error {
		e.Path = name
		if err := packParents(tw, &m, seen, path.Dir(name)); err != nil {
			return err
		}
		if old, twice := seen[name]; twice {
			if old == "dir" && e.Type == "dir" {
				return nil
			}
			return fmt.Errorf("%w: two inputs for %q", ErrArchive, name)
		}
		if len(seen) >= MaxEntries {
			return fmt.Errorf("%w: more than %d entries", ErrArchive, MaxEntries)
		}
		seen[name] = e.Type
		if err := packEntry(tw, &e, open); err != nil {
			return err
		}
		if sum := want[name]; sum != "" && sum != e.SHA256 {
			return &market.Error{
				Code: "input-hash", Kind: market.KindInvalid, Op: "pack input", Detail: name + " is not the file that sha256 names",
				Hint: "correct sha256 in the job file, or the file",
			}
		}
		m.Entries = append(m.Entries, e)
		return nil
	})
	if err != nil {
		return Manifest{}, err
	}
	if err := tw.Close(); err != nil {
		return Manifest{}, fmt.Errorf("write archive: %w", err)
	}
	slices.SortFunc(m.Entries, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return m, nil
}

// wanted maps paths in the archive to the hashes that the job file names.
func wanted(sources []Source) map[string]string {
	out := map[string]string{}
	for _, s := range sources {
		to := strings.TrimPrefix(strings.TrimPrefix(s.To, Workspace), "/")
		if to == "" {
			to = filepath.Base(s.From)
		}
		out[to] = s.SHA256
	}
	return out
}

func packParents(tw *tar.Writer, m *Manifest, seen map[string]string, dir string) error {
	if dir == "." || seen[dir] == "dir" {
		return nil
	}
	if err := packParents(tw, m, seen, path.Dir(dir)); err != nil {
		return err
	}
	if _, other := seen[dir]; other {
		return fmt.Errorf("%w: %q is a file and a directory", ErrArchive, dir)
	}
	seen[dir] = "dir"
	e := Entry{Path: dir, Type: "dir", Mode: 0o755}
	m.Entries = append(m.Entries, e)
	return packEntry(tw, &e, nil)
}

func packEntry(tw *tar.Writer, e *Entry, open func() (fs.File, error)) error {
	if err := tw.WriteHeader(header(*e)); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	if e.Type != "file" {
		return nil
	}
	f, err := open()
	if err != nil {
		return fmt.Errorf("open %q: %w", e.Path, err)
	}
	sum := sha256.New()
	_, err = io.CopyN(io.MultiWriter(tw, sum), f, int64(e.Size))
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("read %q: %w", e.Path, err)
	}
	e.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return nil
}

type sourceFunc func(name string, e Entry, open func() (fs.File, error)) error

// eachSource calls f for each file, directory and inner symlink, in order of the sources and their paths. m notes what is skipped.
func eachSource(sources []Source, m *Manifest, f sourceFunc) error {
	for _, s := range sources {
		if fault := checkWorkspace(s.To); fault != nil {
			return &market.Error{Code: fault.Code, Kind: market.KindInvalid, Op: "pack " + s.From, Detail: fault.text(), Hint: "gpuai run --help"}
		}
		to := strings.TrimPrefix(strings.TrimPrefix(s.To, Workspace), "/")
		info, err := os.Stat(s.From)
		if err != nil {
			return &market.Error{Code: "spec-path", Kind: market.KindInvalid, Op: "pack " + s.From, Err: err, Hint: "check the path before the colon of --in"}
		}
		dir, base := s.From, "."
		if !info.IsDir() {
			dir, base = filepath.Dir(s.From), filepath.Base(s.From)
			if to == "" {
				to = base // --in FILE:/workspace keeps the name
			}
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			return fmt.Errorf("pack %s: %w", s.From, err)
		}
		err = walkSource(root, base, to, s.Exclude, m, f)
		if err = errors.Join(err, root.Close()); err != nil {
			return fmt.Errorf("pack %s: %w", s.From, err)
		}
	}
	return nil
}

func walkSource(root *os.Root, base, to string, exclude []string, m *Manifest, f sourceFunc) error {
	if base != "." {
		info, err := root.Stat(base) // a single file may be named through a link inside its directory
		if err != nil {
			return err
		}
		return visitSource(root, base, to, info, m, f)
	}
	return fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := path.Join(to, p)
		if name == "." || name == "" {
			return nil
		}
		if p != "." && excluded(p, exclude) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return visitSource(root, p, name, info, m, f)
	})
}

func excluded(p string, patterns []string) bool {
	for _, x := range patterns {
		whole, _ := path.Match(x, p)
		last, _ := path.Match(x, path.Base(p))
		if whole || last {
			return true
		}
	}
	return false
}

func visitSource(root *os.Root, p, name string, info fs.FileInfo, m *Manifest, f sourceFunc) error {
	e := Entry{Path: name, Mode: uint32(info.Mode().Perm())}
	skip := func(why string) error {
		if m != nil && len(m.Skipped) < maxSkipped {
			m.Skipped = append(m.Skipped, fmt.Sprintf("%q: %s", cut(name, 128), why))
		}
		return nil
	}
	if !safePath(name) {
		return skip("path is too long, too deep or has odd characters")
	}
	switch {
	case info.Mode().IsRegular():
		e.Type, e.Size = "file", uint64(info.Size())
	case info.IsDir():
		e.Type = "dir"
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := root.Readlink(p)
		if err != nil {
			return err
		}
		if !safeLink(p, filepath.ToSlash(target)) {
			return skip("link leaves the input")
		}
		e.Type, e.Mode, e.Target = "symlink", 0o777, filepath.ToSlash(target)
	default:
		return skip("not a file, directory or symlink")
	}
	return f(name, e, func() (fs.File, error) { return root.Open(p) })
}
