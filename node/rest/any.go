package rest

import (
	"encoding/json"
	"errors"

	"github.com/danielgtaylor/huma/v2"
)

// Any is a JSON value of any form, as it came.
type Any json.RawMessage

// MarshalJSON implements json.Marshaler.
func (a Any) MarshalJSON() ([]byte, error) {
	if a == nil {
		return []byte("null"), nil
	}
	return a, nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (a *Any) UnmarshalJSON(b []byte) error {
	if a == nil {
		return errors.New("no place for a JSON value")
	}
	*a = append((*a)[:0], b...)
	return nil
}

// Schema implements huma.SchemaProvider.
func (Any) Schema(huma.Registry) *huma.Schema { return &huma.Schema{} }
