package main

import (
	"io"
	"os"

	"golang.org/x/term"
)

// explains tells whether errors are read by people. Programs that read them want the reference's lines alone; for them
// there is --configcheck=json.
func explains(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
