//go:build linux

// Command testjob is the program inside test images: each argument is a step, run in order. It has no other purpose and
// no state.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	for _, step := range os.Args[1:] {
		verb, rest, _ := strings.Cut(step, "=")
		if err := run(verb, rest); err != nil {
			fmt.Fprintln(os.Stderr, verb+":", err)
			os.Exit(1)
		}
	}
}

//nolint:funlen // one switch over the steps of a job
func run(verb, arg string) error {
	switch verb {
	case "echo":
		fmt.Println(arg)
	case "err":
		fmt.Fprintln(os.Stderr, arg)
	case "exit":
		n, err := strconv.Atoi(arg)
		if err != nil {
			return err
		}
		os.Exit(n)
	case "sleep":
		d, err := time.ParseDuration(arg)
		if err != nil {
			return err
		}
		time.Sleep(d)
	case "forever":
		for {
			time.Sleep(time.Hour)
		}
	case "ticks": // a line each 10 ms
		for i := 0; ; i++ {
			fmt.Println("tick", i)
			time.Sleep(10 * time.Millisecond)
		}
	case "term": // waits for SIGTERM, says so, exits with the code
		ch := make(chan os.Signal, 1)
		signal.Notify(ch, syscall.SIGTERM)
		fmt.Println("ready")
		<-ch
		fmt.Println("terminated")
		n, err := strconv.Atoi(arg)
		if err != nil {
			return err
		}
		os.Exit(n)
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
	case "cat":
		b, err := os.ReadFile(arg)
		if err != nil {
			return err
		}
		fmt.Print(string(b))
	case "write": // path:text, with parents
		p, text, _ := strings.Cut(arg, ":")
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return err
		}
		return os.WriteFile(p, []byte(text), 0o644)
	case "fill": // path:bytes, written in full
		p, n, _ := strings.Cut(arg, ":")
		size, err := strconv.Atoi(n)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return err
		}
		return os.WriteFile(p, bytes.Repeat([]byte("x"), size), 0o644)
	case "link": // path:target
		p, target, _ := strings.Cut(arg, ":")
		return os.Symlink(target, p)
	case "hard", "mkdir", "fifo", "chmod", "touch", "stat":
		return tree(verb, arg)
	case "stdin": // copies standard input
		_, err := io.Copy(os.Stdout, os.Stdin)
		return err
	case "line": // echoes one line of standard input
		s, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != nil {
			return err
		}
		fmt.Print("got ", s)
	case "size": // of the terminal on standard input
		ws, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ)
		if err != nil {
			return err
		}
		fmt.Printf("%dx%d\n", ws.Col, ws.Row)
	case "env":
		fmt.Println(arg + "=" + os.Getenv(arg))
	case "dial": // host:port, prints ok or the error
		c, err := net.DialTimeout("tcp", arg, 2*time.Second)
		if err != nil {
			fmt.Println("dial", arg, "failed:", err)
			return nil
		}
		fmt.Println("dial", arg, "ok")
		return c.Close()
	case "child": // runs a step as an own process; its failure is no failure of this one
		cmd := exec.Command("/proc/self/exe", arg)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		_ = cmd.Run()
	case "kill": // this process, by a signal's number
		n, err := strconv.Atoi(arg)
		if err != nil {
			return err
		}
		if err := syscall.Kill(os.Getpid(), syscall.Signal(n)); err != nil {
			return err
		}
		time.Sleep(time.Hour)
	case "listen": // an address
		l, err := net.Listen("tcp", arg)
		if err != nil {
			return err
		}
		fmt.Println("listens on", arg)
		return l.Close()
	case "resolve": // a name; none: the own one
		name, err := arg, error(nil)
		if name == "" {
			name, err = os.Hostname()
		}
		if err != nil {
			return err
		}
		found, err := net.LookupHost(name)
		if err != nil {
			return err
		}
		fmt.Println(name, "is", found)
	case "argv": // what this process was started with
		fmt.Printf("%q\n", os.Args)
	case "memory": // touches that many bytes
		n, err := strconv.Atoi(arg)
		if err != nil {
			return err
		}
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i)
		}
		fmt.Println(len(b))
	default:
		if known, err := output(verb, arg); known {
			return err
		}
		return fmt.Errorf("unknown step")
	}
	return nil
}

// tree changes the tree, or says what stands there: hard=new:old, mkdir=path, fifo=path, chmod=path:octal,
// touch=path:unix, stat=path.
func tree(verb, arg string) error {
	name, text, _ := strings.Cut(arg, ":")
	switch verb {
	case "hard":
		return os.Link(text, name)
	case "mkdir":
		return os.MkdirAll(name, 0o755)
	case "fifo":
		return unix.Mkfifo(name, 0o644)
	case "chmod":
		n, err := strconv.ParseUint(text, 8, 32)
		if err != nil {
			return err
		}
		return os.Chmod(name, os.FileMode(n))
	case "touch":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return err
		}
		return os.Chtimes(name, time.Unix(n, 0), time.Unix(n, 0))
	}
	info, err := os.Lstat(name)
	if err == nil {
		fmt.Printf("%o %d\n", info.Mode().Perm(), info.ModTime().Unix())
	}
	return err
}
