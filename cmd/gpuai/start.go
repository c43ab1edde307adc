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
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
)

// A node answers as soon as its ledger and its first addresses are there.
const (
	startWait = 30 * time.Second
	startPoll = 100 * time.Millisecond
)

// running reaches a node, and starts one in the background if none answers.
func (a *App) running(ctx context.Context) (*api.Client, error) {
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	if _, err := c.Status(ctx); market.CodeOf(err) != "node-unreachable" {
		return c, err
	}
	started, err := a.start(ctx)
	if err != nil {
		return nil, err
	}
	if started {
		a.say("node   started in the background (stop it: gpuai node stop)")
	}
	return c, nil
}

// start starts this binary as a node of its own session, and waits until it answers. False: another one was faster.
func (a *App) start(ctx context.Context) (bool, error) {
	c, err := a.load()
	if err != nil {
		return false, err
	}
	self, err := os.Executable()
	if err != nil {
		return false, fmt.Errorf("find own program: %w", err)
	}
	if err := os.MkdirAll(c.Node.DataDir, 0o700); err != nil {
		return false, fmt.Errorf("make data folder: %w", err)
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
		if _, err := client.Status(ctx); market.CodeOf(err) != "node-unreachable" {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(startPoll):
		}
		if gone(pid) || time.Now().After(deadline) {
			return &market.Error{
				Code: "node-unreachable", Kind: market.KindUnavailable, Op: "start node", Detail: or(tail(logPath, from), "it said nothing"),
				Hint: "see " + logPath,
			}
		}
	}
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
	return string(bytes.Join(lines[max(0, len(lines)-5):], []byte("\n")))
}
