package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fetchmail/protocols/mailtest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client opens a connection to a handler.
func client(t *testing.T, d Dialer, h func(net.Conn)) *Conn {
	t.Helper()
	host, port := serve(t, h)
	c, err := d.Dial(t.Context(), host, port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// onPipe lets talk use a connection to a handler through a pipe on a clock of their own: no load of the machine makes a pause
// longer than it says.
func onPipe(t *testing.T, limit time.Duration, h func(net.Conn), talk func(*testing.T, *Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		c := NewConn(t.Context(), ours, "h", limit)
		done := make(chan struct{})
		go func() {
			defer close(done)
			h(theirs)
			_ = theirs.Close()
		}()
		defer func() {
			_ = c.Close()
			<-done
		}()
		talk(t, c)
	})
}

// hold keeps a connection open until the other side closes it.
func hold(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func TestBytesBeforeTheHandshakeAreNotParsed(t *testing.T) {
	c := client(t, Dialer{Timeout: 10 * time.Second}, func(c net.Conn) {
		_, _ = io.WriteString(c, "+OK begin TLS\r\n+OK injected\r\n")
		hold(c)
	})
	if _, err := c.Reader().ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := c.StartTLS(t.Context(), &TLS{}); !errors.Is(err, ErrInjected) {
		t.Fatalf("error %v", err)
	}
	if text, err := c.Reader().ReadString('\n'); text != "" || !errors.Is(err, ErrInjected) {
		t.Errorf("read %q, %v", text, err)
	}
	if _, err := io.WriteString(c, "PASS secret\r\n"); !errors.Is(err, ErrInjected) {
		t.Errorf("write: %v", err)
	}
}

// Bytes that come later than the agreement, but before our ClientHello, go into the handshake and break it.
func TestBytesBehindTheAgreementBreakTheHandshake(t *testing.T) {
	c := client(t, Dialer{Timeout: 10 * time.Second}, func(c net.Conn) {
		_, _ = io.WriteString(c, "+OK begin TLS\r\n")
		time.Sleep(50 * time.Millisecond)
		_, _ = io.WriteString(c, "+OK injected\r\n")
		hold(c)
	})
	if _, err := c.Reader().ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := c.StartTLS(t.Context(), &TLS{}); err == nil {
		t.Fatal("TLS came about")
	}
	if n, err := c.Read(make([]byte, 10)); n != 0 || err == nil {
		t.Errorf("read %d, %v", n, err)
	}
}

func TestStartTLSKeepsTheReader(t *testing.T) {
	ca := mailtest.NewCA(t, "Test CA")
	config := ca.Issue(t, mailtest.CertSpec{Names: []string{"mail.example.test"}}).Config()
	c := client(t, Dialer{Timeout: 10 * time.Second}, func(c net.Conn) {
		_, _ = io.WriteString(c, "+OK\r\n")
		_, _ = bufio.NewReaderSize(c, 16).ReadString('\n')
		_, _ = io.WriteString(c, "+OK go on\r\n")
		s := tlsServer(c, config)
		_, _ = io.WriteString(s, "+OK inside\r\n")
		_, _ = io.Copy(s, s)
	})
	r := c.Reader()
	_, _ = r.ReadString('\n')
	_, _ = io.WriteString(c, "STLS\r\n")
	_, _ = r.ReadString('\n')
	policy := &TLS{ServerName: "mail.example.test", CheckCert: true, CertFile: ca.File(t)}
	if err := c.StartTLS(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	if line, err := r.ReadString('\n'); line != "+OK inside\r\n" || r != c.Reader() {
		t.Errorf("line %q, %v", line, err)
	}
	if c.TLSState() == nil || !c.Private() {
		t.Error("no TLS state")
	}
	if err := c.StartTLS(t.Context(), policy); err == nil {
		t.Error("TLS within TLS")
	}
	_, _ = io.WriteString(c, "echo\r\n")
	if line, err := r.ReadString('\n'); line != "echo\r\n" {
		t.Errorf("line %q, %v", line, err)
	}
}

func TestEndOfTheContextEndsBlockedAndLaterCalls(t *testing.T) {
	host, port := serve(t, hold)
	ctx, cancel := context.WithCancelCause(t.Context())
	c, err := (&Dialer{Timeout: time.Hour}).Dial(ctx, host, port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	reason := errors.New("end of the program")
	time.AfterFunc(20*time.Millisecond, func() { cancel(reason) })
	for range 2 {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, reason) {
			t.Errorf("read: %v", err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, reason) {
			t.Errorf("write: %v", err)
		}
	}
	if _, err := (&Dialer{}).Dial(ctx, host, port); !errors.Is(err, reason) {
		t.Errorf("dial: %v", err)
	}
	if err := c.StartTLS(ctx, &TLS{}); !errors.Is(err, reason) {
		t.Errorf("StartTLS: %v", err)
	}
}

func TestHandshakeEndsWithItsContextAndItsTimeout(t *testing.T) {
	host, port := serve(t, hold)
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("end of the program")
	time.AfterFunc(20*time.Millisecond, func() { cancel(reason) })
	if _, err := (&Dialer{Timeout: time.Hour, TLS: &TLS{}}).Dial(ctx, host, port); !errors.Is(err, reason) {
		t.Errorf("canceled: %v", err)
	}
	onPipe(t, 30*time.Second, hold, func(t *testing.T, c *Conn) {
		err := c.StartTLS(t.Context(), &TLS{})
		var fail *TLSError
		if !errors.Is(err, ErrTimeout) || !errors.As(err, &fail) {
			t.Errorf("timeout: %v", err)
		}
	})
}

func TestDripIsNoProgress(t *testing.T) {
	drip := func(c net.Conn) {
		for {
			if _, err := c.Write([]byte("x")); err != nil {
				return
			}
			time.Sleep(10 * time.Second)
		}
	}
	onPipe(t, 200*time.Second, drip, func(t *testing.T, c *Conn) {
		start := time.Now()
		n, err := io.Copy(io.Discard, c)
		if !errors.Is(err, ErrTimeout) {
			t.Fatalf("%d bytes, %v", n, err)
		}
		if d := time.Since(start); d < 300*time.Second || d > 1000*time.Second {
			t.Errorf("ended after %v", d)
		}
	})
}

// A server that works long and says so now and then is alive; each command begins anew.
func TestSlowButLivingServerIsServed(t *testing.T) {
	const limit = 300 * time.Second
	says := func(c net.Conn) {
		for range 12 {
			time.Sleep(limit / 6)
			_, _ = io.WriteString(c, strings.Repeat("* OK Hang in there..\r\n", 6))
		}
	}
	onPipe(t, limit, says, func(t *testing.T, c *Conn) {
		if n, err := io.Copy(io.Discard, c); n != 12*6*22 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
	answers := func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			if _, err := r.ReadString('\n'); err != nil {
				return
			}
			time.Sleep(limit / 3)
			_, _ = io.WriteString(c, "+OK\r\n")
		}
	}
	onPipe(t, limit, answers, func(t *testing.T, c *Conn) {
		for range 8 {
			_, _ = io.WriteString(c, "NOOP\r\n")
			if _, err := c.Reader().ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestWriteToADeafServerTimesOut(t *testing.T) {
	stop := make(chan struct{})
	c := client(t, Dialer{Timeout: 50 * time.Millisecond}, func(net.Conn) { <-stop })
	defer close(stop)
	block := make([]byte, 1<<20)
	var err error
	for range 64 {
		if _, err = c.Write(block); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrTimeout) {
		t.Fatalf("error %v", err)
	}
	if _, again := c.Write([]byte("x")); !errors.Is(again, err) {
		t.Errorf("a later write: %v", again)
	}
}

func TestDeadlinesOfLibrariesAreIgnored(t *testing.T) {
	c := client(t, Dialer{Timeout: 10 * time.Second}, func(c net.Conn) {
		time.Sleep(30 * time.Millisecond)
		_, _ = io.WriteString(c, "late\r\n")
	})
	past := time.Now().Add(-time.Hour)
	_, _, _ = c.SetDeadline(past), c.SetReadDeadline(past), c.SetWriteDeadline(past)
	if line, err := c.Reader().ReadString('\n'); line != "late\r\n" {
		t.Errorf("line %q, %v", line, err)
	}
}

func TestSetTimeoutHoldsForTheReadThatWaits(t *testing.T) {
	late := func(c net.Conn) {
		time.Sleep(400 * time.Second)
		_, _ = io.WriteString(c, "x")
		hold(c)
	}
	onPipe(t, 100*time.Second, late, func(t *testing.T, c *Conn) {
		time.AfterFunc(20*time.Second, func() { c.SetTimeout(0) })
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatalf("taken off: %v", err)
		}
		time.AfterFunc(20*time.Second, func() { c.SetTimeout(30 * time.Second) })
		begin := time.Now()
		_, err := c.Read(make([]byte, 1))
		var limit *TimeoutError
		if !errors.As(err, &limit) || limit.Limit != 30*time.Second || time.Since(begin) != 50*time.Second {
			t.Errorf("put on: %v after %v", err, time.Since(begin))
		}
	})
}

// A library's reader may have waited for long before a command is sent: the answer has the whole time all the same.
func TestSendingRestartsTheReadThatWaits(t *testing.T) {
	const limit = 200 * time.Second
	answers := func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if line == "answer\n" {
				_, _ = io.WriteString(c, "x")
			}
		}
	}
	onPipe(t, limit, answers, func(t *testing.T, c *Conn) {
		c.SetTimeout(0)
		go func() {
			time.Sleep(5 * limit / 2)
			c.SetTimeout(limit)
			for _, line := range []string{"-\n", "-\n", "answer\n"} {
				time.Sleep(limit / 2)
				_, _ = io.WriteString(c, line)
			}
			time.Sleep(limit / 2)
			_, _ = io.WriteString(c, "answer\n")
		}()
		for range 2 {
			if _, err := c.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestEndOfStreamIsSticky(t *testing.T) {
	c := client(t, Dialer{Timeout: 10 * time.Second}, func(c net.Conn) { _, _ = io.WriteString(c, "x") })
	text, err := io.ReadAll(c)
	if string(text) != "x" || err != nil {
		t.Fatalf("%q, %v", text, err)
	}
	for range 3 {
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("error %v", err)
		}
	}
}

func TestNewConnWorksOnAnyConnection(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	c := NewConn(t.Context(), ours, "h", 0)
	go func() { _, _ = io.WriteString(theirs, "hi\n") }()
	if line, err := c.Reader().ReadString('\n'); line != "hi\n" || c.PeerIP() != "" || c.Private() {
		t.Errorf("%q, %v", line, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := fmt.Fprint(c, "x"); err == nil {
		t.Error("write after Close")
	}
}

func BenchmarkRead(b *testing.B) {
	for _, secure := range []bool{false, true} {
		b.Run(map[bool]string{false: "plain", true: "TLS"}[secure], func(b *testing.B) { benchmarkRead(b, secure) })
	}
}

func benchmarkRead(b *testing.B, secure bool) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	config := mailtest.SelfSigned(b, mailtest.CertSpec{CommonName: "x"}).Config()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if secure {
			c = tlsServer(c, config)
		}
		block := make([]byte, 256<<10)
		for err == nil {
			_, err = c.Write(block)
		}
	}()
	d := Dialer{Timeout: time.Minute}
	if secure {
		d.TLS = &TLS{}
	}
	host, port, _ := net.SplitHostPort(l.Addr().String())
	c, err := d.Dial(context.Background(), host, port)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	b.SetBytes(32 << 10)
	b.ReportAllocs()
	buf := make([]byte, 32<<10)
	for b.Loop() {
		if _, err := io.ReadFull(c, buf); err != nil {
			b.Fatal(err)
		}
	}
}
