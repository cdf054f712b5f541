package report

import (
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"fetchmail/daemon/poll"
)

var color = regexp.MustCompile("\x1b\\[[0-9]*m")

// screen is what a terminal shows after text: it knows CR, LF, "erase to the end of the line" and colors.
func screen(t *testing.T, text string) string {
	t.Helper()
	text = color.ReplaceAllString(text, "")
	lines, col := []string{""}, 0
	for len(text) > 0 {
		n := len(lines) - 1
		switch {
		case strings.HasPrefix(text, "\x1b[K"):
			lines[n] = lines[n][:col]
			text = text[2:]
		case text[0] == '\r':
			col = 0
		case text[0] == '\n':
			lines, col = append(lines, ""), 0
		case text[0] < ' ':
			t.Fatalf("a control character that the bar has no use for: %.20q", text)
		default:
			end := min(col+1, len(lines[n]))
			lines[n] = lines[n][:col] + text[:1] + lines[n][end:]
			col++
		}
		text = text[1:]
	}
	return strings.Join(lines, "\n")
}

// watched is a reporter on a terminal, with a clock that the test moves and what it has written so far.
type watched struct {
	*Reporter
	out   strings.Builder
	clock time.Time
	width int
}

func watch(set func(*watched)) *watched {
	w := &watched{width: 120, clock: time.Unix(0, 0)}
	w.Reporter = &Reporter{Out: &w.out, Err: &w.out, Host: "client.example.test", Version: "1", Now: func() time.Time { return w.clock }}
	w.Terminal = &Terminal{Width: func() int { return w.width }}
	if set != nil {
		set(w)
	}
	return w
}

// download reads a message of 100 blocks of 10,000 octets, each in pause.
func (w *watched) download(pause time.Duration, at func(block int)) {
	const size = 1_000_000
	w.Observe(poll.Reading{Account: alice, Num: 2, Total: 3, Header: -1, Size: size, Read: 0})
	w.Observe(poll.Body{Octets: -1})
	for i := range 100 {
		w.clock = w.clock.Add(pause)
		w.Observe(poll.Progress{Text: make([]byte, size/100)})
		if at != nil {
			at(i + 1)
		}
	}
	w.Observe(poll.Done{Flushed: true})
}

const whole = "reading message alice@mail.example.test:2 of 3 (1000000 octets) flushed\n"

func TestBarOfALongDownload(t *testing.T) {
	w := watch(nil)
	w.download(100*time.Millisecond, func(block int) {
		if block == 2 && strings.Contains(w.out.String(), "\r") {
			t.Errorf("too early: %q", w.out.String())
		}
		if block != 50 {
			return
		}
		want := "reading message alice@mail.example.test:2 of 3 (1000000 octets) [=====      ] 500.0 kB of 1.0 MB, 100.0 kB/s, 0:05 left"
		if got := screen(t, w.out.String()); got != want {
			t.Errorf("half of it:\n got %q\nwant %q", got, want)
		}
	})
	if got := screen(t, w.out.String()); got != whole {
		t.Errorf("at the end: %q, want %q", got, whole)
	}
}

func TestBarFitsTheWindow(t *testing.T) {
	for _, width := range []int{0, 1, 40, 64, 70, 80, 90, 100, 110, 150, 400} {
		w := watch(func(w *watched) { w.width = width; w.Terminal.Color = true })
		w.download(time.Second, func(block int) {
			if block == 60 {
				w.width /= 2 // somebody makes the window smaller
			}
			last := w.out.String()
			last = screen(t, last[strings.LastIndexByte(last, '\r')+1:])
			if strings.Contains(last, " of 1.0 MB") && len(last) >= max(width, 1) {
				t.Fatalf("width %d: %d columns: %q", width, len(last), last)
			}
		})
		if got := screen(t, w.out.String()); got != whole {
			t.Errorf("width %d, at the end: %q", width, got)
		}
	}
}

// TestNoBar is about everything that keeps a bar away: then the output is what it always was.
func TestNoBar(t *testing.T) {
	for _, tt := range []struct {
		name  string
		set   func(*watched)
		pause time.Duration
		want  string
	}{
		{"no terminal", func(w *watched) { w.Terminal = nil }, time.Second, whole},
		{"a fast download", nil, time.Millisecond, whole},
		{"-s", func(w *watched) { w.Silent = true }, time.Second, ""},
		{"not the turn of this poll", func(w *watched) { w.Out = held{&w.out} }, time.Second, whole},
	} {
		w := watch(tt.set)
		w.download(tt.pause, nil)
		if got := w.out.String(); got != tt.want {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
	w := watch(func(w *watched) { w.JSON = true })
	w.download(time.Second, nil)
	if got := w.out.String(); strings.ContainsAny(got, "\r\x1b") || strings.Count(got, "\n") != 1 {
		t.Errorf("JSON: %q", got)
	}
	w = watch(func(w *watched) { w.Dots = true })
	w.download(time.Second, nil)
	if got := w.out.String(); strings.ContainsAny(got, "\r\x1b") || !strings.Contains(got, "....") {
		t.Errorf("showdots: %.200q", got)
	}
}

// held is a writer whose text waits for its turn.
type held struct{ io.Writer }

func (held) Live() bool { return false }

// TestBarGarblesNothing lets lines of all sorts come while a bar is shown: the screen shows them whole.
func TestBarGarblesNothing(t *testing.T) {
	w := watch(nil)
	w.Verbose = 1
	w.download(time.Second, func(block int) {
		switch block {
		case 20:
			w.Trace("SMTP", '>', "MAIL FROM:<a@b>")
		case 40:
			w.Warn("something is odd")
		case 60:
			w.Say("something is worth a line")
		}
	})
	got := screen(t, w.out.String())
	want := "reading message alice@mail.example.test:2 of 3 (1000000 octets)fetchmail: SMTP> MAIL FROM:<a@b>\n" +
		"fetchmail: something is odd\nfetchmail: something is worth a line\n flushed\n"
	if got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestBarWithoutASize(t *testing.T) {
	w := watch(nil)
	w.Observe(poll.Reading{Account: alice, Num: 1, Total: 1, Header: -1})
	w.clock = w.clock.Add(2 * time.Second)
	w.Observe(poll.Progress{Text: make([]byte, 5_000_000)})
	if got, want := screen(t, w.out.String()), "reading message alice@mail.example.test:1 of 1 5.0 MB, 2.5 MB/s"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	w.Observe(poll.Done{})
	if got, want := screen(t, w.out.String()), "reading message alice@mail.example.test:1 of 1 not flushed\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestClock(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0:00", 61 * time.Second: "1:01", 3 * time.Hour: "3:00:00", 5000 * time.Hour: "99:00:00"} {
		if got := clock(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_949: "999.9 kB", 999_950: "1.0 MB", 5e12: "5.0 TB", 3e9: "3.0 GB"} {
		if got := Size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
