// Package localnet runs a local Solana ledger: the real escrow program in a real SVM (LiteSVM under Node.js), with JSON-RPC on loopback.
//
// Invariants: the process ends with its parent (its standard input closes). Concurrency: Start and Close from any goroutine.
// Persistence: none; a ledger is new at each start, the same for the same seed. Next: server.mjs, escrow/escrowtest.
package localnet

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow/program"
	"github.com/gpuai/gpuai/market"
)

// Options of a ledger. SlotMS: milliseconds per slot, 0 = 400, below 0 = one slot per transaction. Seed fixes genesis and faucet; empty =
// random. Port 0 = any. Dir: the folder of server.mjs; empty = found from the working folder or the executable upward.
type Options struct {
	SlotMS int
	Seed   string
	Port   int
	Dir    string
}

// Server is a running ledger.
type Server struct {
	RPC     string
	Genesis string
	Program market.Address
	Faucet  market.Address

	cmd   *exec.Cmd
	stdin io.Closer
	elf   string
	once  sync.Once
	err   error
}

// startWait bounds how long Node.js may take to load the SVM.
const startWait = 60 * time.Second

func needs(detail, hint string) error {
	return &market.Error{Code: "needs-checkout", Kind: market.KindUnavailable, Op: "start local ledger", Detail: detail, Hint: hint}
}

// Start starts a ledger and waits until it answers. Errors: *market.Error needs-checkout (no server.mjs, Node.js or its packages).
func Start(ctx context.Context, o Options) (*Server, error) {
	dir, err := find(o.Dir)
	if err != nil {
		return nil, err
	}
	node, err := nodeBinary()
	if err != nil {
		return nil, err
	}
	if err := install(ctx, dir); err != nil {
		return nil, err
	}
	elf, err := writeELF()
	if err != nil {
		return nil, err
	}
	slot := o.SlotMS
	if slot == 0 {
		slot = 400
	}
	if o.Seed == "" {
		o.Seed = fmt.Sprintf("%d-%d", os.Getpid(), time.Now().UnixNano())
	}
	cmd := exec.Command(node, filepath.Join(dir, "server.mjs"), "--slot-ms", strconv.Itoa(max(slot, 0)), "--seed", o.Seed,
		"--port", strconv.Itoa(o.Port), "--program", elf, "--program-id", program.ID.String())
	s := &Server{cmd: cmd, elf: elf}
	if err := s.launch(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) launch(ctx context.Context) error {
	in, err := s.cmd.StdinPipe()
	if err != nil {
		return err
	}
	s.stdin = in
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	var stderr bytes.Buffer
	s.cmd.Stderr = &stderr
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start node: %w", err)
	}
	lines := make(chan string, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		line, _ := bufio.NewReader(out).ReadString('\n') // an error shows as an empty line
		lines <- line
	})
	var line string
	select {
	case line = <-lines:
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(startWait):
		return errors.New("the local ledger did not start in time")
	}
	wg.Wait()
	var hello struct {
		RPC, Genesis    string
		Program, Faucet market.Address
	}
	if err := json.Unmarshal([]byte(line), &hello); err != nil {
		_ = s.cmd.Wait() // it has ended: its words are complete
		return needs(fmt.Sprintf("the local ledger said %q: %.300s", line, stderr.String()), "npm ci --ignore-scripts in escrow/localnet")
	}
	s.RPC, s.Genesis, s.Program, s.Faucet = hello.RPC, hello.Genesis, hello.Program, hello.Faucet
	return nil
}

// Close ends the ledger and waits for it.
func (s *Server) Close() error {
	s.once.Do(func() {
		if s.stdin != nil {
			s.err = s.stdin.Close()
		}
		if s.cmd.Process != nil {
			_ = s.cmd.Wait() // a second Wait after a failed start only repeats its end
		}
		s.err = errors.Join(s.err, os.Remove(s.elf))
	})
	return s.err
}

func writeELF() (string, error) {
	f, err := os.CreateTemp("", "gpuai-escrow-*.so")
	if err != nil {
		return "", err
	}
	_, err = f.Write(program.ELF)
	return f.Name(), errors.Join(err, f.Close())
}

// find returns the folder with server.mjs: given, or in a checkout above the working folder, the executable or this source file.
func find(dir string) (string, error) {
	var roots []string
	if dir != "" {
		roots = append(roots, dir)
	}
	if wd, err := os.Getwd(); err == nil {
		roots = append(roots, wd)
	}
	if exe, err := os.Executable(); err == nil {
		roots = append(roots, filepath.Dir(exe))
	}
	if _, file, _, ok := runtime.Caller(0); ok {
		roots = append(roots, filepath.Dir(file))
	}
	for _, r := range roots {
		for d := r; ; d = filepath.Dir(d) {
			for _, c := range []string{d, filepath.Join(d, "escrow", "localnet")} {
				if _, err := os.Stat(filepath.Join(c, "server.mjs")); err == nil {
					return c, nil
				}
			}
			if d == filepath.Dir(d) {
				break
			}
		}
	}
	return "", needs("escrow/localnet/server.mjs was not found", "run it in a checkout of the project")
}

func nodeBinary() (string, error) {
	if n := os.Getenv("GPUAI_NODE"); n != "" {
		return n, nil
	}
	if n, err := exec.LookPath("node"); err == nil {
		return n, nil
	}
	if c, err := os.UserCacheDir(); err == nil {
		if n := filepath.Join(c, "gpuai", "node", "bin", "node"); fileExists(n) {
			return n, nil
		}
	}
	return "", needs("Node.js 20 or newer was not found", ".ci/setup installs it")
}

func fileExists(p string) bool { _, err := os.Stat(p); return err == nil }

// install brings the pinned packages once.
func install(ctx context.Context, dir string) error {
	if fileExists(filepath.Join(dir, "node_modules", "litesvm")) {
		return nil
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return needs(fmt.Sprintf("npm ci: %v: %.300s", err, out), "npm ci --ignore-scripts in escrow/localnet")
	}
	return nil
}
