package report

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"fetchmail/daemon/poll"
)

// maxMessage bounds the field msg of a record, octets. It may hold several texts that are cut at maxLine, as do the
// other fields.
const maxMessage = 4 * maxLine

// NewLog returns a logger that writes records as JSON, a line each. Texts are made harmless as Clean does it.
func NewLog(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		switch {
		case a.Value.Kind() != slog.KindString:
		case a.Key == slog.MessageKey:
			a.Value = slog.StringValue(clean(a.Value.String(), maxMessage))
		default:
			a.Value = slog.StringValue(Clean(a.Value.String()))
		}
		return a
	}}))
}

// records is what turns lines into records.
type records struct {
	out, errs slog.Handler // of the two streams, once they are needed

	event string // what the next lines are about
	level slog.Level
	attrs []slog.Attr
	told  bool // there was a record for the event

	message []slog.Attr // of the message that is being read
	began   time.Time   // it
	depth   int         // polls within one another
	started time.Time   // the outermost
	fetched int
	octets  int64
}

// about says what the next lines are about.
func (c *records) about(event string, level slog.Level, attrs ...slog.Attr) {
	c.event, c.level, c.attrs, c.told = event, level, attrs, false
}

// record writes a line as a record.
func (r *Reporter) record(w io.Writer, line string) {
	c := &r.records
	c.told = true
	h := c.handler(r, w)
	ctx := context.Background()
	if !h.Enabled(ctx, c.level) {
		return
	}
	rec := slog.NewRecord(r.Now(), c.level, line, 0)
	rec.AddAttrs(slog.String("event", c.event))
	rec.AddAttrs(c.attrs...)
	h.Handle(ctx, rec) // there is nobody to tell that it cannot be written
}

// handler is the one for a stream.
func (c *records) handler(r *Reporter, w io.Writer) slog.Handler {
	h := &c.errs
	if w == r.Out {
		h = &c.out
	}
	if *h == nil {
		least := slog.LevelInfo
		if r.Verbose > 0 {
			least = slog.LevelDebug
		}
		*h = NewLog(w, least).Handler()
	}
	return *h
}

// gather takes a part of a progress line and makes a record of it when it is complete.
func (r *Reporter) gather(s string) {
	r.line += s
	if line, ok := strings.CutSuffix(r.line, "\n"); ok {
		r.line = ""
		r.record(r.Out, line)
	}
}

// begin prepares for the lines of an event.
func (c *records) begin(r *Reporter, e poll.Event) {
	switch e := e.(type) {
	case poll.Started:
		if c.depth++; c.depth == 1 {
			c.started, c.fetched, c.octets = r.Now(), 0, 0
		}
		c.about("started", slog.LevelDebug, append(account(e.Account), slog.String("protocol", e.Protocol))...)
	case poll.Finished:
		c.brokenOff(r)
		c.depth--
		c.finished(r, e)
	case poll.Counted:
		c.about("mailbox", slog.LevelInfo, append(account(e.Account), slog.String("folder", e.Folder), slog.Int("messages", e.Total),
			slog.Int("seen", e.Seen), slog.Int64("octets", e.Octets))...)
	case poll.Reading:
		c.brokenOff(r)
		c.message = append(account(e.Account), slog.Int("number", e.Num), slog.Int("total", e.Total), slog.Int64("size", e.Size))
		c.began = r.Now()
		c.octets += e.Read
		c.about("message", slog.LevelInfo, c.message...)
	case poll.Progress:
		c.octets += int64(len(e.Text))
	case poll.Done:
		c.fetched++
		c.about("message", slog.LevelInfo, append(c.message, slog.Bool("flushed", e.Flushed), slog.Float64("seconds", r.Now().Sub(c.began).Seconds()))...)
		c.message = nil
	case poll.Retained:
		c.about("message", slog.LevelInfo, append(c.message, slog.Bool("retained", true))...)
		c.message = nil
	case poll.Skipped:
		c.about("skipped", slog.LevelInfo, append(account(e.Account), slog.Int("number", e.Num), slog.Int64("size", e.Size),
			slog.Bool("oversized", e.Oversized), slog.Bool("flushed", e.Flushed))...)
	case poll.Limited:
		c.about("limited", slog.LevelInfo, append(account(e.Account), slog.Int("limit", e.Limit), slog.Int("left", e.Left))...)
	case poll.Idling:
		c.about("idling", slog.LevelDebug, append(account(e.Account), slog.String("folder", e.Folder), slog.Bool("on", e.On))...)
	default:
		c.trouble(e)
	}
}

