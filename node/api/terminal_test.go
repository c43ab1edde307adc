package api

import (
	"context"
	"fmt"
	"io"
	"testing"
)

// screen is a command that says what its terminal is, first and after a change of its size.
type screen struct{ Backend }

func (screen) Order(context.Context, string) (Order, error) { return Order{}, nil }

func (screen) Exec(ctx context.Context, _ string, _ []string, tty *Terminal, _ io.Reader,
	out func(uint8, []byte) error) (int, error) {
	if tty == nil {
		return 1, out(1, []byte("no terminal"))
	}
	if err := out(1, fmt.Appendf(nil, "%s %dx%d", tty.Term, tty.Cols, tty.Rows)); err != nil {
		return 0, err
	}
	select {
	case s := <-tty.Resized:
		return 0, out(1, fmt.Appendf(nil, "now %dx%d", s[0], s[1]))
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func TestExec_Terminal_HasSizeKindAndFollows(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, screen{})
	sizes, said := make(chan [2]uint16, 1), make(chan string, 4)
	r, w := io.Pipe() // a keyboard that nobody uses
	defer w.Close()
	code, err := c.Exec(t.Context(), "-", []string{"vim"},
		&Terminal{Cols: 120, Rows: 40, Term: "screen-256color", Resized: sizes}, r, func(_ uint8, b []byte) error {
			said <- string(b)
			if len(sizes) == 0 {
				sizes <- [2]uint16{200, 50}
			}
			return nil
		})
	if code != 0 || err != nil {
		t.Fatal(code, err)
	}
	for _, want := range []string{"screen-256color 120x40", "now 200x50"} {
		if got := <-said; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if code, err := c.Exec(t.Context(), "-", []string{"vim"}, nil, nil,
		func(uint8, []byte) error { return nil }); code != 1 || err != nil {
		t.Errorf("without a terminal: %d, %v", code, err)
	}
}
