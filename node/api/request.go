package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
)

// Limits of requests: a JSON body, the idempotency key, and what a list answers at most and by default.
const (
	maxBody   = 1 << 20
	maxKey    = 128
	maxLimit  = 200
	pageLimit = 50
)

// strict reads exactly one JSON value without unknown fields. Errors may quote what was sent: they are for the log of
// nobody.
func strict(r io.Reader, v any) error {
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

// body reads the JSON of a request; none at all is the zero value where that is allowed. What was sent is never
// repeated: it may hold a secret.
func body[B any](r *http.Request, optional bool) (b B, err error) {
	if err := mediaType(r, "application/json"); err != nil {
		return b, err
	}
	raw, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return b, &market.Error{Code: "too-large", Kind: market.KindInvalid, Op: "read request",
			Detail: fmt.Sprintf("the body is larger than %d bytes", maxBody), Hint: "send less"}
	}
	if err != nil {
		return b, usage(http.StatusBadRequest, "the body could not be read")
	}
	if len(raw) == 0 && optional {
		return b, nil
	}
	if err := strict(strings.NewReader(string(raw)), &b); err != nil {
		return b, usage(http.StatusBadRequest, "the body is not the expected JSON"+where(err))
	}
	return b, nil
}

// where names the place of a JSON fault without its value. An unknown field's name is the sender's, so only its
// existence is told.
func where(err error) string {
	var wrong *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrong) && wrong.Field != "":
		return ": " + wrong.Field + " has the wrong type"
	case errors.As(err, &syntax):
		return fmt.Sprintf(": not JSON at byte %d", syntax.Offset)
	case strings.HasPrefix(err.Error(), "json: unknown field"):
		return ": it has an unknown field"
	}
	return ""
}

// mediaType refuses a body that says it is something else.
func mediaType(r *http.Request, want string) error {
	given := r.Header.Get("Content-Type")
	if given == "" {
		return nil
	}
	if t, _, err := mime.ParseMediaType(given); err != nil || t != want {
		return usage(http.StatusUnsupportedMediaType, "the body must be "+want)
	}
	return nil
}

// kinds of query parameters.
type kind int

const (
	boolean kind = iota + 1
	number
	text
	moment
)

// checkQuery refuses parameters that the endpoint does not have, has twice, or cannot read.
func checkQuery(r *http.Request, have map[string]kind) error {
	q := r.URL.Query()
	if strings.Contains(r.URL.RawQuery, ";") {
		return usage(http.StatusBadRequest, "the query cannot be read")
	}
	for name, values := range q {
		k, ok := have[name]
		if !ok {
			return usage(http.StatusBadRequest, "an unknown query parameter")
		}
		if len(values) != 1 && name != "arg" && name != "label" {
			return usage(http.StatusBadRequest, name+" is given more than once")
		}
		var err error
		switch k {
		case boolean:
			if v := values[0]; v != "true" && v != "false" {
				err = errors.New("neither true nor false")
			}
		case number:
			_, err = strconv.ParseUint(values[0], 10, 63)
		case moment:
			_, err = time.Parse(time.RFC3339, values[0])
		}
		if err != nil {
			return usage(http.StatusBadRequest, name+" has the wrong type")
		}
	}
	return nil
}

func flag(r *http.Request, name string) bool { return r.URL.Query().Get(name) == "true" }

// page cuts one page out of a list, in the order of key, which must be unique and grow with time where the list does.
// cursor is empty at the end.
func page[T any](r *http.Request, list []T, key func(T) string) (out []T, cursor string, err error) {
	limit := pageLimit
	if s := r.URL.Query().Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxLimit {
			return nil, "", usage(http.StatusBadRequest, fmt.Sprintf("limit must be 1 to %d", maxLimit))
		}
		limit = n
	}
	after := ""
	if s := r.URL.Query().Get("cursor"); s != "" {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil || len(b) < 2 || b[0] != '1' {
			return nil, "", usage(http.StatusBadRequest, "cursor is none of this list")
		}
		after = string(b[1:])
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	out = []T{}
	for _, v := range list {
		if after != "" && key(v) <= after {
			continue
		}
		if len(out) == limit {
			return out, base64.RawURLEncoding.EncodeToString([]byte("1" + key(out[limit-1]))), nil
		}
		out = append(out, v)
	}
	return out, "", nil
}

// idempotencyKey is the caller's name for what it creates.
func idempotencyKey(r *http.Request) (string, error) {
	key := r.Header.Get("Idempotency-Key")
	bad := func(c rune) bool { return c <= ' ' || c > '~' }
	if key == "" || len(key) > maxKey || strings.ContainsFunc(key, bad) {
		return "", usage(http.StatusBadRequest, fmt.Sprintf("the header Idempotency-Key is needed: 1 to %d "+
			"printable characters, the same for a repeat", maxKey))
	}
	return key, nil
}

type keyOf struct{}

// requestKey is the idempotency key of the request in work, "" without one.
func requestKey(ctx context.Context) string {
	k, _ := ctx.Value(keyOf{}).(string)
	return k
}

func withKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyOf{}, key)
}

// fixed writes a number so that text order is its order.
func fixed(n uint64) string { return fmt.Sprintf("%020d", n) }
