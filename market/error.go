package market

import (
	"errors"
	"time"
)

// Kind tells programs what to do with an error; people see its Code.
type Kind uint8

// Kinds, persisted and on the wire: append-only.
const (
	KindInternal Kind = iota + 1
	KindInvalid
	KindNotFound
	KindConflict
	KindUnavailable
	KindDenied
	KindExpired
)

// Error carries a code and a next step. Code: "no-offer-fits", or "" while it stays inside the node. Op: what was being
// done.
// Hint: what the user does next, not in Error(). Detail: numbers or names for people, at most 256 bytes.
type Error struct {
	Code             Code
	Op, Detail, Hint string
	Kind             Kind
	Err              error
}

func (e *Error) Error() string {
	s := e.Op
	for _, p := range []string{string(e.Code), e.Detail} {
		if p != "" {
			if s != "" {
				s += ": "
			}
			s += p
		}
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the code of the first *Error or *Refusal in err's chain that has one, else "".
func CodeOf(err error) Code {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	var e *Error
	for errors.As(err, &e) {
		if e.Code != "" {
			return e.Code
		}
		err = e.Err
	}
	return ""
}

// Refusal is a typed "no" of a peer: Code is kebab-case, at most 32 bytes; Detail at most 256 bytes. An unknown Code
// acts by its Kind.
type Refusal struct {
	Code       Code
	Detail     string
	Kind       Kind
	RetryAfter time.Duration
}

func (r *Refusal) Error() string {
	if r.Detail == "" {
		return string(r.Code)
	}
	return string(r.Code) + ": " + r.Detail
}

// Passes reports whether the same request may be taken later: the peer is busy, starting, or was asked too fast.
func (r *Refusal) Passes() bool {
	return r.Kind == KindUnavailable || r.Code == CodeBusy || r.Code == CodeRateLimited
}

// Refuse returns a *Refusal.
func Refuse(code Code, kind Kind, detail string) *Refusal {
	if len(detail) > 256 {
		detail = detail[:256]
	}
	return &Refusal{Code: code, Kind: kind, Detail: detail}
}
