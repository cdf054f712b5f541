package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serve listens on loopback and hands every connection to h; it ends with the test.
func serve(t *testing.T, h func(net.Conn)) (host, port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	host, port, _ = net.SplitHostPort(l.Addr().String())
	return host, port
}

func TestDialReadsAndWrites(t *testing.T) {
	host, port := serve(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "+OK hello\r\n")
		_, _ = io.Copy(c, io.LimitReader(c, 6))
	})
	var notes []string
	d := Dialer{Timeout: 10 * time.Second, Trace: func(dir Dir, text string) { notes = append(notes, string(dir)+text) }}
	c, err := d.Dial(context.Background(), host, port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if line, err := c.Reader().ReadString('\n'); line != "+OK hello\r\n" {
		t.Fatalf("greeting %q, %v", line, err)
	}
	if _, err := io.WriteString(c, "QUIT\r\n"); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(c); string(rest) != "QUIT\r\n" || err != nil {
		t.Fatalf("rest %q, %v", rest, err)
	}
	if want := "*Trying to connect to 127.0.0.1/" + port + "...connected."; len(notes) != 1 || notes[0] != want {
		t.Errorf("notes %q, want %q", notes, want)
	}
	if c.PeerIP() != "127.0.0.1" || c.Host() != host || c.TLSState() != nil {
		t.Errorf("peer %q host %q tls %v", c.PeerIP(), c.Host(), c.TLSState())
	}
}

func TestRefusedConnectionGivesTheReferencesLines(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	_, err = (&Dialer{}).Dial(context.Background(), "127.0.0.1", port)
	var fail *DialError
	if !errors.As(err, &fail) || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("error %#v", err)
	}
	want := "Connection errors for this poll:\n" +
		"name 0: connection to 127.0.0.1:" + port + " [127.0.0.1/" + port + "] failed: Connection refused.\n" +
		"POP3 connection to 127.0.0.1 failed: Connection refused"
	if got := strings.Join(fail.Lines("POP3"), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestSilentServerTimesOut(t *testing.T) {
	stop := make(chan struct{})
	host, port := serve(t, func(net.Conn) { <-stop })
	defer close(stop)
	c, err := (&Dialer{Timeout: 50 * time.Millisecond}).Dial(context.Background(), host, port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, ErrTimeout) || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("error %v", err)
		}
	}
}
