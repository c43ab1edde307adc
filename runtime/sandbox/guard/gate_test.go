//go:build linux

package guard

import (
	"encoding/json"
	"net"
	"sync"
	"testing"
)

// TestGate_Answer_InitWaitsUntilItIsPassedOn: a command that ends at once must not take the gate's process, and the
// answer, with it.
func TestGate_Answer_InitWaitsUntilItIsPassedOn(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	ended := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { defer close(ended); answerGate(here, GateResult{Exit: 127, Detail: "command not found"}) })
	var r GateResult
	if err := json.NewDecoder(there).Decode(&r); err != nil || r.Exit != 127 {
		t.Fatalf("got %+v, %v", r, err)
	}
	select {
	case <-ended:
		t.Error("init went on before the gate was done")
	default:
	}
	if err := there.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
}
