package report

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"fetchmail/daemon/poll"
)

const (
	// barAfter is how long a message must take before a bar is shown, barEvery the pause between two drawings.
	barAfter = 500 * time.Millisecond
	barEvery = 100 * time.Millisecond
	// barWide and barNarrow are the largest and smallest width of the bar itself, columns.
	barWide   = 30
	barNarrow = 5
)

// Terminal is a screen that people look at.
type Terminal struct {
	// Width is the number of columns now; it is asked for each drawing, so that a window may change its size.
	Width func() int
	Color bool
}

// bar shows how far a long message has come, behind the line that is open.
type bar struct {
	shown      bool
	num, total int
	size       int64
	begun      time.Time
	drawn      time.Time
}

// begin is called when the header of a message has come.
func (b *bar) begin(r *Reporter, e poll.Reading) {
	if r.Terminal == nil || r.Silent || r.JSON {
		return
	}
	*b = bar{num: e.Num, total: e.Total, size: e.Size, begun: r.Now()}
}

// draw shows the bar if it is time to, and if this poll is the one whose lines are on the screen now.
func (b *bar) draw(r *Reporter) {
	if b.begun.IsZero() {
		return
	}
	now := r.Now()
	if now.Sub(b.begun) < barAfter || now.Sub(b.drawn) < barEvery || !live(r.Out) {
		return
	}
	b.drawn = now
	text := r.line
	if text == "" {
		text = fmt.Sprintf("message %d of %d", b.num, b.total)
	}
	room := r.Terminal.Width() - 1 - utf8.RuneCountInString(text) // the last column stays free: some terminals go to the next line
	if meter := b.meter(r.octets, now.Sub(b.begun), room, r.Terminal.Color); meter != "" {
		io.WriteString(r.Out, "\r"+text+meter+"\x1b[K")
		b.shown = true
	} else {
		b.hide(r)
	}
}

// hide leaves the line as if there had been no bar.
func (b *bar) hide(r *Reporter) {
	if b.shown {
		io.WriteString(r.Out, "\r"+r.line+"\x1b[K")
		b.shown = false
	}
}

// live tells whether what is written appears at once. Writers that hold text back, because another poll has its turn,
// say so.
func live(w io.Writer) bool {
	l, ok := w.(interface{ Live() bool })
	return !ok || l.Live()
}

// meter is the bar with its figures, in at most room columns: as much of it as has room, "" if nothing does.
func (b *bar) meter(octets int64, took time.Duration, room int, color bool) string {
	rate := float64(octets) / max(took.Seconds(), 0.001)
	figures := " " + Size(octets)
	if b.size > 0 {
		figures += " of " + Size(b.size)
	}
	short := figures
	figures += ", " + Size(int64(rate)) + "/s"
	if left := b.size - octets; b.size > 0 && left > 0 && rate > 0 {
		figures += ", " + clock(time.Duration(float64(left)/rate*float64(time.Second))) + " left"
	}
	switch {
	case len(figures) > room && len(short) > room:
		return ""
	case len(figures) > room:
		return short
	}
	width := min(room-len(figures)-3, barWide) // a blank and the brackets
	if b.size <= 0 || width < barNarrow {
		return figures
	}
	full := int(int64(width) * min(octets, b.size) / b.size)
	done, rest := strings.Repeat("=", full), strings.Repeat(" ", width-full)
	if color {
		done = "\x1b[32m" + done + "\x1b[0m"
	}
	return " [" + done + rest + "]" + figures
}

// clock is a duration as minutes and seconds, or hours as well.
func clock(d time.Duration) string {
	s := int64(min(d, 99*time.Hour).Round(time.Second) / time.Second)
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}
