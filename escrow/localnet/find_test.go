package localnet

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/market"
)

func needsCheckout(t *testing.T, err error, word string) {
	t.Helper()
	var e *market.Error
	if !errors.As(err, &e) || e.Code != market.CodeNeedsCheckout || e.Hint == "" || !strings.Contains(e.Detail, word) {
		t.Errorf("got %v, want needs-checkout with a hint and %q", err, word)
	}
}

func TestFind_ForeignServerOnTheWayUp_NotTaken(t *testing.T) {
	dir := t.TempDir()
	inner := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, inner} {
		if err := os.WriteFile(filepath.Join(d, "server.mjs"), []byte("process.exit(1)"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(inner)
	got, err := find("")
	if err != nil || strings.HasPrefix(got, dir) {
		t.Errorf("found %q, %v", got, err)
	}
	if got, err := find(inner); err != nil || got != inner {
		t.Errorf("the given folder: %q, %v", got, err)
	}
}

func TestStart_Missing_NeedsCheckout(t *testing.T) {
	empty := t.TempDir()
	_, err := Start(t.Context(), Options{Dir: empty})
	needsCheckout(t, err, empty)

	t.Setenv("GPUAI_NODE", filepath.Join(empty, "node"))
	_, err = Start(t.Context(), Options{})
	needsCheckout(t, err, "Node.js")

	old := filepath.Join(empty, "old")
	if err := os.WriteFile(old, []byte("#!/bin/sh\necho v18.19.1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GPUAI_NODE", old)
	_, err = Start(t.Context(), Options{})
	needsCheckout(t, err, "v18.19.1")
}

func TestStart_PortInUse_SaysSo(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := nodeBinary(t.Context()); err != nil {
		t.Skip(err)
	}
	_, err = Start(t.Context(), Options{Port: l.Addr().(*net.TCPAddr).Port})
	if err == nil || !strings.Contains(err.Error(), "EADDRINUSE") {
		t.Errorf("start on a used port: %v", err)
	}
}
