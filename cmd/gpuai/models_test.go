package main

import (
	"strings"
	"testing"
)

// TestModels_WordThatNamesNone_IsRefused: what an unset variable of a shell leaves, or signs that nobody sees, is no
// model that nobody sells.
func TestModels_WordThatNamesNone_IsRefused(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	for _, cmd := range []string{"offers", "wants"} {
		for _, word := range []string{"", " ", "\u202e", "-"} {
			code, out, errOut := b.run("", cmd, "--", "rtx-4090", word)
			if code != 2 || out != "" || !strings.Contains(errOut, "is no model") ||
				strings.Contains(errOut, "\u202e") {
				t.Errorf("gpuai %s %q: exit %d\n%s%s", cmd, word, code, out, errOut)
			}
		}
		if code, _, errOut := b.run("", cmd, "--limit", "0"); code != 2 || !strings.Contains(errOut, "--limit 0") {
			t.Errorf("gpuai %s: exit %d\n%s", cmd, code, errOut)
		}
	}
}
