package rest

import (
	"errors"
	"net"
	"testing"
)

// arriving is a listener to which connections of these addresses come.
type arriving struct {
	net.Listener
	from   []string
	closed map[string]int
}

type arrived struct {
	net.Conn
	at string
	l  *arriving
}

func (c *arrived) RemoteAddr() net.Addr {
	a, err := net.ResolveTCPAddr("tcp", c.at)
	if err != nil {
		panic(err) // of the test
	}
	return a
}

func (c *arrived) Close() error { c.l.closed[c.at]++; return nil }

func (l *arriving) Accept() (net.Conn, error) {
	if len(l.from) == 0 {
		return nil, errors.New("nobody comes")
	}
	c := &arrived{at: l.from[0], l: l}
	l.from = l.from[1:]
	return c, nil
}

// TestFair: an address, of IPv6 a /64, has so many connections and no more until one is closed; this machine has all.
func TestFair(t *testing.T) {
	t.Parallel()
	in := &arriving{closed: map[string]int{}, from: []string{"192.0.2.1:1", "192.0.2.1:2", "[::ffff:192.0.2.1]:3",
		"192.0.2.2:4", "[2001:db8::1]:5", "[2001:db8::2]:6", "[2001:db8::3]:7", "127.0.0.1:8", "127.0.0.1:9",
		"127.0.0.1:10", "[::1]:11", "192.0.2.1:12"}}
	f := &fair{Listener: in, most: 2, of: map[string]int{}}
	var got []net.Conn
	for {
		c, err := f.Accept()
		if err != nil {
			break
		}
		if got = append(got, c); len(got) == 3 {
			_, _ = got[0].Close(), got[0].Close() // of a test; twice is once
		}
	}
	if len(got) != 10 || in.closed["[::ffff:192.0.2.1]:3"] != 1 || in.closed["[2001:db8::3]:7"] != 1 ||
		len(in.closed) != 3 {
		t.Errorf("%d came in, closed are %v", len(got), in.closed)
	}
	for _, c := range got[1:] {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if len(f.of) != 0 {
		t.Errorf("still counted: %v", f.of)
	}
}
