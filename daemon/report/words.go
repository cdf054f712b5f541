package report

import (
	"bytes"
	"strings"

	"fetchmail/daemon/poll"
)

// Words are the lines that the log has for the end of a poll, without the program's name, the advice, and what became of
// each address that was tried.
func Words(e poll.Failed) []string {
	var text bytes.Buffer
	r := Reporter{Out: &text, Err: &text}
	r.trouble(e)
	var lines []string
	for l := range strings.Lines(text.String()) {
		l = strings.TrimPrefix(strings.TrimRight(l, "\r\n"), program)
		if l != faq && l != "Connection errors for this poll:" && !strings.HasPrefix(l, "name ") {
			lines = append(lines, l)
		}
	}
	if len(lines) == 0 {
		lines = []string{Clean(e.Err.Error())}
	}
	return lines
}
