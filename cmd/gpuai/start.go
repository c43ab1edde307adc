package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
)

// A node answers as soon as its ledger and its first addresses are there.
const (
	startWait = 30 * time.Second
	startPoll = 100 * time.Millisecond
)

// start starts this binary as a node of its own session, and waits until it answers. False: another one was faster.
func (a *App) start(ctx context.Context) (bool, error) {
	c, err := a.load()
	if err != nil {
		return false, err
	}
	if err := c.Open(); err != nil {
		return false, err
	}
	self, err := os.Executable()
	if err != nil {
		return false, fmt.Errorf("find own program: %w", err)
	}
	if err := makeDataDir(c.Node.DataDir); err != nil {
		return false, err
	}
	logPath := filepath.Join(c.Node.DataDir, "node.log")
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return false, fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	from, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return false, fmt.Errorf("open log: %w", err)
	}
	args := []string{"node"}
	if a.config != "" {
		args = append(args, "--config", a.config)
	}
	if a.socket != "" {
		args = append(args, "--socket", a.socket)
	}
	for _, s := range a.sets {
		args = append(args, "--set", s)
	}
	cmd := exec.Command(self, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = a.env, log, log, detached()
	if err := cmd.Start(); err != nil {
		return false, fmt.Errorf("start node: %w", err)
	}
	defer func() { _ = cmd.Process.Release() }() // it outlives us
	return true, a.await(ctx, api.Dial(c.API.Socket), cmd.Process.Pid, logPath, from)
}

// await polls until the node answers or has ended; then it shows what the node said last.
func (a *App) await(ctx context.Context, client *api.Client, pid int, logPath string, from int64) error {
	deadline := time.Now().Add(startWait)
	for {
		if _, err := client.Status(ctx); market.CodeOf(err) != market.CodeNodeUnreachable {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(startPoll):
		}
		if gone(pid) || time.Now().After(deadline) {
			return startFault(tail(logPath, from), logPath)
		}
	}
}

// makeDataDir makes the folder of keys and state. Error: data-dir-unusable.
func makeDataDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return &market.Error{
			Code: market.CodeDataDirUnusable, Kind: market.KindDenied, Op: "make data folder", Detail: err.Error(),
			Err:  err,
			Hint: "gpuai config set node.data_dir=FOLDER",
		}
	}
	return nil
}

// startFault is why a started node does not answer: its own last error if it said one, so that people read one error
// and not an error in another.
func startFault(words, logPath string) error {
	e := &market.Error{Code: market.CodeNodeUnreachable, Kind: market.KindUnavailable, Op: "start node",
		Detail: or(words, "it said nothing"), Hint: "see " + logPath}
	i := strings.LastIndex(words, "error[")
	if i < 0 {
		return e
	}
	code, rest, ok := strings.Cut(words[i+len("error["):], "]: ")
	if !ok {
		return e
	}
	title, rest, _ := strings.Cut(rest, "\n")
	why, fix, _ := strings.Cut(rest, "\n  fix: ")
	fix, _, _ = strings.Cut(fix, "\n")
	e.Code, e.Hint = market.Code(code), or(fix, e.Hint)
	e.Detail = or(strings.TrimPrefix(strings.TrimPrefix(why, "\n"), "  why: "), title)
	return e
}

// tail is the last lines of a log that were written since from.
func tail(path string, from int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	const most = 4 << 10
	if size, err := f.Seek(0, io.SeekEnd); err == nil && size-from > most {
		from = size - most
	}
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return ""
	}
	b, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-8):], []byte("\n")))
}
