package provider

import (
	"errors"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
)

// public is an error's text for a customer: what a refusal or an error with a code says of itself. What lies below it,
// as the system or an engine said it, names paths and addresses of the rig, and stays in its log.
func public(err error) string {
	var r *market.Refusal
	if errors.As(err, &r) {
		return r.Error()
	}
	var e *market.Error
	switch {
	case errors.Is(err, store.ErrDiskFull):
		return "the rig's disk is full"
	case ofStore(err):
		return ownError
	case errors.As(err, &e) && e.Code != "" && e.Detail != "":
		return string(e.Code) + ": " + e.Detail
	case errors.As(err, &e) && e.Code != "":
		return string(e.Code)
	}
	return ownError
}

const ownError = "an error of the rig's own; its log says which"

// ofStore reports that the rig's own store could not do it.
func ofStore(err error) bool {
	for _, own := range []error{store.ErrDiskFull, store.ErrDead, store.ErrClosed, store.ErrTooLarge} {
		if errors.Is(err, own) {
			return true
		}
	}
	return market.CodeOf(err) == market.CodeStoreDamaged
}

// refusalOf is the Decision that an error makes. One without a code is this rig's own trouble: another rig can do what
// was asked.
func refusalOf(err error) market.Decision {
	d := market.Decision{Code: market.CodeOf(err), Detail: public(err)}
	var r *market.Refusal
	if errors.As(err, &r) {
		d.Detail, d.RetryAfter = r.Detail, r.RetryAfter
	}
	if d.Code == "" || d.Code == market.CodeInternal || ofStore(err) {
		d.Code = market.CodeUnhealthy
	}
	return d
}
