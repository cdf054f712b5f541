package imap

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"fetchmail/protocols"
	"fetchmail/protocols/wire"
)

// byeTime is how long the server has for its answer to LOGOUT.
const byeTime = 10 * time.Second

// Session is a logged-in IMAP session: protocols.Session, Selector, Announcer and Waiter.
type Session struct {
	life   context.Context // that Open was called with
	o      Options
	conn   *wire.Conn
	filter *filter
	client *imapclient.Client
	caps   []string

	folder   string
	readOnly bool
	selected bool
	classic  bool                  // message by message, by numbers: see the package comment
	validity uint32                // UIDVALIDITY
	known    func(uid string) bool // Options.Known of the folder
	listed   bool                  // the folder has been listed since it was selected
	window   int                   // messages in the next batch

	fetching bool  // a batch is under way: nothing may be waited for
	open     *body // the message that was yielded last
	reader   *bufio.Reader
	store    *storing
	closed   bool
}

// Open connects, secures the connection, logs in and hands over to the library. Its errors are *protocols.Fault. The
// context ends the session for its whole life.
func Open(ctx context.Context, o Options) (*Session, error) {
	o = o.withDefaults()
	if o.Trace != nil {
		o.Trace = serial(o.Trace)
	}
	o.Alert = limited(o.Alert)
	conn, err := o.Dialer.Dial(ctx, o.Host, o.Service)
	if err != nil {
		return nil, protocols.Undialed(err)
	}
	g := &guest{o: o, conn: conn}
	if err := g.welcome(ctx); err != nil {
		f := sessionFault(g.phase, "", err)
		switch f.Kind {
		case protocols.Timeout:
			f.Phase = protocols.LoggingIn // connecting is over, whatever the server was to say
		case protocols.Socket:
		default:
			g.leave()
		}
		conn.Close()
		return nil, f
	}
	return newSession(ctx, o, g), nil
}

// serial makes a trace that is called by one goroutine at a time.
func serial(t wire.Trace) wire.Trace {
	var mu sync.Mutex
	return func(d wire.Dir, text string) {
		mu.Lock()
		defer mu.Unlock()
		t(d, text)
	}
}

// limited passes on the first maxAlerts texts. It is called by one goroutine at a time.
func limited(alert func(string)) func(string) {
	n := 0
	return func(text string) {
		if n++; n <= maxAlerts {
			alert(text)
		}
	}
}

// newSession hands the connection to the library.
func newSession(ctx context.Context, o Options, g *guest) *Session {
	s := &Session{life: ctx, o: o, conn: g.conn, caps: g.caps, window: firstWindow}
	f := newFilter(g.conn, o.Trace, o.Dialer.Timeout, g.tags)
	f.mask = &g.mask
	f.old = !g.has("IMAP4REV1") && !g.has("IMAP4REV2")
	f.idle = o.IdleTimeout + o.Dialer.Timeout
	if o.Dialer.Timeout == 0 {
		f.idle = 0
	}
	f.alert = o.Alert
	known := []string{"IMAP4rev1"}
	for _, c := range []string{"UIDPLUS", "MOVE", "IDLE"} {
		if s.has(c) {
			known = append(known, c)
		}
	}
	f.greet(known)
	s.filter = f
	s.store = newStoring()
	s.client = imapclient.New(f, nil)
	return s
}

func (s *Session) has(name string) bool { return slices.Contains(s.caps, name) }

// sessionFault makes any error a Fault.
func sessionFault(phase protocols.Phase, op string, err error) *protocols.Fault {
	var f *protocols.Fault
	if errors.As(err, &f) {
		return f
	}
	f = &protocols.Fault{Kind: protocols.Socket, Phase: phase, Op: op, Err: lostErr(err)}
	var (
		no  *goimap.Error
		bye *byeError
	)
	switch {
	case errors.As(err, &no):
		f.Kind, f.Reply = protocols.Server, reply(no)
	case errors.As(err, &bye):
		f.Detail = bye.lines()
	case errors.Is(err, wire.ErrTimeout):
		f.Kind = protocols.Timeout
	case errors.Is(err, errLimit):
		f.Kind = protocols.Protocol
	}
	return f
}

