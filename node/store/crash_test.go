package store

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"
)

const victimEnv = "GPUAI_TEST_STORE_VICTIM"

// TestVictim is the process that TestCommit_KillLosesNothingAcknowledged kills: 8 writers say each number once it is
// committed.
func TestVictim(t *testing.T) {
	path := os.Getenv(victimEnv)
	if path == "" {
		t.Skip("only in the child process")
	}
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; ; i += 8 {
				if err := s.Commit(context.Background(), number(i)); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				fmt.Println("acknowledged", i)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestCommit_KillLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	path := dbPath(t)
	acked := map[int]bool{}
	for round := range 3 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestVictim$", "-test.v")
		cmd.Env = append(os.Environ(), victimEnv+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		guard := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		seen := 0
		for sc := bufio.NewScanner(out); sc.Scan(); {
			var n int
			if _, err := fmt.Sscanf(sc.Text(), "acknowledged %d", &n); err != nil {
				continue // the test's own lines, or a line cut by the kill
			}
			acked[n] = true
			if seen++; seen == 100*(round+1) {
				// SIGKILL in the midst of commits; what it said before is read on
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		guard.Stop()
		if err := cmd.Wait(); err == nil {
			t.Fatal("the victim ended by itself")
		}
		if seen < 100*(round+1) {
			t.Fatalf("the victim acknowledged %d", seen)
		}
	}
	s := openAt(t, path, func(u updater) updater { return u })
	have := map[int]bool{}
	err := s.Scan(BucketEvents, nil, func(k, _ []byte) error {
		n, err := strconv.Atoi(string(k))
		have[n] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := range acked {
		if !have[n] {
			t.Errorf("%d was acknowledged and is lost", n)
		}
	}
	if !s.Unclean() {
		t.Error("a killed store is clean")
	}
}
