//go:build integration

package itest

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// space is a network namespace without a name: it lives as long as the thread that made it and the processes in it, so
// nothing is left of it however a test ends, and it collides with nothing.
type space struct {
	tid int
	do  chan func()
}

func newSpace(t *testing.T) *space {
	t.Helper()
	s := &space{do: make(chan func())}
	made := make(chan error)
	var wg sync.WaitGroup
	wg.Go(func() {
		runtime.LockOSThread() // for ever: the thread ends with this goroutine, and the namespace with it
		err := unix.Unshare(unix.CLONE_NEWNET)
		s.tid = unix.Gettid()
		made <- err
		for f := range s.do {
			f()
		}
	})
	t.Cleanup(func() { close(s.do); wg.Wait() })
	if err := <-made; err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	s.ip(t, "link set lo up")
	return s
}

// run calls f on a thread in the namespace: what it opens and starts is there.
func (s *space) run(f func()) {
	done := make(chan struct{})
	s.do <- func() { defer close(done); f() }
	<-done
}

// start starts a command there; a nil space is the test's own.
func (s *space) start(cmd *exec.Cmd) (err error) {
	if s == nil {
		return cmd.Start()
	}
	s.run(func() { err = cmd.Start() })
	return err
}

// command runs a command there to its end.
func (s *space) command(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	err := s.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, &out)
	}
}

// ip runs commands of iproute2, one a line.
func (s *space) ip(t *testing.T, lines string, a ...any) {
	t.Helper()
	for line := range strings.SplitSeq(fmt.Sprintf(lines, a...), "\n") {
		if f := strings.Fields(line); len(f) > 0 {
			s.command(t, "ip", f...)
		}
	}
}

// join gives the namespace an interface with an address, as in 45.10.0.10/24, on the other's bridge.
func (s *space) join(t *testing.T, bridge *space, name, address string) {
	t.Helper()
	s.ip(t, `link add %[1]s type veth peer name %[1]s%[2]d netns %[3]d
		addr add %[4]s dev %[1]s
		link set %[1]s up`, name, s.tid, bridge.tid, address)
	bridge.ip(t, `link set %[1]s%[2]d master bridge
		link set %[1]s%[2]d up`, name, s.tid)
}

// wire joins two namespaces by a cable; addresses as in 192.168.1.1/24.
func (s *space) wire(t *testing.T, name, address string, to *space, toName, toAddress string) {
	t.Helper()
	s.ip(t, `link add %[1]s type veth peer name %[2]s netns %[3]d
		addr add %[4]s dev %[1]s
		link set %[1]s up`, name, toName, to.tid, address)
	to.ip(t, `addr add %[2]s dev %[1]s
		link set %[1]s up`, toName, toAddress)
}

// newBridge is a namespace whose only business is to be a cable between others.
func newBridge(t *testing.T) *space {
	t.Helper()
	s := newSpace(t)
	s.ip(t, `link add bridge type bridge
		link set bridge up`)
	return s
}

// firewall finds the iptables that this kernel takes.
func (s *space) firewall(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"iptables-nft", "iptables-legacy"} {
		cmd := exec.Command(name, "-w", "5", "-t", "nat", "-S")
		if s.start(cmd) == nil && cmd.Wait() == nil {
			return name
		}
	}
	t.Skip("this kernel takes no iptables rules in a namespace")
	return ""
}

// router has a namespace forward from its LAN and hide it behind its own address, as a home's does. rules are further
// words of iptables, a rule a line.
func (s *space) router(t *testing.T, wan, masquerade string, rules string) {
	t.Helper()
	var err error
	s.run(func() { err = os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) })
	if err != nil {
		t.Fatal(err)
	}
	tables := s.firewall(t)
	// What nobody has asked for is dropped before it makes a mapping of its own.
	for line := range strings.SplitSeq(fmt.Sprintf(`-t nat -A POSTROUTING -o %[1]s -j MASQUERADE %[2]s
		-A INPUT -i %[1]s -m conntrack --ctstate NEW -j DROP
		-A FORWARD -i %[1]s -m conntrack --ctstate NEW -j DROP
		%[3]s`, wan, masquerade, rules), "\n") {
		if f := strings.Fields(line); len(f) > 0 {
			s.command(t, tables, append([]string{"-w", "5"}, f...)...)
		}
	}
}

// lend has a server of the test's own namespace answer at the same address in this one.
func (s *space) lend(t *testing.T, address string) {
	t.Helper()
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		address = u.Host
	}
	var l net.Listener
	var err error
	s.run(func() { l, err = net.Listen("tcp", address) })
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			wg.Go(func() { splice(c, address) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
}

// splice joins a connection with one to an address of the test's own namespace.
func splice(c net.Conn, address string) {
	defer c.Close()
	to, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer to.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(to, c)
		_ = to.(*net.TCPConn).CloseWrite()
	})
	_, _ = io.Copy(c, to)
	_ = c.(*net.TCPConn).CloseWrite()
	wg.Wait()
}
