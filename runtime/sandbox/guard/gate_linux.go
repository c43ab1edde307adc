package guard

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Gate reports what init sees, waits for "open" on stdin, opens init's gate and reports whether the command started.
// Any other word, or the end of stdin, leaves the gate closed.
func Gate(stdin io.Reader, stdout io.Writer) error {
	status, err := procStatus(1)
	if err != nil {
		return err
	}
	r := GateReport{CapEff: status["CapEff"], UUIDs: map[string]string{}}
	r.Seccomp, _ = strconv.Atoi(status["Seccomp"])
	r.NoNewP, _ = strconv.Atoi(status["NoNewPrivs"])
	devs, _ := filepath.Glob("/dev/nvidia[0-9]*")
	for _, d := range devs {
		if n, err := strconv.Atoi(strings.TrimPrefix(d, "/dev/nvidia")); err == nil {
			r.Minors = append(r.Minors, n)
		}
	}
	infos, _ := filepath.Glob("/proc/driver/nvidia/gpus/*/information")
	for _, f := range infos {
		m := fields(f)
		r.UUIDs[m["Device Minor"]] = m["GPU UUID"]
	}
	out := json.NewEncoder(stdout)
	if err := out.Encode(r); err != nil {
		return err
	}
	line, err := bufio.NewReader(stdin).ReadString('\n')
	if err != nil || line != "open\n" {
		return fmt.Errorf("not told to open: %q", line)
	}
	c, res, err := openGate()
	if err != nil {
		return err
	}
	defer c.Close() // only then may init end, and this process with it
	return out.Encode(res)
}

// openGate tries for a second: the exec may be quicker than init.
func openGate() (c net.Conn, res GateResult, err error) {
	for range 50 {
		if c, err = net.DialTimeout("unix", gateSocket, time.Second); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		return nil, res, fmt.Errorf("reach init: %w", err)
	}
	_ = c.SetDeadline(time.Now().Add(GateTimeout))
	if _, err := io.WriteString(c, "open\n"); err != nil {
		_ = c.Close()
		return nil, res, fmt.Errorf("tell init: %w", err)
	}
	if err := json.NewDecoder(c).Decode(&res); err != nil {
		_ = c.Close()
		return nil, res, fmt.Errorf("hear init: %w", err)
	}
	return c, res, nil
}

func procStatus(pid int) (map[string]string, error) {
	m := fields(fmt.Sprintf("/proc/%d/status", pid))
	if len(m) == 0 {
		return nil, fmt.Errorf("no status of process %d", pid)
	}
	return m, nil
}

// fields reads "key: value" lines; an unreadable file has none.
func fields(file string) map[string]string {
	m := map[string]string{}
	raw, err := os.ReadFile(file)
	if err != nil {
		return m
	}
	for line := range strings.Lines(string(raw)) {
		if k, v, ok := strings.Cut(line, ":"); ok {
			m[strings.TrimSpace(k)] = strings.TrimSpace(v)
		}
	}
	return m
}
