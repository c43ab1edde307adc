package market

import (
	"slices"
	"strings"
)

// Code is the word for one thing that can go wrong, or for why a lease is over: kebab-case, at most 32 bytes, the same
// in errors, refusals, end reasons, doctor, logs, the API and docs. It is never renamed and never used again.
//
// A Code that this build makes is one of the constants beside the tables in codes_*.go; a test in docs proves it. A
// Code that a peer or an old row says may be one that this build does not know: it acts by its Kind or its Fault.
type Code string

// Place is where a code is said. It decides in which list of docs/errors the code stands.
type Place uint8

// Places, in the order of the lists.
const (
	AtCommand Place = iota + 1 // a command, the API, a setting or the log
	AtDoctor                   // what doctor finds
	AtRefusal                  // the other side of a lease says no
	AtEnd                      // why a lease is over
	AtJobFile                  // a key of a job file, or its flag
)

// List is the name of the list in docs/errors, without ".md".
func (p Place) List() string {
	switch p {
	case AtRefusal, AtEnd:
		return "leases"
	case AtJobFile:
		return "jobs"
	default:
		return "commands"
	}
}

// Meaning is the one row of a code.
type Meaning struct {
	Code  Code
	Place Place  // set from the table that the row stands in
	Kind  Kind   // the usual one of an error with this code
	Fault Fault  // whose doing it is as the end of a lease; 0: it ends none
	Title string // a few words, for a heading
	Means string // a sentence without its full stop; `marks` as in Markdown, see Plain
	Fix   string // what to do, in the same form
	// Status and Exit are those of HTTP and of the command line. Whose names who can mend it: you, provider, customer,
	// network, engine, node, chain, none. With Status 0 all three follow from the Kind of the error that has the code.
	Status, Exit int
	Whose        string
}

// Page is where the row stands in docs, as "docs/errors/leases.md#job-oom".
func (m Meaning) Page() string { return "docs/errors/" + m.Place.List() + ".md#" + string(m.Code) }

// Plain returns the row with the marks of its texts dropped.
func (m Meaning) Plain() Meaning {
	m.Means, m.Fix = strings.ReplaceAll(m.Means, "`", ""), strings.ReplaceAll(m.Fix, "`", "")
	return m
}

// meanings is the whole table, in the order of the lists; byCode finds a row in it.
var (
	meanings = func() (all []Meaning) {
		for i, rows := range [][]Meaning{commandCodes, doctorCodes, refusalCodes, endCodes, jobFileCodes} {
			for _, m := range rows {
				m.Place = Place(i + 1)
				all = append(all, m)
			}
		}
		return all
	}()
	byCode = func() map[Code]*Meaning {
		m := make(map[Code]*Meaning, len(meanings))
		for i := range meanings {
			m[meanings[i].Code] = &meanings[i]
		}
		return m
	}()
)

// Meanings returns a copy of the table.
func Meanings() []Meaning { return slices.Clone(meanings) }

// Meaning returns the code's row; false: this build does not know the code.
func (c Code) Meaning() (Meaning, bool) {
	if m, ok := byCode[c]; ok {
		return *m, true
	}
	return Meaning{}, false
}

// FaultOf returns whose doing an end code is; an unknown code is the doing of the side that says it.
func FaultOf(code Code, by Side) Fault {
	if m, ok := byCode[code]; ok && m.Fault != 0 {
		return m.Fault
	}
	if by == CustomerSide {
		return FaultCustomer
	}
	return FaultProvider
}