// lostErr makes every loss of the connection an io.ErrUnexpectedEOF.
func lostErr(err error) error {
	var canceled *wire.CanceledError
	err = early(err)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, wire.ErrTimeout) || errors.As(err, &canceled) {
		return err
	}
	var op net.Error
	if !errors.As(err, &op) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
}

// reply is a server's no in its own words.
func reply(no *goimap.Error) string {
	s := string(no.Type)
	if no.Code != "" {
		s += " [" + string(no.Code) + "]"
	}
	return s + " " + no.Text
}

// fault makes a Fault of an error of the library; the filter knows better why the connection has ended.
func (s *Session) fault(phase protocols.Phase, op string, err error) error {
	if err == nil {
		return nil
	}
	var no *goimap.Error
	if cause := s.filter.failure(); cause != nil && !errors.As(err, &no) {
		err = cause
	}
	return sessionFault(phase, op, err)
}

// broken tells whether nothing can be said to the server any more.
func (s *Session) broken() bool { return s.closed || s.filter.failure() != nil }

// usable tells whether anything may be said to the server.
func (s *Session) usable(ctx context.Context, phase protocols.Phase) error {
	for _, c := range []context.Context{ctx, s.life} {
		if c.Err() != nil {
			return sessionFault(phase, "", &wire.CanceledError{Cause: context.Cause(c)})
		}
	}
	if s.closed {
		return &protocols.Fault{Kind: protocols.Socket, Phase: phase, Err: net.ErrClosed}
	}
	if cause := s.filter.failure(); cause != nil {
		return s.fault(phase, "", cause)
	}
	return nil
}

// errLooping is about calls that have to wait for answers while a loop over Fetch holds them up.
var errLooping = errors.New("not within a loop over Fetch")

// free tells whether commands can be sent and waited for.
func (s *Session) free(ctx context.Context, phase protocols.Phase) error {
	if s.fetching {
		return &protocols.Fault{Kind: protocols.Config, Phase: phase, Err: errLooping}
	}
	return s.usable(ctx, phase)
}

// Traits tells the facts about IMAP.
func (s *Session) Traits() protocols.Traits {
	return protocols.Traits{Protocol: "IMAP", Peer: s.conn.PeerIP(), Folders: true, ServerSeen: true}
}

// Select opens a folder (RFC 3501, sections 6.3.1 and 6.3.2).
func (s *Session) Select(ctx context.Context, folder string, readOnly bool) error {
	if err := s.free(ctx, protocols.Opening); err != nil {
		return err
	}
	defer s.watch(ctx)()
	s.settle()
	s.flush()
	if folder == "" {
		folder = "INBOX"
	}
	op := "SELECT"
	if readOnly {
		op = "EXAMINE"
	}
	if !safe(folder) || !safe(s.o.MoveTo) {
		return &protocols.Fault{Kind: protocols.Config, Phase: protocols.Opening, Op: op,
			Err: errors.New("the name of a folder holds a line end or NUL")}
	}
	s.filter.begin(quote(folder), quote(s.o.MoveTo))
	data, err := s.client.Select("INBOX", &goimap.SelectOptions{ReadOnly: readOnly}).Wait()
	if err != nil {
		s.selected = false
		f := sessionFault(protocols.Opening, op, s.fault(protocols.Opening, op, err))
		if f.Kind != protocols.Timeout {
			f.Detail = append(f.Detail, "mailbox selection failed")
		}
		return f
	}
	if data.NumMessages > maxBox {
		return &protocols.Fault{Kind: protocols.Protocol, Phase: protocols.Opening, Op: op,
			Err: fmt.Errorf("%w: %d messages in a folder", errLimit, data.NumMessages)}
	}
	s.folder, s.readOnly, s.selected, s.listed = folder, readOnly, true, false
	s.validity, s.known = data.UIDValidity, nil
	if s.o.Known != nil && s.validity != 0 {
		s.known = s.o.Known(folder)
	}
	s.classic = !s.has("UIDPLUS") || s.validity == 0 || s.o.classicOnly
	s.store = newStoring()
	return nil
}

