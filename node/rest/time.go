package rest

import (
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// TimeForm is RFC 3339 in UTC with milliseconds.
const TimeForm = "2006-01-02T15:04:05.000Z"

// Time is a moment in documents: RFC 3339, UTC, milliseconds.
type Time struct{ time.Time }

// At makes a Time.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Millisecond)} }

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) { return []byte(`"` + t.UTC().Format(TimeForm) + `"`), nil }

// Schema implements huma.SchemaProvider.
func (Time) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time", Examples: []any{"2026-11-30T10:31:12.000Z"}}
}
