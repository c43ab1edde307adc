package market

import (
	"strings"
	"testing"
	"time"
)

// TestLease_PreparationLate_EndsWithTheLastWords: the time is up, and the end says at what, and what was heard last.
func TestLease_PreparationLate_EndsWithTheLastWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		step  PrepStep
		code  Code
		fault Fault
	}{
		{PrepStep{Phase: "pull"}, CodeImageStalled, FaultNone},
		{PrepStep{Phase: "pull", Detail: "toomanyrequests: slow down"}, CodeRegistryUnreachable, FaultNone},
		{PrepStep{Phase: "create", Detail: "the rig's engine does not answer"}, CodeEngineError, FaultProvider},
		{PrepStep{Phase: "inputs", Detail: "no byte came"}, CodeInputStalled, FaultNone},
		{PrepStep{Phase: "start", Detail: strings.Repeat("ü", 200)}, CodeStartTimeout, FaultNone},
	} {
		b := newBench(t, ProviderSide, testTerms()).do(Accepted{}, PrepStep{Phase: "pull"}, c.step)
		b.after(3 * time.Minute).do(Timer{})
		b.want(Releasing, c.code, c.fault)
		if want := short(c.step.Detail); b.l.Detail != want || len(want) > 256 {
			t.Errorf("%+v: detail %q, want %q", c.step, b.l.Detail, want)
		}
	}
}

func TestLease_OOMFlagOfAGoodEnd_IsCompleted(t *testing.T) {
	t.Parallel()
	b := newBench(t, ProviderSide, testTerms()).do(Accepted{}, JobReady{BootMS: 1000})
	b.do(JobExited{OOM: true, Detail: "a process of the job was killed for memory"})
	b.want(Releasing, CodeCompleted, FaultNone)
}