// watch ends the session when ctx is done, until the function that it returns is called.
func (s *Session) watch(ctx context.Context) (stop func()) {
	unhook := context.AfterFunc(ctx, func() {
		s.filter.fail(&wire.CanceledError{Cause: context.Cause(ctx)})
		s.filter.Close()
	})
	return func() { unhook() }
}

// begin prepares for another folder.
func (f *filter) begin(mailbox, target string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mailbox, f.target, f.want = mailbox, target, nil
	f.box.reset()
}

// exists is the number of messages that the server has told last; it also ends the period for Announced.
func (s *Session) exists() uint32 {
	s.filter.mu.Lock()
	defer s.filter.mu.Unlock()
	s.filter.box.grown = false
	select {
	case <-s.filter.news:
	default:
	}
	return s.filter.box.exists
}

// count is exists, within bounds.
func (s *Session) count() (uint32, error) {
	total := s.exists()
	if total > maxBox {
		return 0, &protocols.Fault{Kind: protocols.Protocol, Phase: protocols.Opening, Err: fmt.Errorf("%w: %d messages in a folder", errLimit, total)}
	}
	return total, nil
}

// Announced tells whether messages have arrived since List.
func (s *Session) Announced() bool {
	s.filter.mu.Lock()
	defer s.filter.mu.Unlock()
	return s.listed && s.filter.box.grown
}

// List asks what is in the folder. Without keep, messages that are marked as deleted already are removed first, as the
// reference does.
func (s *Session) List(ctx context.Context) (protocols.Listing, error) {
	if err := s.free(ctx, protocols.Opening); err != nil {
		return protocols.Listing{}, err
	}
	if !s.selected {
		if err := s.Select(ctx, "", false); err != nil {
			return protocols.Listing{}, err
		}
	}
	defer s.watch(ctx)()
	s.settle()
	s.flush()
	if !s.listed && !s.readOnly && !s.o.Keep && s.exists() > 0 {
		if _, err := s.client.Expunge().Collect(); err != nil {
			f := sessionFault(protocols.Opening, "EXPUNGE", s.fault(protocols.Opening, "EXPUNGE", err))
			if f.Kind == protocols.Server {
				f.Detail = []string{"expunge failed"}
			}
			return protocols.Listing{}, f
		}
	}
	total, err := s.count()
	if err != nil {
		return protocols.Listing{}, err
	}
	l, err := s.listing(0), error(nil)
	if total > 0 {
		l, err = s.list(total)
	}
	s.listed = err == nil
	return l, err
}

func (s *Session) list(total uint32) (protocols.Listing, error) {
	if !s.classic {
		l, err := s.listUIDs()
		if err == nil || !s.classic || s.broken() {
			return l, err
		}
	}
	return s.listNumbers(total)
}

// listUIDs asks for everything in one command. A server that cannot do it is asked for numbers from now on.
func (s *Session) listUIDs() (protocols.Listing, error) {
	s.filter.expect(&want{byUID: true, list: true, size: true})
	defer s.filter.expect(nil)
	all := goimap.UIDSet{goimap.UIDRange{Start: 1, Stop: 0}}
	cmd := s.client.Fetch(all, &goimap.FetchOptions{UID: true, Flags: true, RFC822Size: true})
	var found []entry
	for m := cmd.Next(); m != nil; m = cmd.Next() {
		found = append(found, s.entry(m))
	}
	if err := cmd.Close(); err != nil {
		err = s.fault(protocols.Opening, "UID FETCH", err)
		s.classic = !s.broken()
		return protocols.Listing{}, err
	}
	return s.arrange(found)
}

// entry is one line of a listing.
type entry struct {
	uid           uint32
	size          int64
	seen, deleted bool
}

