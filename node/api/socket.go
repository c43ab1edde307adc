package api

import (
	"fmt"
	"os"
	"os/user"
	"strconv"

	"github.com/gpuai/gpuai/market"
)

// protect gives a socket its mode: 0600, or of a group 0660. Errors: config-invalid; I/O.
func protect(socket, group string) error {
	if group == "" {
		if err := os.Chmod(socket, 0o600); err != nil {
			return fmt.Errorf("protect socket: %w", err)
		}
		return nil
	}
	g, err := user.LookupGroup(group)
	if err == nil {
		var gid int
		if gid, err = strconv.Atoi(g.Gid); err == nil {
			err = os.Chown(socket, -1, gid)
		}
	}
	if err == nil {
		err = os.Chmod(socket, 0o660) // after the group is right: before, it would be another's
	}
	if err != nil {
		return &market.Error{
			Code: "config-invalid", Kind: market.KindInvalid, Op: "protect socket", Err: err,
			Detail: "api.group: " + group + " cannot be given the socket: " + err.Error(),
			Hint:   "name a group that the node's user is in, or none",
		}
	}
	return nil
}
