package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"
)

// rawTerminal hands every key to the remote command; restore gives the terminal back.
func rawTerminal() (restore func(), err error) {
	fd := int(os.Stdin.Fd())
	old, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("switch terminal: %w", err)
	}
	return func() { _ = term.Restore(fd, old) }, nil // the process ends next
}

// terminal reports whether a stream is one; /dev/null is none.
func terminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Colours of ours, as SGR parameters.
const (
	red  = "1;31"
	bold = "1"
)

// coloured reports whether we colour what goes to a stream: --color, then NO_COLOR, then CLICOLOR_FORCE, then whether
// it is a terminal.
func (a *App) coloured(stream any) bool {
	set := func(name string) bool {
		return slices.ContainsFunc(a.env, func(s string) bool {
			v, ok := strings.CutPrefix(s, name+"=")
			return ok && v != "" && v != "0"
		})
	}
	switch {
	case a.color == "always":
		return true
	case a.color == "never" || set("NO_COLOR"):
		return false
	case set("CLICOLOR_FORCE"):
		return true
	}
	return terminal(stream)
}

func (a *App) paint(stream any, colour, text string) string {
	if !a.coloured(stream) {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// look is how a table appears on a stream.
func (a *App) look(stream any) Look {
	l := Look{Colour: a.coloured(stream), Aligned: terminal(stream)}
	if f, ok := stream.(*os.File); ok && l.Aligned {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			l.Width = w
		}
	}
	return l
}

// say prints talk: progress, questions, what happened.
func (a *App) say(format string, args ...any) {
	if a.mute {
		return
	}
	text := a.both(fmt.Sprintf(format, args...)) // before the lock: it may read the settings
	a.screen.Lock()
	defer a.screen.Unlock()
	a.wipe()
	fmt.Fprintln(a.err, text)
}

// redraws reports whether a line of progress may be drawn over the one before.
func (a *App) redraws() bool { return !a.mute && a.progress == "auto" && terminal(a.err) }

// draw shows a line of progress until the next word on the screen; it is cut to the terminal's width.
func (a *App) draw(line string) {
	a.screen.Lock()
	defer a.screen.Unlock()
	if w := a.look(a.err).Width; w > 1 {
		line = cutTo(line, w-1)
	}
	fmt.Fprint(a.err, "\r\x1b[K"+line)
	a.transient = true
}

// erase removes the line of progress.
func (a *App) erase() {
	a.screen.Lock()
	defer a.screen.Unlock()
	a.wipe()
}

// wipe is erase for who holds the screen.
func (a *App) wipe() {
	if a.transient {
		fmt.Fprint(a.err, "\r\x1b[K")
		a.transient = false
	}
}
