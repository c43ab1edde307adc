//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// output runs the steps that only write; known tells whether verb is one of them.
func output(verb, arg string) (known bool, err error) {
	n, _ := strconv.Atoi(arg) // where the argument is no number, the step does not use it
	switch verb {
	case "text": // as it is, without a line feed
		_, err = fmt.Print(arg)
	case "x": // that many, without a line feed
		_, err = os.Stdout.WriteString(strings.Repeat("x", n))
	case "noise": // that many bytes of rand.NewChaCha8 with a seed of zeros
		_, err = io.CopyN(os.Stdout, rand.NewChaCha8([32]byte{}), int64(n))
	case "seq": // 1 to n, a line each
		err = seq(os.Stdout, n)
	case "both": // 1 to n on both streams at once, each line written alone
		var wg sync.WaitGroup
		var errs [2]error
		for i, w := range []io.Writer{os.Stdout, os.Stderr} {
			wg.Go(func() {
				for k := 1; k <= n && errs[i] == nil; k++ {
					_, errs[i] = fmt.Fprintln(w, k)
				}
			})
		}
		wg.Wait()
		err = errors.Join(errs[:]...)
	case "pid1": // into the stream of the first process, as cron jobs do
		err = os.WriteFile("/proc/1/fd/1", []byte(arg+"\n"), 0)
	case "pidfd": // fd:text into any descriptor of the first process that can be written to
		fd, text, _ := strings.Cut(arg, ":")
		if f, e := os.OpenFile("/proc/1/fd/"+fd, os.O_WRONLY|syscall.O_NONBLOCK, 0); e == nil {
			_, _ = f.WriteString(text + "\n")
			_ = f.Close()
		}
	case "hold": // says ready, and goes on after a SIGTERM
		ch := make(chan os.Signal, 1)
		signal.Notify(ch, syscall.SIGTERM)
		fmt.Println("ready")
		<-ch
	case "leave": // leaves a process behind that goes on to write
		cmd := exec.Command(os.Args[0], "echo="+arg, "ticks")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err = cmd.Start(); err == nil {
			time.Sleep(200 * time.Millisecond)
		}
	default:
		return false, nil
	}
	return true, err
}

func seq(w io.Writer, n int) error {
	b := bufio.NewWriter(w)
	for i := 1; i <= n; i++ {
		if _, err := fmt.Fprintln(b, i); err != nil {
			return err
		}
	}
	return b.Flush()
}
