package main_test

import (
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/mailtest/real"
)

// BenchmarkSmallMessages polls a thousand small messages from Dovecot into an SMTP listener, directly and over a line with a
// round trip of 40 ms, with this program and with the reference.
//
//	go test ./cmd/fetchmail -run '^$' -bench SmallMessages -benchtime 1x
func BenchmarkSmallMessages(b *testing.B) {
	const count = 1000
	programs := []struct{ name, bin string }{{"ours", binary(b)}, {"reference", real.Reference(b)}}
	p := newPlace(b, real.DovecotOptions{}, real.PostfixOptions{})
	mail := make([]real.Mail, count)
	for i := range mail {
		mail[i].Text = fmt.Appendf(nil, "From: a@far.example.org\nTo: alice@mail.example.test\nSubject: number %d\n\nshort\n", i)
	}
	for _, proto := range bulkProtocols {
		for _, trip := range []time.Duration{0, 40 * time.Millisecond} {
			for _, program := range programs {
				b.Run(fmt.Sprintf("%s/%v/%s", proto, trip, program.name), func(b *testing.B) {
					sink := listener(b, mailtest.SMTPOptions{})
					port := map[string]int{"POP3": p.POP3, "IMAP": p.IMAP}[proto]
					proxy := &mailtest.Proxy{Target: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Delay: trip / 2}
					if err := proxy.Start(); err != nil {
						b.Fatal(err)
					}
					defer proxy.Close()
					for b.Loop() {
						b.StopTimer()
						p.Dovecot.Empty(b, "alice", "")
						p.Dovecot.Put(b, "alice", "", mail...)
						c := newClient(b, program.bin)
						c.rc(b, fmt.Sprintf("poll localhost proto %s port %d\n user alice there with password secret is user1 here\n sslproto '' smtphost 127.0.0.1/%s\n",
							proto, proxy.Addr().Port, sink.Port()))
						b.StartTimer()
						if r := c.run(b, "-s"); r.code != 0 || p.left(b) != 0 {
							b.Fatal(r)
						}
					}
					b.ReportMetric(float64(count*b.N)/b.Elapsed().Seconds(), "messages/s")
					b.ReportMetric(float64(proxy.Turns())/float64(b.N), "round-trips")
				})
			}
		}
	}
}
