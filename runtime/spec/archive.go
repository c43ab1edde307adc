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

	"github.com/gpuai/gpuai/market"
)

// Limits of archives from outside.
const (
	MaxEntries      = 200_000
	maxDepth        = 64
	maxFile         = 1 << 40
	maxManifestText = 64 << 20
	maxSkipped      = 1000
	partPrefix      = ".gpuai-part-"
)

// ErrArchive reports an archive that an honest sender does not make.
var ErrArchive = errors.New("bad archive")

// Limits bounds what an archive may bring. Total: sum of file sizes. Code of the error when it is exceeded, default input-too-big.
type Limits struct {
	Total uint64
	Code  string
}

func (l Limits) tooBig() error {
	code := l.Code
	if code == "" {
		code = "input-too-big"
	}
	return &market.Error{
		Code: code, Kind: market.KindInvalid, Op: "receive files", Detail: fmt.Sprintf("more than %d bytes", l.Total),
		Hint: "send less, or ask for more disk",
	}
}

// reading walks a foreign tar: it bounds, checks and hashes; what it does with an entry is the visitor's.
type reading struct {
	lim      Limits
	manifest Manifest
	seen     map[string]bool
	total    uint64
	text     int
}

// visitor takes one safe entry; body is nil but for files and must be read to its end.
type visitor func(e Entry, body io.Reader) error

func (rd *reading) walk(r io.Reader, rename func(string) (string, bool), visit visitor) error {
	tr := tar.NewReader(r)
	rd.seen = map[string]bool{}
	for n := 0; ; n++ {
		h, err := tr.Next()
		switch {
		case errors.Is(err, io.EOF):
			slices.SortFunc(rd.manifest.Entries, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
			return nil
		case err != nil:
			return fmt.Errorf("read archive: %w", err)
		case n >= 2*MaxEntries:
			return fmt.Errorf("%w: more than %d entries", ErrArchive, MaxEntries)
		}
		if err := rd.entry(tr, h, rename, visit); err != nil {
			return err
		}
	}
}

func (rd *reading) entry(tr *tar.Reader, h *tar.Header, rename func(string) (string, bool), visit visitor) error {
	e, why := safeEntry(h)
	if why == "" && rename != nil {
		to, ok := rename(e.Path)
		if !ok {
			return nil
		}
		if e.Path = to; !safePath(to) {
			why = "unsafe path"
		}
	}
	if why != "" || e.Path == "." {
		rd.skip(h.Name, why)
		return nil
	}
	if rd.seen[e.Path] {
		return fmt.Errorf("%w: %q twice", ErrArchive, cut(e.Path, 64))
	}
	if len(rd.seen) >= MaxEntries {
		return fmt.Errorf("%w: more than %d entries", ErrArchive, MaxEntries)
	}
	rd.seen[e.Path] = true
	if rd.text += len(e.Path) + len(e.Target) + 160; rd.text > maxManifestText {
		return fmt.Errorf("%w: manifest above 64 MiB", ErrArchive)
	}
	if e.Type != "file" {
		if err := visit(e, nil); err != nil {
			return err
		}
		rd.manifest.Entries = append(rd.manifest.Entries, e)
		return nil
	}
	if e.Size > rd.lim.Total-min(rd.total, rd.lim.Total) {
		return rd.lim.tooBig()
	}
	rd.total += e.Size
	sum := sha256.New()
	body := io.TeeReader(tr, sum)
	if err := visit(e, body); err != nil {
		return err
	}
	e.SHA256 = hex.EncodeToString(sum.Sum(nil))
	rd.manifest.Entries = append(rd.manifest.Entries, e)
	return nil
}

func (rd *reading) skip(name, why string) {
	if why != "" && len(rd.manifest.Skipped) < maxSkipped {
		rd.manifest.Skipped = append(rd.manifest.Skipped, fmt.Sprintf("%q: %s", cut(name, 128), why))
	}
}

// safeEntry turns a foreign header into an entry, or says why it is dropped.
func safeEntry(h *tar.Header) (e Entry, why string) {
	name := path.Clean(strings.TrimSuffix(strings.TrimPrefix(h.Name, "./"), "/"))
	if strings.HasPrefix(h.Name, "/") || !safePath(name) {
		return e, "unsafe path"
	}
	e = Entry{Path: name, Mode: uint32(h.Mode) & 0o777}
	switch h.Typeflag {
	case tar.TypeReg:
		if h.Size < 0 || h.Size > maxFile {
			return e, "larger than 1 TiB"
		}
		e.Type, e.Size = "file", uint64(h.Size)
	case tar.TypeDir:
		e.Type = "dir"
	case tar.TypeSymlink:
		if !safeLink(name, h.Linkname) {
			return e, "link leaves the directory"
		}
		e.Type, e.Target, e.Mode = "symlink", h.Linkname, 0o777
	default:
		return e, "not a file, directory or symlink"
	}
	return e, ""
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

// safeLink accepts a relative target that stays below the root, seen from the link's directory.
func safeLink(name, target string) bool {
	if target == "" || target[0] == '/' || len(target) > maxPathBytes || strings.ContainsAny(target, "\x00\\") {
		return false
	}
	to := path.Join(path.Dir(name), target)
	return to != ".." && !strings.HasPrefix(to, "../")
}

// Filter copies a foreign tar as a safe one: headers are written anew, files are hashed while they flow, the rest is skipped and listed.
// rename maps an entry's path or drops it (false); nil keeps all. Errors: ErrArchive, *market.Error with lim.Code above lim.Total, I/O.
func Filter(r io.Reader, w io.Writer, lim Limits, rename func(string) (string, bool)) (Manifest, error) {
	rd, tw := &reading{lim: lim}, tar.NewWriter(w)
	err := rd.walk(r, rename, func(e Entry, body io.Reader) error {
		if err := tw.WriteHeader(header(e)); err != nil {
			return fmt.Errorf("write archive: %w", err)
		}
		if body == nil {
			return nil
		}
		if _, err := io.Copy(tw, body); err != nil {
			return fmt.Errorf("copy %q: %w", e.Path, err)
		}
		return nil
	})
	if err != nil {
		return Manifest{}, err
	}
	if err := tw.Close(); err != nil {
		return Manifest{}, fmt.Errorf("write archive: %w", err)
	}
	return rd.manifest, nil
}

// header is the only way a tar header is made here: no owner, time, xattr or setuid bit travels.
func header(e Entry) *tar.Header {
	h := &tar.Header{Name: e.Path, Mode: int64(e.Mode & 0o777), Size: int64(e.Size), Format: tar.FormatPAX, Typeflag: tar.TypeReg}
	switch e.Type {
	case "dir":
		h.Name, h.Size, h.Typeflag = e.Path+"/", 0, tar.TypeDir
	case "symlink":
		h.Size, h.Typeflag, h.Linkname = 0, tar.TypeSymlink, e.Target
	}
	return h
}
