package solana

import (
	"errors"
	"net/url"
	"strings"
)

// EndpointName is what people are shown of an endpoint: scheme and host. Path, query and user name of a paid endpoint
// are its key. A text that is no address gives "(no address)".
func EndpointName(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return "(no address)"
	}
	return u.Scheme + "://" + u.Host
}

// shownError is what one endpoint did wrong, without its key: the text is safe to show, the cause serves errors.Is and
// errors.As.
type shownError struct {
	text  string
	cause error
}

func (e *shownError) Error() string { return e.text }
func (e *shownError) Unwrap() error { return e.cause }

// hide names the endpoint by scheme and host and takes its key out of what the network, a library or the endpoint
// itself said.
func hide(endpoint string, err error) error {
	return &shownError{EndpointName(endpoint) + ": " + scrub(err.Error(), endpoint), err}
}

// cause is what went wrong in a call over HTTP: the text of a url.Error begins with the address.
func cause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// Parts of an address shorter than these are words like "v2" or "rpc" that any text may hold.
const (
	minQueryKey = 4
	minPathKey  = 8
)

// scrub replaces the secret parts of an address wherever text repeats them.
func scrub(text, endpoint string) string {
	text = strings.ReplaceAll(text, endpoint, EndpointName(endpoint))
	u, err := url.Parse(endpoint)
	if err != nil {
		return text
	}
	drop := func(part string, atLeast int) {
		if len(part) >= atLeast {
			text = strings.ReplaceAll(text, part, "…")
		}
	}
	drop(u.RawQuery, minQueryKey)
	for _, values := range u.Query() {
		for _, v := range values {
			drop(v, minQueryKey)
			drop(url.QueryEscape(v), minQueryKey)
		}
	}
	if u.User != nil {
		password, _ := u.User.Password()
		for _, s := range []string{u.User.String(), password, u.User.Username()} {
			drop(s, minQueryKey)
		}
	}
	for _, path := range []string{u.EscapedPath(), u.Path} {
		for part := range strings.SplitSeq(path, "/") {
			drop(part, minPathKey)
		}
	}
	return text
}
