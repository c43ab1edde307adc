package spec

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
)

// Limits of archives from outside.
const (
	MaxEntries      = 200_000
	maxDepth        = 64
	maxFile         = 1 << 40
	maxManifestText = 64 << 20
	partPrefix      = ".gpuai-part-"
)

// ErrArchive reports an archive that an honest sender does not make.
var ErrArchive = errors.New("bad archive")

// Limits bounds what an archive may bring. Total: sum of file sizes. Code of the error when it is exceeded, default
// input-too-big.
type Limits struct {
	Total uint64
	Code  market.Code
}

func (l Limits) tooBig() error {
	code := l.Code
	if code == "" {
		code = market.CodeInputTooBig
	}
	return &market.Error{
		Code: code, Kind: market.KindInvalid, Op: "receive files", Detail: fmt.Sprintf("more than %d bytes", l.Total),
		Hint: "send less, or ask for more disk",
	}
}

// Rename maps the path of a foreign entry to the one that it gets, or drops it (false); nil keeps all.
type Rename func(string) (string, bool)

func (f Rename) of(name string) (string, bool) {
	if f == nil {
		return name, true
	}
	return f(name)
}

// reading walks foreign tars: it bounds, checks and hashes; what it does with an entry is the visitor's.
type reading struct {
	lim      Limits
	manifest Manifest
	seen     map[string]bool
	total    uint64
	text     int
	n        int

	base  string            // of this tar: the job's path that its names are relative to
	files map[string]int    // of this tar: foreign name of a file to its place in the manifest
	links map[string]string // of this tar: foreign name of a symlink to its target as it came
}

// visitor takes one safe entry; body is nil but for files and must be read to its end. A file with a Link has no body.
type visitor func(e Entry, body io.Reader) error

func (rd *reading) walk(r io.Reader, base string, rename Rename, visit visitor) error {
	tr := tar.NewReader(r)
	rd.base = base
	if rd.seen == nil {
		rd.seen = map[string]bool{}
	}
	rd.files, rd.links = map[string]int{}, map[string]string{}
	for ; ; rd.n++ {
		h, err := tr.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read archive: %w", err)
		case rd.n >= 2*MaxEntries:
			return fmt.Errorf("%w: more than %d entries", ErrArchive, MaxEntries)
		}
		if err := rd.entry(tr, h, rename, visit); err != nil {
			return err
		}
	}
}

// sorted is the manifest of all that was walked.
func (rd *reading) sorted() Manifest {
	slices.SortFunc(rd.manifest.Entries, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return rd.manifest
}

func (rd *reading) entry(tr *tar.Reader, h *tar.Header, rename Rename, visit visitor) error {
	name, ok := cleanName(h.Name)
	if !ok {
		rd.manifest.Skip(h.Name, whyPath)
		return nil
	}
	to, keep := rename.of(name)
	if !keep {
		return nil
	}
	if !safePath(to) {
		rd.manifest.Skip(to, whyPath)
		return nil
	}
	e, why := rd.safeEntry(h, name, to, rename)
	if why != "" {
		rd.manifest.Skip(to, why)
	}
	if why != "" || to == "." {
		return nil
	}
	if rd.seen[to] {
		return fmt.Errorf("%w: %q twice", ErrArchive, cut(to, 64))
	}
	if len(rd.seen) >= MaxEntries {
		return fmt.Errorf("%w: more than %d entries", ErrArchive, MaxEntries)
	}
	rd.seen[to] = true
	if rd.text += len(e.Path) + len(e.Target) + len(e.Link) + 160; rd.text > maxManifestText {
		return fmt.Errorf("%w: manifest above 64 MiB", ErrArchive)
	}
	if err := rd.take(tr, &e, visit); err != nil {
		return err
	}
	if e.Type == "file" {
		rd.files[name] = len(rd.manifest.Entries)
	}
	rd.manifest.Entries = append(rd.manifest.Entries, e)
	return nil
}

// take gives an entry to the visitor; a file is counted and hashed on the way.
func (rd *reading) take(tr *tar.Reader, e *Entry, visit visitor) error {
	if e.Type != "file" || e.Link != "" {
		return visit(*e, nil)
	}
	if e.Size > rd.lim.Total-min(rd.total, rd.lim.Total) {
		return rd.lim.tooBig()
	}
	rd.total += e.Size
	sum := sha256.New()
	if err := visit(*e, io.TeeReader(tr, sum)); err != nil {
		return err
	}
	e.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return nil
}

// safeEntry turns a foreign header into an entry, or says why it is left out. name is its own, to the one that it gets.
func (rd *reading) safeEntry(h *tar.Header, name, to string, rename Rename) (e Entry, why string) {
	e = Entry{Path: to, Mode: uint32(h.Mode) & 0o777, MTime: mtimeOf(h.ModTime)}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont:
		if h.Size < 0 || h.Size > maxFile {
			return e, whyLarge
		}
		e.Type, e.Size = "file", uint64(h.Size)
	case tar.TypeDir:
		e.Type = "dir"
	case tar.TypeSymlink:
		return rd.symlink(e, name, h.Linkname, rename)
	case tar.TypeLink:
		return rd.hardLink(e, name, h.Linkname, rename)
	default:
		return e, kindName(h.Typeflag)
	}
	return e, ""
}

