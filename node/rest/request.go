package rest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gpuai/gpuai/market"
)

// Strict reads exactly one JSON value without unknown fields. Errors may quote what was sent: they are for the log of
// nobody.
func Strict(r io.Reader, v any) error {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

// where names the place of a JSON fault without its value. An unknown field's name is the sender's, so only its
// existence is told.
func where(err error) string {
	var wrong *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrong) && wrong.Field != "":
		return ", " + wrong.Field + " has the wrong type"
	case errors.As(err, &syntax):
		return fmt.Sprintf(", not JSON at byte %d", syntax.Offset)
	case strings.HasPrefix(err.Error(), "json: unknown field"):
		return ", it has an unknown field"
	}
	return ""
}

// tooLarge says how many bytes a body may have, 0: it is not known here.
func tooLarge(most int64) error {
	why := "the body is too large"
	if most > 0 {
		why = fmt.Sprintf("the body is larger than %d bytes", most)
	}
	return &market.Error{Code: market.CodeTooLarge, Kind: market.KindInvalid, Op: "read request", Detail: why,
		Hint: "send less"}
}

// mediaType refuses a body that says it is something else.
func mediaType(r *http.Request, want map[string]*huma.MediaType) error {
	given := r.Header.Get("Content-Type")
	if given == "" {
		return nil
	}
	if t, _, err := mime.ParseMediaType(given); err != nil || want[t] == nil {
		for name := range want {
			return Usage(http.StatusUnsupportedMediaType, "the body must be "+name)
		}
	}
	return nil
}

// checkQuery refuses parameters that the operation does not have, has twice, or cannot read. huma would take "T" for
// true, the first of two, and an empty one for none.
func checkQuery(r *http.Request, have []*huma.Param) error {
	given, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil { // net/http would leave out what it cannot read
		return Usage(http.StatusBadRequest, "the query cannot be read")
	}
	for name, values := range given {
		i := slices.IndexFunc(have, func(p *huma.Param) bool { return p.In == "query" && p.Name == name })
		if i < 0 {
			return Usage(http.StatusBadRequest, "an unknown query parameter")
		}
		s := have[i].Schema
		if len(values) != 1 && s.Type != huma.TypeArray {
			return Usage(http.StatusBadRequest, name+" is given more than once")
		}
		var err error
		switch {
		case s.Type == huma.TypeBoolean && values[0] != "true" && values[0] != "false":
			err = errors.New("neither true nor false")
		case s.Type == huma.TypeInteger:
			_, err = strconv.ParseUint(values[0], 10, 63)
		case s.Format == "date-time":
			_, err = time.Parse(time.RFC3339, values[0])
		}
		if err != nil {
			return Usage(http.StatusBadRequest, name+" has the wrong type")
		}
	}
	return nil
}

// MaxLimit of a list, and what it has by default.
const (
	MaxLimit  = 200
	PageLimit = 50
)

// Paging is the part of a list's input that asks for one page.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"how many rows at most"`
	Cursor string `query:"cursor" doc:"where the page before ended, as it said"`
}

// After is the key that the page begins after; empty: it is the first one, or the cursor is none.
func (p Paging) After() string {
	b, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err != nil || len(b) < 2 || b[0] != '1' {
		return ""
	}
	return string(b[1:])
}

// From is After. Error: bad-usage for a cursor that is none of a list.
func (p Paging) From() (string, error) {
	after := p.After()
	if p.Cursor != "" && after == "" {
		return "", Usage(http.StatusBadRequest, "cursor is none of this list")
	}
	return after, nil
}

// Cursor is where a page ended, for the next one: the key of its last row.
func Cursor(key string) string { return base64.RawURLEncoding.EncodeToString([]byte("1" + key)) }

// Page cuts one page out of a list, in the order of key, which must be unique and grow with time where the list does.
// cursor is empty at the end.
func Page[T any](p Paging, list []T, key func(T) string) (out []T, cursor string, err error) {
	limit := min(max(p.Limit, 1), MaxLimit) // it was checked, and has its default
	after, err := p.From()
	if err != nil {
		return nil, "", err
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	out = []T{}
	for _, v := range list {
		if after != "" && key(v) <= after {
			continue
		}
		if len(out) == limit {
			return out, Cursor(key(out[limit-1])), nil
		}
		out = append(out, v)
	}
	return out, "", nil
}

// Tag is the ETag of a value: a hash of its JSON.
func Tag(v any) string {
	h := sha256.Sum256(encode(v))
	return `"` + hex.EncodeToString(h[:12]) + `"`
}

// encode is the JSON of a document of ours, and a line's end.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("document %T does not marshal: %v", v, err)) // our own mistake; net/http cuts the connection
	}
	return append(b, '\n')
}

// Send answers with a document, for handlers of a Stream.
func Send(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(encode(v)) // the caller is gone if this fails
}

// Match compares the header If-Match with what a document says now; "" matches all. Error: 412 conflict.
func Match(want string, now any) error {
	if want == "" {
		return nil
	}
	for t := range strings.SplitSeq(want, ",") {
		if t = strings.TrimSpace(t); t == "*" || t == Tag(now) {
			return nil
		}
	}
	return &withStatus{
		cause: &market.Error{Code: market.CodeConflict, Kind: market.KindConflict, Op: "change document",
			Detail: "it has changed since it was read", Hint: "read it again, then change it"},
		status: http.StatusPreconditionFailed,
	}
}
