package rest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"

	"github.com/gpuai/gpuai/market"
)

// foreign gives a code to an error that the system made and nobody named: a full disk, a file, a time that is over, a
// cut connection. Those are no faults of ours. Anything else stays without one, and is internal.
func foreign(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	var call *os.SyscallError
	var conn *net.OpError
	e := &market.Error{Op: "ask system", Err: err, Detail: err.Error()}
	switch {
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		e.Code, e.Kind, e.Hint = market.CodeDiskFull, market.KindUnavailable, "free some space, then try again"
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded):
		e.Code, e.Kind, e.Hint = market.CodeTimeout, market.KindUnavailable, "gpuai status"
	case errors.Is(err, context.Canceled):
		e.Code, e.Kind, e.Hint = market.CodeInterrupted, market.KindConflict, "gpuai ps"
	case errors.As(err, &conn) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrClosedPipe):
		e.Code, e.Kind, e.Hint = market.CodeConnectionCut, market.KindUnavailable,
			"try again; gpuai status says whether the node runs"
	case errors.As(err, &path) || errors.As(err, &link) || errors.As(err, &call):
		e.Code, e.Kind, e.Hint = market.CodeFileError, market.KindConflict,
			"check the path, its rights and the free space"
	default:
		return err
	}
	return e
}