func (s *Session) entry(m *imapclient.FetchMessageData) entry {
	e := entry{size: -1}
	for it := m.Next(); it != nil; it = m.Next() {
		switch it := it.(type) {
		case imapclient.FetchItemDataUID:
			e.uid = uint32(it.UID)
		case imapclient.FetchItemDataRFC822Size:
			e.size = it.Size
		case imapclient.FetchItemDataFlags:
			e.seen = slices.Contains(it.Flags, goimap.FlagSeen)
			e.deleted = slices.Contains(it.Flags, goimap.FlagDeleted)
		}
	}
	return e
}

// arrange makes a listing of entries. What was expunged while they came is left out; numbers are those that the
// messages have now.
func (s *Session) arrange(found []entry) (protocols.Listing, error) {
	f := s.filter
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.box.noUID {
		s.classic = true
		return protocols.Listing{}, errors.New("the server leaves out UIDs")
	}
	l := s.listing(f.box.exists)
	nums := f.box.nums()
	for _, e := range found {
		n := nums[e.uid]
		if n == 0 || f.box.gone[e.uid] {
			continue
		}
		it := protocols.Item{Num: int(n), UID: s.uid(e.uid), Size: e.size}
		it.Seen = s.old(it.UID, e.seen, e.deleted)
		l.Items = append(l.Items, it)
	}
	slices.SortFunc(l.Items, func(a, b protocols.Item) int { return cmp.Compare(a.Num, b.Num) })
	return l, nil
}

// listing is an empty one.
func (s *Session) listing(total uint32) protocols.Listing {
	return protocols.Listing{Total: int(total), SeenKnown: !s.o.FetchAll, ByUID: s.known != nil}
}

// old tells whether a message counts as seen: the reference searches UNSEEN, with keep UNSEEN UNDELETED. Where UIDs are
// known \Seen says nothing: people read their mail elsewhere.
func (s *Session) old(uid string, seen, deleted bool) bool {
	if s.known != nil {
		return s.known(uid) || s.o.Keep && deleted
	}
	return !s.o.FetchAll && (seen || s.o.Keep && deleted)
}

// uid is what identifies a message for ever within its folder (RFC 3501, section 2.3.1.1).
func (s *Session) uid(uid uint32) string {
	return strconv.FormatUint(uint64(s.validity), 10) + "." + strconv.FormatUint(uint64(uid), 10)
}

// id is how the commands of this session name a message: its UID, or in the message by message way its number in the
// listing.
func (s *Session) id(it protocols.Item) uint32 {
	if s.classic {
		return uint32(it.Num)
	}
	validity, uid, _ := strings.Cut(it.UID, ".")
	if v, ok := number32([]byte(validity)); !ok || v != s.validity {
		return 0
	}
	n, _ := number32([]byte(uid))
	return n
}

// settle ends what a loop that was left early has left behind.
func (s *Session) settle() {
	if s.open != nil {
		s.open.Close()
		s.open = nil
	}
}

// Close ends the session: with LOGOUT if the server still listens; the error tells that it did not answer as it must.
// Marks stay, nothing is removed.
func (s *Session) Close() error {
	if s.closed {
		return nil
	}
	if s.fetching { // Fetch's loop is left behind us and clears up
		s.closed = true
		return s.filter.Close()
	}
	s.settle()
	var err error
	if !s.broken() && s.life.Err() == nil {
		s.flush()
		err = s.goodbye()
	}
	s.closed = true
	s.end()
	return err
}

// end closes the connection; no literal may be unread.
func (s *Session) end() {
	s.filter.Close()
	s.client.Close()
	s.store.wg.Wait()
}

// goodbye says LOGOUT and waits a moment for the answer.
func (s *Session) goodbye() error {
	if limit := s.o.Dialer.Timeout; limit == 0 || limit > byeTime {
		s.conn.SetTimeout(byeTime)
	}
	return s.fault(protocols.Finishing, "LOGOUT", s.client.Logout().Wait())
}

var (
	_ protocols.Session   = (*Session)(nil)
	_ protocols.Selector  = (*Session)(nil)
	_ protocols.Announcer = (*Session)(nil)
	_ protocols.Waiter    = (*Session)(nil)
	_ io.Reader           = (*body)(nil)
)
