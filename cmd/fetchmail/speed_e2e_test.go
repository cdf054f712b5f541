package main_test

import (
	"fmt"
	"testing"
	"time"

	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/mailtest/real"
)

// remoteTrip is the round trip to a listener on another machine.
const remoteTrip = 40 * time.Millisecond

// deliver runs a program on n messages of about 4 KB towards a listener that is a round trip away, and returns how many
// it delivers in a second.
func (p *place) deliver(t testing.TB, bin string, n int, trip time.Duration) float64 {
	t.Helper()
	listener, err := mailtest.StartSMTP(mailtest.SMTPOptions{Discard: true})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	addr := listener.Port()
	if trip > 0 {
		proxy := &mailtest.Proxy{Target: listener.Addr(), Delay: trip / 2}
		if err := proxy.Start(); err != nil {
			t.Fatal(err)
		}
		defer proxy.Close()
		addr = fmt.Sprint(proxy.Addr().Port)
	}
	mails, _ := numbered(n)
	p.Dovecot.Put(t, "alice", "", mails...)
	c := newClient(t, bin)
	c.rc(t, fmt.Sprintf("poll localhost proto imap port %d\n user alice there with password secret is user1 here\n sslproto '' smtphost localhost/%s\n", p.IMAP, addr))
	r := c.run(t, "-s")
	if got := len(listener.Mails()); r.code != 0 || got != n {
		t.Fatalf("%d messages of %d have arrived: %s", got, n, r)
	}
	return float64(n) / r.took.Seconds()
}

// TestDeliveryIsFasterThanTheReference holds where the work waits for the listener: near, where the reference waits for
// delayed acknowledgements, and far away.
func TestDeliveryIsFasterThanTheReference(t *testing.T) {
	p := &place{Dovecot: real.StartDovecot(t, real.DovecotOptions{})}
	reference := real.Reference(t)
	p.deliver(t, binary(t), 1, 0) // builds, and wakes Dovecot up
	for _, c := range []struct {
		trip time.Duration
		n    int
		want float64 // a floor for slow machines, far below what is usual
	}{{0, 40, 2}, {remoteTrip, 15, 1.2}} {
		ours, theirs := p.deliver(t, binary(t), c.n, c.trip), p.deliver(t, reference, c.n, c.trip)
		t.Logf("%v round trip: %.1f messages/s, the reference %.1f: %.1f times as many", c.trip, ours, theirs, ours/theirs)
		if ours < c.want*theirs {
			t.Errorf("%v round trip: only %.2f times as fast", c.trip, ours/theirs)
		}
	}
}

func BenchmarkDelivery(b *testing.B) {
	p := &place{Dovecot: real.StartDovecot(b, real.DovecotOptions{})}
	for _, trip := range []time.Duration{0, remoteTrip} {
		for _, program := range []struct{ name, bin string }{{"ours", binary(b)}, {"reference", real.Reference(b)}} {
			b.Run(fmt.Sprintf("%v/%s", trip, program.name), func(b *testing.B) {
				n := 200
				if trip > 0 {
					n = 50
				}
				for b.Loop() {
					b.ReportMetric(p.deliver(b, program.bin, n, trip), "msg/s")
				}
			})
		}
	}
}
