package rest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/net/netutil"

	"github.com/gpuai/gpuai/market"
)

// Serve listens on a unix socket of mode 0600 until ctx ends. Errors: *market.Error node-running; I/O.
func Serve(ctx context.Context, socket string, h http.Handler) error {
	return ServeGroup(ctx, socket, "", h)
}

// ServeGroup is Serve for the members of a group too, mode 0660; "" is no group. Errors: as Serve; config-invalid if
// there is no such group or this user may not give it the socket.
func ServeGroup(ctx context.Context, socket, group string, h http.Handler) error {
	if c, err := net.DialTimeout("unix", socket, time.Second); err == nil {
		return errors.Join(&market.Error{Code: market.CodeNodeRunning, Kind: market.KindUnavailable, Op: "listen",
			Detail: "a node answers at " + socket, Hint: "gpuai node stop"}, c.Close())
	}
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		return fmt.Errorf("create socket folder: %w", err)
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove stale socket: %w", err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if err := protect(socket, group); err != nil {
		return errors.Join(err, l.Close())
	}
	err = ServeOn(ctx, l, h)
	if s, ok := h.(*Mux); ok {
		s.Close()
	}
	return err
}

// Open at a time on a TCP listener: in all, and of one address (see ByAddress). A machine's own have all: a server that
// stands before this one is among them.
const (
	maxConns     = 256
	maxConnsEach = 64
)

// Listen opens a TCP listener at the address of a setting. Error: config-invalid if the address is taken or not this
// machine's.
func Listen(ctx context.Context, setting, addr string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, &market.Error{Code: market.CodeConfigInvalid, Kind: market.KindInvalid, Op: "listen", Err: err,
			Detail: setting + ": " + err.Error(), Hint: "gpuai config set " + setting + "=127.0.0.1:PORT"}
	}
	return netutil.LimitListener(&fair{Listener: l, most: maxConnsEach, of: map[string]int{}}, maxConns), nil
}

// ServeOn serves h on l until ctx ends, and closes l. It does not close h: others may serve it too.
func ServeOn(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10, BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() }) // streams end with ctx
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve api: %w", err)
	}
	return ctx.Err()
}

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
			Code: market.CodeConfigInvalid, Kind: market.KindInvalid, Op: "protect socket", Err: err,
			Detail: "api.group: " + group + " cannot be given the socket: " + err.Error(),
			Hint:   "name a group that the node's user is in, or none",
		}
	}
	return nil
}
