package spec

import (
	"archive/tar"
	"fmt"
	"io"
)

// Writer joins foreign tars into one safe one: headers are written anew, files are hashed while they flow, the rest is
// skipped and listed. The zero value is not usable; use NewWriter, Add for each tar, then Close.
type Writer struct {
	rd reading
	tw *tar.Writer
}

// NewWriter writes to w. Limits count over all tars.
func NewWriter(w io.Writer, lim Limits) *Writer {
	return &Writer{rd: reading{lim: lim}, tw: tar.NewWriter(w)}
}

// Add copies one tar. base is the job's path that its names are relative to: an absolute link below it stays one
// inside. A hard link may name what came before in the same tar. Errors: ErrArchive, also for a path that came before;
// *market.Error with lim.Code above lim.Total; I/O.
func (w *Writer) Add(r io.Reader, base string, rename Rename) error {
	return w.rd.walk(r, base, rename, func(e Entry, body io.Reader) error {
		if err := w.tw.WriteHeader(header(e)); err != nil {
			return fmt.Errorf("write archive: %w", err)
		}
		if body == nil {
			return nil
		}
		if _, err := io.Copy(w.tw, body); err != nil {
			return fmt.Errorf("copy %q: %w", e.Path, err)
		}
		return nil
	})
}

// Skip notes something that never came as an entry.
func (w *Writer) Skip(name, why string) { w.rd.manifest.Skip(name, why) }

// Close ends the archive and returns its manifest.
func (w *Writer) Close() (Manifest, error) {
	if err := w.tw.Close(); err != nil {
		return Manifest{}, fmt.Errorf("write archive: %w", err)
	}
	return w.rd.sorted(), nil
}

// Filter copies a foreign tar, whose names are relative to /workspace, as a safe one, see Writer.
func Filter(r io.Reader, w io.Writer, lim Limits, rename Rename) (Manifest, error) {
	f := NewWriter(w, lim)
	if err := f.Add(r, Workspace, rename); err != nil {
		return Manifest{}, err
	}
	return f.Close()
}
