package auth

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What fetchmail 6.4.37 takes as the password of a@localhost; "-" is none.
func TestNetrcFindsWhatTheReferenceFinds(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"machine localhost login a password X\n", "X"},
		{"machine localhost login b password X\n", "-"},
		{"machine localhost login b password X machine localhost login a password Y\n", "Y"},
		{"machine localhost password X\n", "-"},
		{"machine localhost password X login a\n", "X"},
		{"machine LOCALHOST login a password X\n", "-"},
		{"default login a password X\n", "-"},
		{"default password X\nmachine localhost login a password Y", "Y"},
		{"machine localhost login a account q password X\n", "X"},
		{"machine localhost user a passwd X\n", "X"},
		{"machine localhost,login,a,password,X\n", "-"},
		{"machine localhost login a password \"X Y\"\n", "X Y"},
		{"machine localhost login a password 'X Y'\n", "X Y"},
		{"machine localhost login a password X\\ Y\n", "X\\"},
		{"machine localhost login a password X\"Y\"Z\n", "XYZ"},
		{"machine localhost login a password \"X\\\"Y\"\n", "X\\Y"},
		{"# comment\nmachine localhost login a password X\n", "X"},
		{"machine localhost # c\nlogin a password X#Y\n", "X#Y"},
		{"machine localhost login a password #X\n", "-"},
		{"macdef init\nmachine localhost login a password Q\n\nmachine localhost login a password X\n", "X"},
		{"machine localhost login a password M macdef foo\nls\n\nmachine foo login a password X\n", "M"},
		{"machine localhost login a\tpassword\tX\r\n", "X"},
		{"foo bar machine localhost login a password X\n", "X"},
		{"machine localhost login a password\nmachine x login a password z", "z"},
		{"machine localhost login a password \"\"\n", ""},
		{"machine localhost login a password \xe9X\n", "\xe9X"},
		{"machine localhost login a password X machine localhost login a password Y", "X"},
		{"machine localhost password X machine localhost login a password Y", "Y"},
		{"machine foo login a password X default login a password Z", "-"},
		{"default login a password Z machine localhost login a password Y", "Y"},
		{"machine localhost login a password \"X", "X"},
		{"machine", "-"},
		{"password X", "-"},
		{"", "-"},
	} {
		file := filepath.Join(t.TempDir(), ".netrc")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Netrc(NetrcFile{Name: file}, "a", "localhost").Get(context.Background())
		if errors.Is(err, ErrNoSecret) {
			got = "-"
		} else if err != nil {
			t.Fatal(err)
		}
		if got != c.want {
			t.Errorf("%q: got %q, want %q", c.text, got, c.want)
		}
	}
}

func TestNetrcTriesThePollNameThenVia(t *testing.T) {
	file := filepath.Join(t.TempDir(), ".netrc")
	text := "machine host login a password H\nmachine label login b password L\nmachine label login c password C\nmachine host login c password D"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for login, want := range map[string]string{"a": "H", "b": "L", "c": "C"} {
		if got, err := Netrc(NetrcFile{Name: file}, login, "label", "host").Get(context.Background()); got != want || err != nil {
			t.Errorf("login %s: got %q, %v, want %q", login, got, err, want)
		}
	}
}

func TestNetrcWarnsAsTheReference(t *testing.T) {
	var got []string
	parseNetrc("machine localhost\n\nfoo\nlogin a password X \"un\nmachine' x\nmacdef foo\nls\n machine x\n\t\nbar\n\nbaz",
		func(line int, word string) { got = append(got, fmt.Sprint(line, " ", word)) })
	if want := "3 foo, 4 un, 5 machine x, 10 bar, 12 baz"; strings.Join(got, ", ") != want {
		t.Errorf("got %q, want %q", strings.Join(got, ", "), want)
	}
	file := filepath.Join(t.TempDir(), ".netrc")
	if err := os.WriteFile(file, []byte("\nfoo"), 0o600); err != nil {
		t.Fatal(err)
	}
	var line string
	_, _ = Netrc(NetrcFile{Name: file, Warn: func(l string) { line = l }}, "a", "h").Get(context.Background())
	if want := file + `:2: warning: unknown token "foo"`; line != want {
		t.Errorf("got %q, want %q", line, want)
	}
}

func TestNetrcAbsentIsNoSecretUnreadableIsAnError(t *testing.T) {
	for _, name := range []string{"", filepath.Join(t.TempDir(), "absent")} {
		if _, err := Netrc(NetrcFile{Name: name}, "a", "h").Get(context.Background()); !errors.Is(err, ErrNoSecret) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := Netrc(NetrcFile{Name: t.TempDir()}, "a", "h").Get(context.Background()); err == nil || errors.Is(err, ErrNoSecret) {
		t.Errorf("a folder: %v", err)
	}
}

func FuzzNetrc(f *testing.F) {
	f.Add("machine localhost login a password X\n")
	f.Add("macdef a\n\n#\"'\n")
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Count(text, "\n") + 1
		entries := parseNetrc(text, func(line int, word string) {
			if line < 1 || line > lines {
				t.Errorf("line %d of %d", line, lines)
			}
		})
		if len(entries) > len(text)/7+1 {
			t.Errorf("%d entries out of %d bytes", len(entries), len(text))
		}
		for _, e := range entries {
			findNetrc(entries, e.Machine, e.Login)
		}
	})
}
