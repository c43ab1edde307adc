package store

import (
	"encoding/json"
	"fmt"
)

// Row codes a value for the store: version byte 1, then JSON. A type that does not marshal is our own mistake, hence
// the panic.
func Row(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("row %T does not marshal: %v", v, err))
	}
	return append([]byte{1}, b...)
}

// Unrow decodes what Row coded. Errors: another version, not JSON of v's form.
func Unrow(b []byte, v any) error {
	if len(b) < 1 || b[0] != 1 {
		return fmt.Errorf("row of an unknown version")
	}
	return json.Unmarshal(b[1:], v)
}
