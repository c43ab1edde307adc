package main

import (
	"errors"
	"io/fs"
	"syscall"
	"testing"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
)

// TestRun_OutputThatCannotBeWritten_IsAnError: `run >/dev/full` must not end like a job whose output has arrived.
func TestRun_OutputThatCannotBeWritten_IsAnError(t *testing.T) {
	write := func(err error) error { return &fs.PathError{Op: "write", Path: "/dev/stdout", Err: err} }
	for _, c := range []struct {
		err  error
		fail bool
		code market.Code
	}{
		{write(syscall.ENOSPC), true, market.CodeDiskFull}, {write(syscall.EIO), true, ""},
		{write(syscall.EPIPE), false, ""},
		{nil, false, ""},
		{errors.New("the node went away"), false, ""},
	} {
		fl := &follower{order: &api.Order{ID: "order_x"}, logErr: c.err}
		if err := fl.unwritten(); (err != nil) != c.fail || market.CodeOf(err) != c.code {
			t.Errorf("%v: %v", c.err, err)
		}
	}
}
