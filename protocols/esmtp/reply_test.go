package esmtp

import (
	"bufio"
	"errors"
	"strings"
	"testing"
)

func read(text string) (Reply, []string, error) {
	var shown []string
	r, err := readReply(bufio.NewReader(strings.NewReader(text)), func(l string) string {
		shown = append(shown, l)
		return l
	})
	return r, shown, err
}

func TestReplies(t *testing.T) {
	for _, tt := range []struct {
		in    string
		code  int
		lines string // joined with |
		bad   bool
	}{
		{"250 ok\r\n", 250, "ok", false},
		{"250\r\n", 250, "", false},
		{"250 ok\n", 250, "ok", false},
		{"250-a\r\n250-b\r\n250 c\r\n", 250, "a|b|c", false},
		{"250-a\r\n250\r\n", 250, "a|", false},
		{"250-a\r\n550 c\r\n", 0, "", true},
		{"2500 ok\r\n", 0, "", true},
		{"25 ok\r\n", 0, "", true},
		{"650 ok\r\n", 0, "", true},
		{"050 ok\r\n", 0, "", true},
		{"-50 ok\r\n", 0, "", true},
		{"\r\n", 0, "", true},
		{"250 " + strings.Repeat("x", maxLine-6) + "\r\n", 250, strings.Repeat("x", maxLine-6), false},
		{"250 " + strings.Repeat("x", maxLine-5) + "\r\n", 0, "", true},
		{strings.Repeat("250-x\r\n", maxLines), 0, "", true},
		{"250 a\x00\xff\x1b[0m\r\n", 250, "a\x00\xff\x1b[0m", false},
	} {
		r, _, err := read(tt.in)
		if tt.bad {
			if !errors.Is(err, errSyntax) {
				t.Errorf("%.40q: %v", tt.in, err)
			}
			continue
		}
		if err != nil || r.Code != tt.code || strings.Join(r.Lines, "|") != tt.lines {
			t.Errorf("%.40q: %d %.40q, %v", tt.in, r.Code, r.Lines, err)
		}
	}
	if _, _, err := read("250-half"); err == nil || errors.Is(err, errSyntax) {
		t.Errorf("a cut reply: %v", err)
	}
}

func FuzzReply(f *testing.F) {
	for _, s := range []string{"250 ok\r\n", "250-a\r\n250 b\r\n", "25", "334 \r\n", "999-x\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		r, shown, err := read(in)
		if len(shown) > maxLines || len(r.Lines) > len(shown) {
			t.Errorf("%d lines shown, %d kept", len(shown), len(r.Lines))
		}
		if err == nil && (r.Code < 100 || r.Code > 599 || r.Raw() == "" || strings.Contains(strings.Join(r.Lines, ""), "\n")) {
			t.Errorf("%+v", r)
		}
	})
}
