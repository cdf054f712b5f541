package main

import (
	"io"
	"os"

	"golang.org/x/term"
)

// explains tells whether errors are read by people: programs that read them want the reference's lines alone.
func explains(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
