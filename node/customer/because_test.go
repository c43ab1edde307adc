package customer

import (
	"errors"
	"testing"

	"github.com/gpuai/gpuai/market"
)

// TestBecause_OneLine: a provider that does not answer is one short reason; what another says itself stays whole.
func TestBecause_OneLine(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"it does not answer": &market.Error{
			Code: market.CodePeerUnreachable, Op: "ask node abcd", Detail: "it does not answer",
			Err: errors.New("failed to dial:\n  * [/ip4/127.0.0.1/tcp/1] refused"),
		},
		"ask node abcd: busy: all rented": &market.Error{Code: market.CodeBusy, Op: "ask node abcd",
			Detail: "all rented"},
		"plain": errors.New("plain"),
	} {
		if got := because(err); got != want {
			t.Errorf("%v: %q, not %q", err, got, want)
		}
	}
}
