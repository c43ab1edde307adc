// Package localnet runs a local Solana ledger: the real escrow program in a real SVM (LiteSVM under Node.js), with
// JSON-RPC on loopback.
//
// Invariants: the process ends with its parent (its standard input closes). Concurrency: Start and Close from any
// goroutine.
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
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow/program"
	"github.com/gpuai/gpuai/market"
)

// Options of a ledger. SlotMS: milliseconds per slot, 0 = 400, below 0 = one slot per transaction. Seed fixes genesis
// and faucet; empty = random. Port 0 = any. Dir: the folder of server.mjs; empty = escrow/localnet of the checkout
// above the working folder, the executable or this source file.
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
	return &market.Error{Code: market.CodeNeedsCheckout, Kind: market.KindUnavailable, Op: "start local ledger",
		Detail: detail,
		Hint:   hint}
}

// Start starts a ledger and waits until it answers. It outlives ctx: Close
// ends it. Errors: *market.Error needs-checkout (no server.mjs, Node.js or its packages); a port in use; ctx.
func Start(ctx context.Context, o Options) (*Server, error) {
	dir, err := find(o.Dir)
	if err != nil {
		return nil, err
	}
	node, err := nodeBinary(ctx)
	if err != nil {
		return nil, err
	}
	if err := install(ctx, dir, node); err != nil {
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
	cmd := exec.Command(node, filepath.Join(dir, "server.mjs"), "--slot-ms", strconv.Itoa(max(slot, 0)), "--seed",
		o.Seed,
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
		_ = in.Close()   // ends it, if it has not ended
		_ = s.cmd.Wait() // then its words are complete
		words := stderr.String()
		if strings.Contains(words, "ERR_MODULE_NOT_FOUND") {
			return needs(fmt.Sprintf("a package is missing: %.300s", words), installHint)
		}
		return fmt.Errorf("the local ledger did not start, it said %q: %.300s", line, words)
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
