package notice

import (
	"fmt"
	"strings"
	"time"

	"fetchmail/deliver/header"
)

// Warning is what all mail to the user has in common.
type Warning struct {
	Host    string // our own host name
	Account string // "user@server"
	Time    time.Time
}

// From is the reverse path of a Warning.
func (w Warning) From() string { return "FETCHMAIL-DAEMON@" + clean(w.Host) }

// Oversized counts messages of one size that were too large.
type Oversized struct {
	Octets int64
	Count  int
}

// TooLarge is the mail about messages that the option limit has kept from being fetched: server and user as options
// name them. deleted: limitflush has removed them.
func (w Warning) TooLarge(server, user string, found []Oversized, deleted bool) []byte {
	where, what := "remain on", "skipped"
	if deleted {
		where, what = "were deleted on", "deleted"
	}
	var s strings.Builder
	fmt.Fprintf(&s, "The following oversized messages %s server %s account %s:\r\n\r\n", where, clean(server), clean(user))
	for _, o := range found {
		noun := "message "
		if o.Count != 1 {
			noun = "messages"
		}
		fmt.Fprintf(&s, "  %d %s %d octets long %s by fetchmail.\r\n", o.Count, noun, o.Octets, what)
	}
	return w.mail("Fetchmail oversized-messages warning", s.String()+"\r\n")
}

// LoginFailed is the mail about a login that was refused again and again. before: earlier logins of this run had
// succeeded, so the password is probably right.
func (w Warning) LoginFailed(before bool) []byte {
	why := "This probably means your password is invalid, but some servers have\n" +
		"other failure modes that fetchmail cannot distinguish from this\n" +
		"because they don't send useful error messages on login failure.\n"
	if before {
		why = "Since we have already succeeded in getting authorization for this\n" +
			"connection, this is probably another failure mode (such as busy server)\n" +
			"that fetchmail cannot distinguish because the server didn't send a useful\n" +
			"error message.\r\n" +
			"\nHowever, if you HAVE changed your account details since starting the\n" +
			"fetchmail daemon, you need to stop the daemon, change your configuration\n" +
			"of fetchmail, and then restart the daemon.\n"
	}
	account := clean(w.Account)
	return w.mail("fetchmail authentication failed on "+account,
		"Fetchmail could not get mail from "+account+".\n\r\n"+
			"The attempt to get authorization failed.\n"+why+
			"\nThe fetchmail daemon will continue running and attempt to connect\n"+
			"at each cycle.  No future notifications will be sent until service\n"+
			"is restored.\r\n")
}

// LoginRestored is the mail that follows LoginFailed when a login has succeeded.
func (w Warning) LoginRestored() []byte {
	account := clean(w.Account)
	return w.mail("fetchmail authentication OK on "+account,
		"Fetchmail was able to log into "+account+".\n\r\nService has been restored.\n\r\n")
}

// TimedOut is the mail about a server that has not answered in time for several polls in a row.
func (w Warning) TimedOut(times int) []byte {
	account := clean(w.Account)
	return w.mail("fetchmail sees repeated timeouts",
		fmt.Sprintf("Fetchmail saw %d timeouts in a row while attempting to get mail from %s.\r\n\r\n", times, account)+
			"This could mean that the mail server is stuck, or that a network on the way to it is.\r\n"+
			"The fetchmail daemon goes on trying, with growing pauses. No further mail about it\r\n"+
			"will be sent until the server has answered.\r\n\r\n")
}

// mail puts header and signature around a text. The bare line feeds here and in the texts are the reference's: what
// filters and people have seen for twenty years stays as it is.
func (w Warning) mail(subject, text string) []byte {
	return []byte("From: " + w.From() + "\r\n" +
		"Date: " + header.Date(w.Time) + "\r\n" +
		"MIME-Version: 1.0\r\n" +
		"Content-Transfer-Encoding: 8bit\r\n" +
		"Content-Type: text/plain; charset=\"US-ASCII\"\r\n" +
		"Subject: " + subject + "\r\n\r\n" + text + "-- \nThe Fetchmail Daemon\r\n")
}
