package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/gpuai/gpuai/node/api"
)

// count writes a number with its noun: "1 job", "2 jobs".
func count(n int, one, many string) string { return fmt.Sprintf("%d %s", n, plural(n, one, many)) }

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// called is an order as its owner knows it: by name if it has one, with its id.
func called(o api.Order) string {
	if o.Name == "" {
		return o.ID
	}
	return clean(o.Name) + " (" + o.ID + ")"
}

// plainName is a name that a shell takes as one word, and no command takes for an id or a flag.
var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// word is what a person types for an order: its name if it has one that can be typed, else its id.
func word(o api.Order) string {
	if plainName.MatchString(o.Name) && !strings.HasPrefix(o.Name, "order_") && !strings.HasPrefix(o.Name, "lease_") {
		return o.Name
	}
	return o.ID
}
