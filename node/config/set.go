package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Set changes keys of the file that Load reads, one line each, and keeps all comments; a missing file is made (0600).
// The result must be valid before it replaces the old file by a rename. A running node knows it only if it is asked to
// set it. Errors: *market.Error config-invalid; I/O.
func Set(o Options, values map[string]string) (path string, err error) {
	path, raw, err := changed(o, values)
	if err != nil {
		return path, err
	}
	return path, write(path, raw)
}

// Check says what Set would refuse, and changes nothing.
func Check(o Options, values map[string]string) error {
	_, _, err := changed(o, values)
	return err
}

func changed(o Options, values map[string]string) (path string, raw []byte, err error) {
	path, _ = Path(o)
	raw, err = os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return path, nil, fmt.Errorf("read config: %w", err)
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		k, ok := find(name)
		if !ok {
			return path, nil, unknownKey("%s is no key%s", name, DidYouMean(name))
		}
		var c Config
		if err := k.set(&c, values[name]); err != nil {
			return path, nil, invalid("%s: %v", name, err)
		}
		raw = []byte(edit(string(raw), name, k.literal(&c)))
	}
	l := Loaded{Origin: map[string]string{}}
	if err := errors.Join(l.defaults(), l.file(path, raw)); err != nil {
		return path, nil, err
	}
	l.bySystem(o.Env)
	return path, raw, l.Validate()
}

var header = regexp.MustCompile(`^\s*\[\s*([A-Za-z0-9_]+)\s*\]`)

// edit replaces the line of a key, or adds it at the end of its section, made if missing. A key whose value spans lines
// is replaced whole.
func edit(raw, name, literal string) string {
	section, key, _ := strings.Cut(name, ".")
	line := key + " = " + literal
	lines := strings.Split(strings.TrimSuffix(raw, "\n"), "\n")
	if raw == "" {
		lines = nil
	}
	isKey := regexp.MustCompile(`^\s*` + regexp.QuoteMeta(key) + `\s*=`)
	in, last := "", -1
	for i, s := range lines {
		if m := header.FindStringSubmatch(s); m != nil {
			in = m[1]
		}
		if in != section {
			continue
		}
		if isKey.MatchString(s) {
			end := i + span(lines[i:])
			comment := trailing(strings.Join(lines[i:end], "\n"))
			return strings.Join(slices.Concat(lines[:i], []string{line + comment}, lines[end:]), "\n") + "\n"
		}
		if strings.TrimSpace(s) != "" {
			last = i
		}
	}
	if last < 0 {
		if len(lines) > 0 {
			lines = append(lines, "")
		}
		return strings.Join(append(lines, "["+section+"]", line), "\n") + "\n"
	}
	return strings.Join(slices.Insert(lines, last+1, line), "\n") + "\n"
}

// span is how many lines the value that begins on the first one takes: an array may go on until its bracket closes.
func span(lines []string) int {
	depth := 0
	for i, s := range lines {
		quoted := byte(0)
		for j := 0; j < len(s); j++ {
			switch c := s[j]; {
			case quoted != 0 && c == '\\' && quoted == '"':
				j++
			case quoted != 0:
				if c == quoted {
					quoted = 0
				}
			case c == '"' || c == '\'':
				quoted = c
			case c == '#':
				j = len(s)
			case c == '[' || c == '{':
				depth++
			case c == ']' || c == '}':
				depth--
			}
		}
		if depth <= 0 {
			return i + 1
		}
	}
	return len(lines)
}

// trailing is the comment behind a value, with its leading space.
func trailing(s string) string {
	quoted := byte(0)
	for j := 0; j < len(s); j++ {
		switch c := s[j]; {
		case quoted != 0 && c == '\\' && quoted == '"':
			j++
		case quoted != 0:
			if c == quoted {
				quoted = 0
			}
		case c == '"' || c == '\'':
			quoted = c
		case c == '#':
			if strings.Contains(s[j:], "\n") {
				return "" // comments inside a value go with it
			}
			return " " + s[j:]
		}
	}
	return ""
}

func write(path string, raw []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make config folder: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".config-*")
	if err != nil {
		return fmt.Errorf("write config: %w", err)
	}
	_, err = f.Write(raw)
	err = errors.Join(err, keepOwner(f, path), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write config: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}
