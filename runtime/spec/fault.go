package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpuai/gpuai/market"
)

const maxFaults = 20

// Fault is one problem of a job file. Code: spec-syntax, -alias, -size, -unknown-key, -type, -unit, -range, -format,
// -required, -path, -env-reserved, -conflict, -image. Line and Column count from 1; 0: the value came from a flag, or
// is missing.
type Fault struct {
	Code           market.Code
	Path           string
	Line, Column   int
	Got, Want, Fix string
}

func (f Fault) text() string {
	s := f.Want
	switch {
	case f.Got != "" && f.Code == market.CodeSpecUnit:
		s = f.Want
	case f.Got != "":
		s = fmt.Sprintf("%q is not allowed; want %s", f.Got, f.Want)
	}
	if f.Fix != "" {
		s += "; " + f.Fix
	}
	return s
}

// String writes the fault with the file's name: `job.yaml:7:9: gpu.vram: "24" has no unit; write 24GB or 24GiB
// [spec-unit]`.
func (f Fault) String() string { return f.In("") }

// In is String with the name of the file; flags have no position.
func (f Fault) In(file string) string {
	s := ""
	switch {
	case f.Line > 0 && file != "":
		s = fmt.Sprintf("%s:%d:%d: ", file, f.Line, f.Column)
	case file != "" && f.Path == "": // of the file as a whole
		s = file + ": "
	case f.Line > 0:
		s = fmt.Sprintf("%d:%d: ", f.Line, f.Column)
	}
	if f.Path != "" {
		s += f.Path + ": "
	}
	return s + f.text() + " [" + string(f.Code) + "]"
}

// AsError joins faults into one *market.Error with the first fault's code, or nil. name is the file's name, "" for
// flags.
func AsError(name string, faults []Fault) error {
	if len(faults) == 0 {
		return nil
	}
	lines := make([]string, len(faults))
	for i, f := range faults {
		lines[i] = f.In(name)
	}
	return &market.Error{
		Code: faults[0].Code, Kind: market.KindInvalid, Op: "read job", Detail: strings.Join(lines, "\n"),
		Hint: "gpuai help job-file",
	}
}

func sortFaults(f []Fault) []Fault {
	slices.SortStableFunc(f, func(a, b Fault) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return f[:min(len(f), maxFaults)]
}
