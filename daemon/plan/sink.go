package plan

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"fetchmail/daemon/poll"
	"fetchmail/daemon/report"
	"fetchmail/deliver"
	"fetchmail/deliver/bsmtp"
	"fetchmail/deliver/maildir"
	"fetchmail/deliver/mbox"
	"fetchmail/deliver/mda"
	"fetchmail/deliver/notice"
	"fetchmail/deliver/smtp"
	"fetchmail/protocols/wire"
)

// local tells whether messages stay on this machine without a mail system: nobody else notes the reverse path then.
func (a *account) local() bool {
	return a.user.BSMTP == "" && (a.user.MDA != "" || a.user.Maildir != "" || a.user.Mbox != "")
}

// sink is where messages go: fetchmail(1), DELIVERY CONTROL OPTIONS; a file of ours wins over them. host is the
// canonical name of the mail server.
func (a *account) sink(host string, rep *report.Reporter) deliver.Sink {
	u := a.user
	switch {
	case u.BSMTP != "":
		return bsmtp.New(bsmtp.Options{Path: u.BSMTP, Address: u.SMTPAddress, Name: u.SMTPName})
	case u.Maildir != "":
		return maildir.New(a.path(u.Maildir))
	case u.Mbox != "":
		return mbox.New(mbox.Options{Path: a.path(u.Mbox)})
	case u.MDA != "":
		return mda.New(mda.Options{Command: u.MDA, TimeLimit: time.Duration(u.MDATimeout) * time.Second, User: agentOwner})
	}
	return smtp.New(a.listener(host, rep))
}

// listener are the options for SMTP and LMTP.
func (a *account) listener(host string, rep *report.Reporter) smtp.Options {
	s, u := a.server, a.user
	o := smtp.Options{
		Hosts: u.SMTPHosts, LMTP: u.LMTP, Helo: a.HostName, Address: u.SMTPAddress, Name: u.SMTPName, Antispam: u.Antispam,
		BatchLimit: u.BatchLimit, User: s.EsmtpName, Password: s.EsmtpPassword, Trace: trace[byte](rep, a.listenerProtocol()),
		Timeouts: smtp.Timeouts{}.AtLeast(time.Duration(s.Timeout) * time.Second), Notice: rep.Connections,
	}
	if s.EsmtpPassword == "" {
		o.User = ""
	}
	if a.config.Invisible {
		o.Helo = host
	}
	for _, h := range u.SMTPHosts {
		if strings.HasSuffix(h, "/tls") || strings.HasSuffix(h, "/starttls") {
			o.TLS = func(host string) *tls.Config { return &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12} }
		}
	}
	if s.Plugout != "" {
		plug := &wire.Dialer{Plugin: s.Plugout}
		o.Connect = func(ctx context.Context, host, port string) (net.Conn, error) { return plug.Dial(ctx, host, port) }
	}
	return o
}

// listenerProtocol is the name of the protocol in traces; a socket implies LMTP.
func (a *account) listenerProtocol() string {
	if a.user.LMTP || len(a.user.SMTPHosts) > 0 && strings.HasPrefix(a.user.SMTPHosts[0], "/") {
		return "LMTP"
	}
	return "SMTP"
}

// trace shows a dialogue with -v.
func trace[Dir ~byte](rep *report.Reporter, protocol string) func(dir Dir, line string) {
	if rep.Verbose == 0 {
		return nil
	}
	return func(dir Dir, line string) { rep.Trace(protocol, byte(dir), line) }
}

// tooLarge is the code of a message that exceeds the listener's limit: RFC 5321, section 4.2.3.
const tooLarge = 552

// bounce reports a failure to the sender, or with "no bouncemail", or where there is none, to the postmaster. It goes
// to the listener of this machine, greeted as the reference does it.
func (a *account) bounce(ctx context.Context, f poll.Failure, rep *report.Reporter) (string, error) {
	to := f.Sender
	if !a.config.BounceMail || to == "" {
		s := f.Status[0]
		recipient := f.Partial || s.Stage == deliver.AtRcpt && s.Reply.Code != tooLarge
		if to = a.config.Postmaster; f.Whole == nil && !recipient && s.Class != deliver.Spam {
			return "", nil
		}
	}
	if to == "" {
		return "", nil
	}
	b := notice.Bounce{Host: a.HostName, To: to, Reason: reason(f.Status[0]), Header: f.Header, Whole: f.Whole, Time: time.Now(),
		PID: os.Getpid(), PPID: os.Getppid()}
	for _, s := range f.Status {
		b.Failures = append(b.Failures, notice.Failure{To: s.To, Reply: s.Reply.Text})
	}
	sink := smtp.New(smtp.Options{Hosts: []string{"localhost"}, HELO: true, Helo: a.HostName, Name: to, Trace: trace[byte](rep, "SMTP")})
	defer sink.Close()
	out, err := deliver.Send(ctx, sink, deliver.Envelope{To: []string{to}}, func(w io.Writer) error {
		_, err := b.WriteTo(w)
		return err
	})
	if err == nil && !out.Delivered() {
		err = &deliver.Fault{Kind: deliver.Refusal, Stage: deliver.AtEnd, Outcome: out}
	}
	return to, err
}

// deadLetter is the folder for messages that were refused.
func (a *account) deadLetter() deliver.Sink { return maildir.New(a.path(a.user.DeadLetter)) }

// notices says what mail of ours this account may send: to its user where there is one, otherwise to the postmaster.
// Messages that are too large are worth mail only if nobody sees the output.
func (a *account) notices() poll.Notices {
	n := poll.Notices{Host: a.HostName, To: a.config.Postmaster, Failures: a.Daemon, TooLarge: a.Detached,
		Every: time.Duration(max(a.user.Warnings, 0)) * time.Second}
	if names := a.user.LocalNames; !a.user.Multidrop() && len(names) == 1 {
		n.To = names[0].Remote
	}
	if a.user.SMTPAddress != "" {
		n.Host = a.user.SMTPAddress
	}
	return n
}

// reason is what the report says in general.
func reason(s deliver.Status) string {
	switch {
	case s.Stage == deliver.AtRcpt:
		return notice.Rejected
	case s.Class == deliver.Spam:
		return notice.Filtered + "\r\n" + strings.ReplaceAll(s.Reply.Text, "\n", "\r\n")
	case s.Reply.Code == tooLarge:
		return notice.TooLarge
	}
	return notice.General
}