// trouble is begin for what goes to the error stream.
func (c *records) trouble(e poll.Event) {
	switch e := e.(type) {
	case poll.Unavailable:
		c.about("unavailable", slog.LevelWarn, append(account(e.Account), slog.Int("number", e.Num), slog.Int64("size", e.Size))...)
	case poll.BadHeader:
		c.about("bad-header", slog.LevelWarn, c.message...)
	case poll.Answered:
		c.about("refused", slog.LevelWarn, append(c.message, slog.String("sink", e.Sink), slog.String("recipient", e.Status.To),
			slog.Int("code", e.Status.Reply.Code))...)
	case poll.Forwarded:
		c.about("forwarded", slog.LevelWarn, append(c.message, slog.String("recipient", e.Postmaster))...)
	case poll.NoReceiver:
		c.about("no-receiver", slog.LevelError, append(c.message, slog.String("recipient", e.Postmaster))...)
	case poll.TextRefused:
		c.about("text-refused", slog.LevelWarn, append(c.message, slog.String("sink", e.Sink))...)
	case poll.Bounced:
		c.about("bounced", slog.LevelWarn, append(c.message, slog.String("recipient", e.To))...)
	case poll.Undecided:
		c.about("undecided", slog.LevelWarn, account(e.Account)...)
	case poll.Warned:
		c.about("warning", slog.LevelWarn, c.message...)
	case poll.Failed:
		c.about("failed", slog.LevelError, append(account(e.Account), slog.String("protocol", e.Protocol), slog.String("sink", e.Sink))...)
	default:
		name := fmt.Sprintf("%T", e)
		c.about(strings.ToLower(name[strings.LastIndexByte(name, '.')+1:]), slog.LevelWarn, c.message...)
	}
}

// finished prepares for the end of a poll. An empty mailbox is not worth a record in a daemon's log.
func (c *records) finished(r *Reporter, e poll.Finished) {
	level := slog.LevelInfo
	switch {
	case e.Status != poll.Success && e.Status != poll.NoMail && e.Status != poll.MaxFetch:
		level = slog.LevelError
	case c.depth > 0, r.Silent, r.Daemon && c.fetched == 0:
		level = slog.LevelDebug
	}
	c.about("finished", level, append(account(e.Account), slog.String("protocol", e.Protocol), slog.Int("status", int(e.Status)),
		slog.String("result", e.Status.String()), slog.Int("fetched", c.fetched), slog.Int64("octets", c.octets),
		slog.Float64("seconds", r.Now().Sub(c.started).Seconds()))...)
}

// end makes records of events that have no line.
func (c *records) end(r *Reporter, e poll.Event) {
	if c.told {
		return
	}
	switch e := e.(type) {
	case poll.Started:
		r.record(r.Out, "poll started")
	case poll.Finished:
		r.record(r.Out, "poll completed")
	case poll.Idling:
		if e.On {
			r.record(r.Out, "waiting for new mail")
		} else {
			r.record(r.Out, "no longer waiting for new mail")
		}
	}
}

// brokenOff makes a record of a message that has not come to an end.
func (c *records) brokenOff(r *Reporter) {
	if r.line == "" {
		return
	}
	line := r.line
	r.line = ""
	c.about("message", slog.LevelWarn, append(c.message, slog.Bool("complete", false))...)
	r.record(r.Out, line)
	c.message = nil
}

// account are the fields that say whose mailbox a record is about.
func account(a poll.Account) []slog.Attr {
	return []slog.Attr{slog.String("account", a.Label), slog.String("user", a.User), slog.String("host", a.Host)}
}
