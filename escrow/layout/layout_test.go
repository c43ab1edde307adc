package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestOutputs_AreWhatTheTableSays: the Go codec, the TypeScript codec and the IDL were made of this table.
func TestOutputs_AreWhatTheTableSays(t *testing.T) {
	files, err := outputs()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range files {
		if got, err := os.ReadFile(filepath.Join("../..", path)); err != nil || string(got) != want {
			t.Errorf("%s is not what the table says (make docs writes it), %v", path, err)
		}
	}
}

// constants reads "pub const NAME: TYPE = VALUE;" of the program's sources.
func constants(t *testing.T, files ...string) map[string]uint64 {
	t.Helper()
	out := map[string]uint64{}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join("../program/src", f))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^pub const ([A-Z0-9_]+): \w+ = (\d+);`).FindAllStringSubmatch(
			string(b), -1) {
			if out[m[1]], err = strconv.ParseUint(m[2], 10, 64); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

// TestTable_IsTheProgram: offsets, codes, tags, data lengths and account counts of the table are those of the sources.
func TestTable_IsTheProgram(t *testing.T) {
	offsets := constants(t, "channel.rs")
	fields, n := Channel.Places()
	if n != 384 || offsets["LEN"] != 384 {
		t.Errorf("a Channel has %d bytes, the program says %d", n, offsets["LEN"])
	}
	known := 0
	for _, f := range fields {
		if at, ok := offsets[strings.ToUpper(f.Name)]; ok {
			known++
			if at != uint64(f.At) {
				t.Errorf("%s lies at %d, the program says %d", f.Name, f.At, at)
			}
		}
	}
	if known != 19 {
		t.Errorf("%d fields of the table are in channel.rs, want 19", known)
	}
	codes := constants(t, "sys.rs")
	for _, c := range Codes {
		name := strings.ToUpper(strings.ReplaceAll(c.Name, "-", "_"))
		if got, ok := codes[name]; ok && got != uint64(c.Number) {
			t.Errorf("%s is %d, the program says %d", c.Name, c.Number, got)
		}
		delete(codes, name)
	}
	for name, v := range codes {
		if v >= 100 {
			t.Errorf("the program's code %s %d is not in the table", name, v)
		}
	}
	lib, err := os.ReadFile("../program/src/lib.rs")
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range Instructions {
		_, n := i.Places()
		call := regexp.MustCompile(fmt.Sprintf(`\b%d => \w+::\w+\(x\.exactly\(%d\)\?`, i.Tag, n))
		if !call.Match(lib) {
			t.Errorf("the program does not read %d bytes for tag %d, %s", n, i.Tag, i.Name)
		}
		block := regexp.MustCompile(fmt.Sprintf(`(?s)if n == %d \{[^}]*?\b%d => `, len(i.Accounts), i.Tag))
		last := regexp.MustCompile(fmt.Sprintf(`(?s)if n != %d \{.*\b%d => `, len(i.Accounts), i.Tag))
		if !block.Match(lib) && !last.Match(lib) {
			t.Errorf("the program does not take %d accounts for tag %d, %s", len(i.Accounts), i.Tag, i.Name)
		}
	}
}
