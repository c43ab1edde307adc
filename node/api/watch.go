package api

import (
	"bufio"
	"bytes"
	"context"
	"net/url"
	"strings"
)

// Events calls f at each event of these topics, and once before, when the stream is open: what f then asks for misses
// nothing. It returns when the stream ends. Errors: ctx's; node-unreachable; busy above the node's readers; not-found
// by a node without events.
func (c *link) Events(ctx context.Context, topics []string, f func()) error {
	resp, err := c.do(ctx, "GET", "/events?topics="+url.QueryEscape(strings.Join(topics, ",")), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for lines := bufio.NewReader(resp.Body); ; {
		line, err := lines.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull { // the rest of a long line is read as another
			return c.cutOff(ctx, err)
		}
		if bytes.HasPrefix(line, []byte("event:")) || bytes.HasPrefix(line, []byte(": ready")) {
			f()
		}
	}
}
