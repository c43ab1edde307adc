//go:build integration

package itest

import (
	"io"
	"testing"
	"time"
)

// endless is an input that a command does not read to its end.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

// TestExec_InputLeftUnread_ExitCodeArrives: a command that ends before its input keeps its exit code and its words.
func TestExec_InputLeftUnread_ExitCodeArrives(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.seller(t)
	c := r.buyer(t)
	o, err := c.api.CreateOrder(t.Context(), r.order("exec", "forever"))
	if err != nil {
		t.Fatal(err)
	}
	wait(t, "nothing runs beside the job", 60*time.Second, func() bool {
		exit, err := c.api.Exec(t.Context(), o.ID, []string{"/bin/testjob"}, nil, nil,
			func(uint8, []byte) error { return nil })
		return err == nil && exit == 0
	})
	for range 5 {
		said := ""
		exit, err := c.api.Exec(t.Context(), o.ID, []string{"/bin/testjob", "echo=end", "exit=7"}, nil,
			io.LimitReader(endless{}, 64<<20), func(_ uint8, b []byte) error {
				said += string(b)
				return nil
			})
		if exit != 7 || err != nil || said != "end\n" {
			t.Errorf("exit %d, %v, it said %q", exit, err, said)
		}
	}
}
