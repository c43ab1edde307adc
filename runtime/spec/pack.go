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

// Source is a local file or directory and its place in the job, a path at or below /workspace. Exclude: patterns of
// path.Match against the path below From or its last element.
type Source struct {
	From, To string
	Exclude  []string
	SHA256   string // wanted hash of a single file, hex; empty = any
	Key      string // where a job file names it, as in inputs[0].from; empty: a flag
}

// Measure returns the sum of the file sizes of sources in bytes, so that a sender can state it first, and in left what
// Pack will skip.
// Errors: *market.Error spec-path, I/O.
func Measure(sources []Source) (total uint64, left Manifest, err error) {
	err = eachSource(sources, &left, func(_ string, e Entry, _ func() (fs.File, error)) error {
		total += e.Size
		return nil
	})
	return total, left, err
}

// Pack writes sources as a tar with paths relative to /workspace, parents first, and returns its manifest. Symlinks
// that leave their source, and what is no file or directory, are skipped and listed by their local path; an absolute
// link into its source is made relative. A second name of a file brings its content again. A file that shrinks
// meanwhile is an error; one that grows is cut.
// Errors: *market.Error spec-path, ErrArchive (two sources for one path, too many entries), I/O.
func Pack(w io.Writer, sources []Source) (Manifest, error) {
	var m Manifest
	tw := tar.NewWriter(w)
	seen := map[string]string{} // path to type
	want := wanted(sources)
	err := eachSource(sources, &m, func(name string, e Entry, open func() (fs.File, error)) error {
		e.Path = name
		if err := packParents(tw, &m, seen, path.Dir(name), e.MTime); err != nil {
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
				Code: market.CodeInputHash, Kind: market.KindInvalid, Op: "pack input",
				Detail: name + " is not the file that sha256 names",
				Hint:   "correct sha256 in the job file, or the file",
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

// packParents makes the folders above an entry, as old as it.
func packParents(tw *tar.Writer, m *Manifest, seen map[string]string, dir string, mtime int64) error {
	if dir == "." || seen[dir] == "dir" {
		return nil
	}
	if err := packParents(tw, m, seen, path.Dir(dir), mtime); err != nil {
		return err
	}
	if _, other := seen[dir]; other {
		return fmt.Errorf("%w: %q is a file and a directory", ErrArchive, dir)
	}
	seen[dir] = "dir"
	e := Entry{Path: dir, Type: "dir", Mode: 0o755, MTime: mtime}
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

// eachSource calls f for each file, directory and inner symlink, in order of the sources and their paths. m notes what
// is skipped.
func eachSource(sources []Source, m *Manifest, f sourceFunc) error {
	for _, s := range sources {
		if fault := checkWorkspace(s.To); fault != nil {
			return &market.Error{Code: fault.Code, Kind: market.KindInvalid, Op: "pack " + s.From, Detail: fault.text(),
				Hint: "gpuai run --help"}
		}
		info, err := os.Stat(s.From)
		if err == nil && !info.IsDir() && !info.Mode().IsRegular() {
			err = errors.New("it is no file or folder")
		}
		if err != nil {
			return s.fault(err)
		}
		w := sourceWalk{s: s, m: m, f: f, to: strings.TrimPrefix(strings.TrimPrefix(s.To, Workspace), "/"), dir: s.From}
		base := "."
		if !info.IsDir() {
			w.dir, base = filepath.Dir(s.From), filepath.Base(s.From)
			if w.to == "" {
				w.to = base // --in FILE:/workspace keeps the name
			}
		}
		if w.root, err = os.OpenRoot(w.dir); err != nil {
			return fmt.Errorf("pack %s: %w", s.From, err)
		}
		if base == "." {
			err = w.all()
		} else if info, err = w.root.Stat(base); err == nil {
			// a single file may be named through a link inside its directory
			err = w.visit(base, w.to, info)
		}
		if err = errors.Join(err, w.root.Close()); err != nil {
			return fmt.Errorf("pack %s: %w", s.From, err)
		}
	}
	return nil
}

// fault says which input cannot be read, where it was looked for, and in whose words it was asked for.
func (s Source) fault(err error) error {
	if pe := new(fs.PathError); errors.As(err, &pe) {
		err = pe.Err
	}
	e := &market.Error{Code: market.CodeSpecPath, Kind: market.KindInvalid, Op: "pack " + s.From,
		Detail: s.From + ": " + err.Error(), Hint: "check the path before the colon of --in"}
	if s.Key != "" {
		e.Hint = "check " + s.Key + " in the job file: a relative path begins in the folder of that file"
	}
	if abs, aerr := filepath.Abs(s.From); aerr == nil && abs != s.From {
		e.Detail = fmt.Sprintf("%s (%s): %v", s.From, abs, err)
	}
	if s.Key != "" {
		e.Detail = s.Key + ": " + e.Detail
	}
	return e
}

// sourceWalk goes through one source. to is its place, relative to /workspace.
type sourceWalk struct {
	s    Source
	m    *Manifest
	f    sourceFunc
	to   string
	dir  string
	root *os.Root
}

func (w sourceWalk) all() error {
	return fs.WalkDir(w.root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := path.Join(w.to, p)
		if name == "." || name == "" {
			return nil
		}
		if p != "." && excluded(p, w.s.Exclude) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return w.visit(p, name, info)
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

func (w sourceWalk) visit(p, name string, info fs.FileInfo) error {
	e := Entry{Path: name, Mode: uint32(info.Mode().Perm()), MTime: mtimeOf(info.ModTime())}
	why := ""
	switch mode := info.Mode(); {
	case !safePath(name):
		why = whyPath
	case mode.IsRegular():
		e.Type, e.Size = "file", uint64(info.Size())
	case mode.IsDir():
		e.Type = "dir"
	case mode&fs.ModeSymlink != 0:
		target, err := w.root.Readlink(p)
		if err != nil {
			return err
		}
		e.Type, e.Mode = "symlink", 0o777
		if e.Target, why = w.link(p, target); why == "" {
			break
		}
	case mode&fs.ModeNamedPipe != 0:
		why = whyPipe
	case mode&fs.ModeSocket != 0:
		why = whySocket
	case mode&fs.ModeDevice != 0:
		why = whyDevice
	default:
		why = whyKind
	}
	if why != "" {
		if w.m != nil {
			w.m.Skip(filepath.Join(w.dir, filepath.FromSlash(p)), why)
		}
		return nil
	}
	return w.f(name, e, func() (fs.File, error) { return w.root.Open(p) })
}

// link is a symlink's target, relative and inside the source, or why it is left out.
func (w sourceWalk) link(p, target string) (string, string) {
	if !filepath.IsAbs(target) {
		target = filepath.ToSlash(target)
		if _, ok := pointsTo(Workspace, p, target); !ok || path.IsAbs(target) {
			return "", whyLeaves
		}
		return target, ""
	}
	abs, err := filepath.Abs(w.dir)
	if err != nil {
		return "", whyLeaves
	}
	real, err := filepath.EvalSymlinks(abs)
	if err != nil {
		real = abs
	}
	for _, base := range []string{abs, real} {
		rel, err := filepath.Rel(base, filepath.Clean(target))
		if rel = filepath.ToSlash(rel); err == nil && (rel == "." || safePath(rel)) {
			return relative(path.Dir(p), rel), ""
		}
	}
	return "", whyLeaves
}
