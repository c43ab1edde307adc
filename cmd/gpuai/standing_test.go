package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/node/api"
)

// TestStanding_SaidAtStartAndInStatus: whether a rig sells and why not, and what its owner should know, without being
// asked.
func TestStanding_SaidAtStartAndInStatus(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for _, c := range []struct {
		sells       *bool
		why, notice string
		says, row   string
	}{
		{nil, "", "", "", ""},
		{&yes, "", "", "sells  yes", "sells\tyes"},
		{&no, "paused", "", "sells  nothing: paused (gpuai provider resume)", "sells\tno: paused"},
		{&no, "check engine: runc-old: runc 1.1.5", "",
			"sells  nothing: check engine: runc-old: runc 1.1.5 (gpuai doctor)", "sells\tno: check engine: runc-old"},
		{nil, "", "another ledger", "note   another ledger", "note\tanother ledger"},
	} {
		s := api.Status{Roles: []string{}, Addresses: []string{}, Sells: c.sells, SellsWhy: c.why, Notice: c.notice}
		var out, errOut bytes.Buffer
		a := &App{out: &out, err: &errOut}
		a.sayStanding(s)
		if !strings.HasPrefix(errOut.String(), c.says) || c.says == "" && errOut.Len() > 0 {
			t.Errorf("%+v says %q", c, errOut.String())
		}
		var tab Table
		statusTable(&tab, s)
		if text := tab.Text(Look{}); !strings.Contains(text, c.row) {
			t.Errorf("%+v: %s", c, text)
		}
	}
}
