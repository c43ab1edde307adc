package rest

import (
	"net"
	"net/netip"
	"sync"
)

// fair is a listener that closes at once what comes over an address's share of connections: one that holds many open
// keeps nobody else away.
type fair struct {
	net.Listener
	most int

	mu sync.Mutex
	of map[string]int // by address
}

// Accept implements net.Listener.
func (f *fair) Accept() (net.Conn, error) {
	for {
		c, err := f.Listener.Accept()
		if err != nil {
			return nil, err
		}
		at := c.RemoteAddr().String()
		if own, err := netip.ParseAddrPort(at); err != nil || own.Addr().Unmap().IsLoopback() {
			return c, nil
		}
		if who := callerAt(at); f.enter(who) {
			return &counted{Conn: c, leave: sync.OnceFunc(func() { f.leave(who) })}, nil
		}
		_ = c.Close() // it was not used
	}
}

func (f *fair) enter(who string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of[who] >= f.most {
		return false
	}
	f.of[who]++
	return true
}

func (f *fair) leave(who string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of[who]--; f.of[who] == 0 {
		delete(f.of, who)
	}
}

// counted is a connection that leaves its place when it is closed.
type counted struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.leave()
	return c.Conn.Close()
}
