package main

import (
	"io"
	"os"

	"golang.org/x/term"

	"fetchmail/daemon/report"
)

// dots tells whether progress is shown without being asked for: fetchmail(1), --showdots. Whatever is no file counts
// as a console, as in the reference.
func (p *program) dots() bool {
	if p.line.Verbose == 0 || p.logged {
		return false
	}
	f, ok := p.out.(interface{ Stat() (os.FileInfo, error) })
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && !info.Mode().IsRegular()
}

// explains tells whether errors are read by people. Programs that read them want the reference's lines alone; for them
// there is --configcheck=json.
func explains(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// terminal is where progress ends up if people look at it; nil if they do not, or cannot be shown more than lines.
func terminal(w io.Writer) *report.Terminal {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	if t := os.Getenv("TERM"); t == "" || t == "dumb" {
		return nil
	}
	return &report.Terminal{Color: os.Getenv("NO_COLOR") == "", Width: func() int {
		width, _, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 0
		}
		return width
	}}
}
