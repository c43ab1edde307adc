package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/gpuai/gpuai/market"
)

// TestProblemOf_ErrorsOfTheSystemAreNotInternal: what the system says about disks, files, time and connections has a
// code and a next step; only what nobody can name is a fault of ours, and what carries a code keeps it.
func TestProblemOf_ErrorsOfTheSystemAreNotInternal(t *testing.T) {
	t.Parallel()
	_, missing := os.Open("/nowhere/at/all")
	_, refused := net.Dial("tcp", "127.0.0.1:1")
	for want, errs := range map[market.Code][]error{
		market.CodeDiskFull: {&os.PathError{Op: "write", Path: "/x", Err: syscall.ENOSPC},
			fmt.Errorf("spool: %w", syscall.EDQUOT)},
		market.CodeTimeout:       {context.DeadlineExceeded, fmt.Errorf("read: %w", os.ErrDeadlineExceeded)},
		market.CodeInterrupted:   {fmt.Errorf("ask: %w", context.Canceled)},
		market.CodeConnectionCut: {io.ErrUnexpectedEOF, fmt.Errorf("frame: %w", io.EOF), refused},
		market.CodeFileError: {missing, os.Rename("/nowhere/a", "/nowhere/b"),
			fmt.Errorf("x: %w", &os.PathError{Op: "open", Path: "/x", Err: syscall.EACCES})},
		market.CodePeerFailed: {fmt.Errorf("ask: %w", market.Refuse(market.CodeInternal, market.KindInternal, ""))},
		market.CodeInternal:   {errors.New("a bug"), &market.Error{Op: "x"}},
		market.CodeNotFound: {&market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Err: missing,
			Hint: "gpuai ps"}},
	} {
		for _, err := range errs {
			p := ProblemOf(err)
			if p.Code != want || len(p.Fix) == 0 || p.Title == "" || p.Status < 400 || p.Exit() == 0 {
				t.Errorf("%v is %+v, want %s", err, p, want)
			}
		}
	}
}