// symlink keeps a target that is moved too, as a relative one.
func (rd *reading) symlink(e Entry, name, target string, rename Rename) (Entry, string) {
	at, ok := pointsTo(rd.base, name, target)
	if !ok {
		return e, whyLeaves
	}
	if at, ok = rename.of(at); !ok || at != "." && !safePath(at) {
		return e, whyLeaves
	}
	rd.links[name] = target
	e.Type, e.Mode, e.Target = "symlink", 0o777, target
	if path.IsAbs(target) || rename != nil && path.Join(path.Dir(e.Path), target) != at {
		e.Target = relative(path.Dir(e.Path), at)
	}
	return e, ""
}

// hardLink is another name of a file, or of a symlink, that came before.
func (rd *reading) hardLink(e Entry, name, target string, rename Rename) (Entry, string) {
	first, ok := cleanName(target)
	if !ok {
		return e, whyHardLink
	}
	if raw, ok := rd.links[first]; ok {
		return rd.symlink(e, name, raw, rename)
	}
	i, ok := rd.files[first]
	if !ok {
		return e, whyHardLink
	}
	f := rd.manifest.Entries[i]
	link := f.Path
	if f.Link != "" {
		link = f.Link
	}
	f.Path, f.Link = e.Path, link
	rd.files[name] = i
	return f, ""
}

// cleanName is an archive's name for an entry without "./" and a last slash; false: it is none below the root.
func cleanName(s string) (string, bool) {
	name := path.Clean(strings.TrimSuffix(strings.TrimPrefix(s, "./"), "/"))
	return name, !strings.HasPrefix(s, "/") && safePath(name)
}

// safePath accepts a clean relative path that stays below its root.
func safePath(p string) bool {
	if p == "" || p[0] == '/' || len(p) > maxPathBytes || path.Clean(p) != p || strings.ContainsAny(p, "\x00\\") {
		return false
	}
	parts := strings.Split(p, "/")
	for _, part := range parts {
		if part == ".." || strings.HasPrefix(part, partPrefix) {
			return false
		}
	}
	return len(parts) <= maxDepth
}

// pointsTo is the path, relative to the root, that a link's target names; false if it leaves the root. An absolute one
// names a path of the job, where base is the root.
func pointsTo(base, name, target string) (string, bool) {
	if target == "" || len(target) > maxPathBytes || strings.ContainsAny(target, "\x00\\") {
		return "", false
	}
	if target[0] != '/' {
		to := path.Join(path.Dir(name), target)
		return to, to != ".." && !strings.HasPrefix(to, "../")
	}
	to := path.Clean(target)
	if to == base {
		return ".", true
	}
	return strings.CutPrefix(to, strings.TrimSuffix(base, "/")+"/")
}

// relative is how a link in dir names to, both relative to the root.
func relative(dir, to string) string {
	var from, want []string
	if dir != "." {
		from = strings.Split(dir, "/")
	}
	if to != "." {
		want = strings.Split(to, "/")
	}
	for len(from) > 0 && len(want) > 0 && from[0] == want[0] {
		from, want = from[1:], want[1:]
	}
	return path.Clean(strings.Repeat("../", len(from)) + strings.Join(want, "/"))
}

// header is the only way a tar header is made here: no owner, xattr or setuid bit travels.
func header(e Entry) *tar.Header {
	h := &tar.Header{
		Name: e.Path, Mode: int64(e.Mode & 0o777), Size: int64(e.Size), Format: tar.FormatPAX, Typeflag: tar.TypeReg,
		ModTime: time.Unix(max(e.MTime, oldest), 0).UTC(),
	}
	switch {
	case e.Type == "dir":
		h.Name, h.Size, h.Typeflag = e.Path+"/", 0, tar.TypeDir
	case e.Type == "symlink":
		h.Size, h.Typeflag, h.Linkname = 0, tar.TypeSymlink, e.Target
	case e.Link != "":
		h.Size, h.Typeflag, h.Linkname = 0, tar.TypeLink, e.Link
	}
	return h
}
