package main

import (
	"fmt"
	"os"

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
