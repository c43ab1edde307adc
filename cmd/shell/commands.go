package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"mvdan.cc/sh/v3/interp"
)

// ownCommands are those that the libraries lack, each with its plain form only: an option that it does not know is an
// error.
var ownCommands = map[string]func(args []string, in io.Reader, out io.Writer) error{
	"date": date, "env": env, "false": no, "head": head, "hostname": hostname, "id": id, "seq": seq, "sleep": pause,
	"tail": tail, "true": yes,
	"wc": wc,
}

func yes([]string, io.Reader, io.Writer) error { return nil }

func no([]string, io.Reader, io.Writer) error { return interp.ExitStatus(1) }

// date prints the time; +%s in seconds.
func date(args []string, _ io.Reader, out io.Writer) error {
	now := time.Now()
	switch {
	case len(args) == 0:
		fmt.Fprintln(out, now.Format(time.UnixDate))
	case len(args) == 1 && args[0] == "+%s":
		fmt.Fprintln(out, now.Unix())
	default:
		return errors.New("usage: date [+%s]")
	}
	return nil
}

func env(args []string, _ io.Reader, out io.Writer) error {
	if len(args) > 0 {
		return errors.New("usage: env")
	}
	list := os.Environ()
	slices.Sort(list)
	for _, kv := range list {
		fmt.Fprintln(out, kv)
	}
	return nil
}

func hostname(_ []string, _ io.Reader, out io.Writer) error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	fmt.Fprintln(out, name)
	return nil
}

func id(args []string, _ io.Reader, out io.Writer) error {
	switch {
	case len(args) == 0:
		fmt.Fprintf(out, "uid=%d gid=%d\n", os.Getuid(), os.Getgid())
	case len(args) == 1 && args[0] == "-u":
		fmt.Fprintln(out, os.Getuid())
	default:
		return errors.New("usage: id [-u]")
	}
	return nil
}

// seq prints FIRST to LAST in steps of one.
func seq(args []string, _ io.Reader, out io.Writer) error {
	if len(args) < 1 || len(args) > 2 {
		return errors.New("usage: seq [FIRST] LAST")
	}
	first := 1
	last, err := strconv.Atoi(args[len(args)-1])
	if err == nil && len(args) == 2 {
		first, err = strconv.Atoi(args[0])
	}
	if err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	for i := first; i <= last; i++ {
		fmt.Fprintln(w, i)
	}
	return w.Flush()
}

// pause is sleep: seconds, or with a unit as in 1m.
func pause(args []string, _ io.Reader, _ io.Writer) error {
	if len(args) != 1 {
		return errors.New("usage: sleep SECONDS")
	}
	text := args[0]
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return fmt.Errorf("%s is no time", args[0])
	}
	time.Sleep(d)
	return nil
}

// lines is the operands of head and tail: -n NUMBER or -NUMBER, then at most one file.
func lines(args []string, in io.Reader) (n int, text []byte, err error) {
	n = 10
	if len(args) > 1 && args[0] == "-n" {
		n, err = strconv.Atoi(args[1])
		args = args[2:]
	} else if len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		n, err = strconv.Atoi(args[0][1:])
		args = args[1:]
	}
	if err != nil || n < 0 || len(args) > 1 {
		return 0, nil, errors.New("usage: [-n NUMBER] [FILE]")
	}
	text, err = input(args, in)
	return n, text, err
}

// input is the content of the files, or of the standard input.
func input(files []string, in io.Reader) ([]byte, error) {
	if len(files) == 0 {
		return io.ReadAll(in)
	}
	var all []byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		all = append(all, b...)
	}
	return all, nil
}

func head(args []string, in io.Reader, out io.Writer) error {
	n, text, err := lines(args, in)
	for line := range bytes.Lines(text) {
		if n--; n < 0 || err != nil {
			break
		}
		_, err = out.Write(line)
	}
	return err
}

func tail(args []string, in io.Reader, out io.Writer) error {
	n, text, err := lines(args, in)
	all := slices.Collect(bytes.Lines(text))
	for _, line := range all[max(0, len(all)-n):] {
		if err != nil {
			break
		}
		_, err = out.Write(line)
	}
	return err
}

// wc counts lines, words and bytes; -l, -w and -c one of them.
func wc(args []string, in io.Reader, out io.Writer) error {
	which := ""
	if len(args) > 0 && strings.HasPrefix(args[0], "-") {
		which, args = args[0], args[1:]
	}
	text, err := input(args, in)
	if err != nil {
		return err
	}
	l, w, c := bytes.Count(text, []byte("\n")), len(bytes.Fields(text)), len(text)
	switch which {
	case "":
		fmt.Fprintln(out, l, w, c)
	case "-l":
		fmt.Fprintln(out, l)
	case "-w":
		fmt.Fprintln(out, w)
	case "-c":
		fmt.Fprintln(out, c)
	default:
		return errors.New("usage: wc [-l|-w|-c] [FILE…]")
	}
	return nil
}
