package spec

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// Why an entry is left out, for people.
const (
	whyPath     = "its path is absolute, leaves the folder, is too long or too deep, or has a backslash"
	whyLeaves   = "the link points outside of what is moved"
	whyKind     = "it is no file, folder or link"
	whyPipe     = "it is a named pipe"
	whyDevice   = "it is a device"
	whySocket   = "it is a socket"
	whyLarge    = "it is larger than 1 TiB"
	whyHardLink = "it is a hard link to a file that is not there"
)

// Limits of the list of what was left out; above them only the number grows. The list must fit into one message.
const (
	maxSkipped      = 200
	maxSkippedBytes = 32 << 10
	maxSkippedPath  = 512
)

// Skipped is a file that was left out, and why. As text, also in JSON: "path": why, the path quoted as in Go.
type Skipped struct{ Path, Why string }

func (s Skipped) String() string { return strconv.Quote(s.Path) + ": " + s.Why }

// MarshalText implements encoding.TextMarshaler.
func (s Skipped) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reverses String; other text is a reason without a path. It never fails: the text is a peer's.
func (s *Skipped) UnmarshalText(b []byte) error {
	text := string(b)
	*s = Skipped{Why: text}
	if q, err := strconv.QuotedPrefix(text); err == nil {
		if name, err := strconv.Unquote(q); err == nil {
			*s = Skipped{Path: name, Why: strings.TrimPrefix(text[len(q):], ": ")}
		}
	}
	return nil
}

// Skip notes what was left out.
func (m *Manifest) Skip(name, why string) {
	list := append(m.Skipped[:len(m.Skipped):len(m.Skipped)], Skipped{Path: cut(name, maxSkippedPath), Why: why})
	used := 0
	for _, s := range list {
		text := s.String()
		used += len(text) + strings.Count(text, `\`) + strings.Count(text, `"`) // JSON doubles them
	}
	if len(list) > maxSkipped || used > maxSkippedBytes {
		m.More++
		return
	}
	m.Skipped = list
}

// LeftOut is how many things were left out in all.
func (m Manifest) LeftOut() int { return len(m.Skipped) + m.More }

// Missing returns those of paths, below /workspace, of which the manifest has nothing, in their order.
func (m Manifest) Missing(paths []string) (out []string) {
	have := map[string]bool{}
	for _, e := range m.Entries {
		for p := e.Path; ; p = path.Dir(p) { // an entry stands for all folders that it lies in
			if have[p] {
				break
			}
			have[p] = true
			if p == "." || p == "/" {
				break
			}
		}
	}
	for _, p := range paths {
		if !have[InWorkspace(p)] {
			out = append(out, p)
		}
	}
	return out
}

// InWorkspace turns an absolute path at or below /workspace into one that is relative to it; /workspace itself is ".".
func InWorkspace(p string) string {
	rel := strings.TrimPrefix(strings.TrimPrefix(p, Workspace), "/")
	if rel == "" {
		return "."
	}
	return rel
}

// kindName says what a file is that is neither file, folder nor link, by its tar type.
func kindName(flag byte) string {
	switch flag {
	case '6':
		return whyPipe
	case '3', '4':
		return whyDevice
	}
	return fmt.Sprintf("%s (tar type %q)", whyKind, flag)
}
