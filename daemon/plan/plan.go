// Package plan turns what the options say into jobs. It is the only place where everything is put together, and the
// only one below the command that knows the configuration.
package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"path/filepath"
	"strings"
	"time"

	"fetchmail/daemon/ledger"
	"fetchmail/daemon/poll"
	"fetchmail/daemon/report"
	"fetchmail/deliver"
	"fetchmail/deliver/header"
	"fetchmail/deliver/route"
	"fetchmail/deliver/text"
	"fetchmail/protocols"
	"fetchmail/protocols/auth"
	"fetchmail/protocols/wire"
	"fetchmail/rcfile"
)

// Facts are what jobs need to know besides the options.
type Facts struct {
	HostName string // our own, fully qualified
	User     string // who runs the program
	Home     string // "~" in paths
	Version  string
	Check    bool // only count messages
	Daemon   bool // empty mailboxes are not worth a line
	Detached bool // nobody sees the output
	Logged   bool // standard output is a log: every line gets the program's name
	Silent   bool
	Explain  bool // people read standard error
	Verbose  int
	Dots     bool              // progress is shown though the option showdots is not set; a Terminal shows a bar instead
	Warn     func(line string) // lines for standard error, before polls begin
	Typed    map[string]string // passwords that were typed in, by user@label
	Terminal *report.Terminal  // where standard output ends up, for people; nil if it does not
	// Watch gives an observer for one run of the task with that ID; nil, or a nil observer, watches nothing.
	Watch func(id string) poll.Observer
}

// Task is one user's mailbox, ready to be polled.
type Task struct {
	ID       string // label, user, and a number where these are not unique: the same in the next plan
	Name     string // for people
	Label    string
	User     string // the name used for login
	Folder   string // that a resident task watches; "" is the default one
	Protocol string
	Timeout  int    // seconds; 0 is without end
	Interval int    // poll every Nth cycle; 0 or 1 is each
	Key      string // user and host: tasks with the same key must not run side by side
	Host     string
	// Alone: a command before or behind the poll may change the network for all.
	Alone bool
	// Serial tasks must not run side by side.
	Serial bool
	// MaxConnections is how many tasks of this host may run side by side.
	MaxConnections int
	// Resident tasks wait for new mail in one folder and have a connection of their own for it.
	Resident bool
	link     *gate // nil: always open
	account  *account
	folders  []string
	memory   *poll.Memory
	gate     chan struct{} // one place for each resident task of this host that may log in at a time
}

// Turn is what a run of a task works with.
type Turn struct {
	Stop     <-chan struct{} // poll.Job.Run
	Wake     <-chan struct{} // poll.Job.Wake
	Out, Err io.Writer
}

// Run polls the mailbox once and writes what there is to say.
func (t *Task) Run(ctx context.Context, turn Turn) poll.Result {
	defer t.polled()
	a := *t.account
	a.task, a.wake, a.memory = t, turn.Wake, t.memory
	rep := a.reporter(turn.Out, turn.Err)
	stop := turn.Stop
	obs := a.observer(t.ID, rep)
	if a.pushes() {
		return a.push(ctx, stop, rep, obs)
	}
	if a.server.Protocol != rcfile.Auto {
		j := a.job(a.server.Protocol, rep)
		j.Observer = obs
		return j.Run(ctx, stop)
	}
	auto := a.mailbox()
	obs.Observe(poll.Started{Account: auto, Protocol: "auto"})
	res := a.tryAll(ctx, stop, rep, obs)
	obs.Observe(poll.Finished{Account: auto, Protocol: "auto", Status: res.Status})
	return res
}

// observer hears all that happens in a run of a task: the reporter, and who watches from outside.
func (a *account) observer(id string, rep *report.Reporter) poll.Observer {
	if a.Watch != nil {
		if w := a.Watch(id); w != nil {
			return poll.Tee{rep, w}
		}
	}
	return rep
}

// tryAll is protocol auto: IMAP, then POP3. That the first one is not spoken is no failure as long as there is another.
func (a *account) tryAll(ctx context.Context, stop <-chan struct{}, rep *report.Reporter, obs poll.Observer) poll.Result {
	held := &holder{Observer: obs}
	j := a.job(rcfile.IMAP, rep)
	j.Observer = held
	res := j.Run(ctx, stop)
	if !a.another(res) {
		held.release()
		return res
	}
	j = a.job(rcfile.POP3, rep)
	j.Observer = &holder{Observer: obs, open: true, before: held}
	return j.Run(ctx, stop)
}

// holder is an observer that keeps the news of a failure until it is known whether it matters. The status of the poll
// is told by whoever tries several protocols.
type holder struct {
	poll.Observer
	open   bool
	before *holder // of the protocol before: where nobody answers to this one, its failure matters after all
	failed []poll.Event
}

func (h *holder) Observe(e poll.Event) {
	switch e := e.(type) {
	case poll.Finished:
		e.Status = poll.Success
		h.Observer.Observe(e)
	case poll.Failed:
		var dial *wire.DialError
		if h.before != nil && errors.As(e.Err, &dial) {
			h.before.release()
		}
		if h.failed = append(h.failed, e); h.open {
			h.release()
		}
	default:
		h.Observer.Observe(e)
	}
}

func (h *holder) release() {
	for _, e := range h.failed {
		h.Observer.Observe(e)
	}
	h.failed = nil
}

// another tells whether, with protocol auto, the next protocol is worth a try: this one is not spoken there. A port that
// was named and does not answer will not answer the next one either, and POP3 has no folders.
func (a *account) another(res poll.Result) bool {
	switch {
	case res.Fetched > 0 || len(a.user.Folders) > 0:
		return false
	case res.Status == poll.Protocol:
		return true
	}
	return res.Status == poll.Socket && a.server.Service == ""
}

// Plan is what a configuration comes to: its tasks, and the record of fetched messages that they share.
type Plan struct {
	Tasks  []*Task
	ledger *ledger.Ledger
	// ledgers are all records that were in force, by file: a watched mailbox of a plan before may have a message in hand.
	ledgers map[string]*ledger.Ledger
	ports   map[string]string // of each user@host, for IMAP with a slash behind it, the service that was seen first
	// memories are what outlives a poll, of each account by its name in the record.
	memories map[string]*poll.Memory
}

// Error says that an option cannot work.
type Error struct {
	Label string // of the poll
	Why   string
}

func (e *Error) Error() string { return e.Label + ": " + e.Why }

// New makes a task of every active account, in the order of the file, and opens the record of fetched messages. Its
// error is an *Error, or says what is wrong with the record.
func New(c *rcfile.Config, f Facts) (*Plan, error) { return open(c, f, nil, nil) }

// Renew makes the plan for a changed configuration. The record goes on; p is of no use any more, unless there is an
// error.
func (p *Plan) Renew(c *rcfile.Config, f Facts) (*Plan, error) {
	return open(c, f, p.ledgers, p.memories)
}

// open is New; ledgers and known are the records and the memories of accounts from the plan before.
func open(c *rcfile.Config, f Facts, ledgers map[string]*ledger.Ledger, known map[string]*poll.Memory) (*Plan, error) {
	led := ledgers[c.IDFile]
	if led == nil {
		var err error
		if led, err = ledger.Open(c.IDFile); err != nil {
			return nil, err
		}
	}
	p := &Plan{ledger: led, ledgers: map[string]*ledger.Ledger{c.IDFile: led}, ports: map[string]string{}, memories: map[string]*poll.Memory{}}
	maps.Copy(p.ledgers, ledgers)
	if err := p.fill(c, f, known); err != nil {
		if ledgers[c.IDFile] == nil {
			led.Close()
		}
		return nil, err
	}
	return p, nil
}

// memory is what is known of an account: what was known before the configuration changed, or nothing. All tasks of the
// account share it. Accounts that are not there any more are forgotten.
func (p *Plan) memory(key string, known map[string]*poll.Memory) *poll.Memory {
	if p.memories[key] == nil {
		p.memories[key] = cmp.Or(known[key], new(poll.Memory))
	}
	return p.memories[key]
}

func (p *Plan) fill(c *rcfile.Config, f Facts, known map[string]*poll.Memory) error {
	ids := map[string]int{}
	for _, s := range c.Servers {
		if !s.Active {
			for _, u := range s.Users {
				p.recordHost(s, u) // those behind have the names that they have when all are polled
			}
			continue
		}
		var g *gate
		if s.Interface != "" || s.Monitor != "" {
			g = &gate{server: s, refused: wire.LinkRefused, count: wire.LinkPackets}
		}
		for _, u := range s.Users {
			a := &account{config: c, server: s, user: u, ledger: p.ledger, Facts: f}
			if err := a.check(); err != nil {
				return err
			}
			a.openToAll()
			a.secret = a.findSecret()
			a.recordHost = p.recordHost(s, u)
			p.ledger.Account(u.Remote, a.recordHost, "") // the order of registration is that of the file
			for _, t := range a.tasks() {
				t.memory = p.memory(u.Remote+"@"+a.recordHost, known)
				t.link = g
				ids[t.ID]++
				t.ID = fmt.Sprintf("%s %d", t.ID, ids[t.ID])
				p.Tasks = append(p.Tasks, t)
			}
		}
	}
	p.settle(f.Daemon)
	return nil
}

// settle decides which tasks are resident: those of a daemon. Without one, idle means as in the reference that a poll, the
// only one there is, goes on for ever.
func (p *Plan) settle(daemon bool) {
	gates := map[string]chan struct{}{}
	for _, t := range p.Tasks {
		t.Resident = t.Resident && daemon
		if gates[t.Host] == nil {
			gates[t.Host] = make(chan struct{}, max(t.MaxConnections, 1))
		}
		t.gate = gates[t.Host]
	}
}

// recordHost is the host part of an account in the record: the name that is contacted, as in the reference. Two
// servers behind one name (tunnels) must not share a record, because they may give equal UIDs: all but the first get
// their port added. With IMAP a record has the folder in its name, without it has none.
func (p *Plan) recordHost(s *rcfile.Server, u *rcfile.User) string {
	key := u.Remote + "@" + s.Host()
	if s.Protocol == rcfile.IMAP {
		key += "/"
	}
	first, known := p.ports[key]
	if !known {
		p.ports[key] = s.Service
	} else if first != s.Service {
		return s.Host() + ":" + s.Service
	}
	return s.Host()
}

// Save brings the record of fetched messages in order, after a round of polls.
func (p *Plan) Save() error { return p.all((*ledger.Ledger).Save) }

// Close saves and gives up the record.
func (p *Plan) Close() error { return p.all((*ledger.Ledger).Close) }

func (p *Plan) all(do func(*ledger.Ledger) error) error {
	var errs error
	for _, l := range p.ledgers {
		errs = errors.Join(errs, do(l))
	}
	return errs
}

// account is one user of a server, on the way to becoming a Task.
type account struct {
	config *rcfile.Config
	server *rcfile.Server
	user   *rcfile.User
	ledger *ledger.Ledger
	secret auth.Secret
	reread auth.Secret // what is read again for each poll; nil if nothing is
	typed  auth.Secret // what can be got once only: a descriptor, or somebody who knows it
	// recordHost is the name of the server in the record of fetched messages.
	recordHost string
	Facts

	// Of one run:
	task   *Task
	wake   <-chan struct{}
	memory *poll.Memory
}

// tasks is one task, or one for each folder that is to be watched.
func (a *account) tasks() []*Task {
	s, u := a.server, a.user
	folders := u.Folders
	if len(folders) == 0 {
		folders = []string{""}
	}
	t := Task{
		ID: u.Remote + "@" + s.Name, Name: u.Remote + " at " + s.Name, Label: s.Name, User: u.Remote, Protocol: string(s.Protocol),
		Timeout: s.Timeout, Interval: s.Interval, Key: u.Remote + "@" + s.Host(), Host: s.Host(), MaxConnections: s.MaxConnections,
		Alone: u.PreConnect != "" || u.PostConnect != "", Serial: s.Plugin != "" || s.Interface != "" || s.Monitor != "",
		Resident: u.Idle && !a.Check && (s.Protocol == rcfile.IMAP || s.Protocol == rcfile.Auto), account: a, folders: folders,
	}
	if !t.Resident {
		return []*Task{&t}
	}
	var all []*Task
	for _, f := range folders {
		one := t
		one.Folder = f
		if one.folders = []string{f}; f != "" {
			one.Name += " (folder " + f + ")"
		}
		all = append(all, &one)
	}
	return all
}

// reporter says what happens in a poll.
func (a *account) reporter(out, err io.Writer) *report.Reporter {
	return &report.Reporter{Out: out, Err: err, Host: a.HostName, Version: a.Version, Silent: a.Silent, Verbose: a.Verbose, Check: a.Check,
		Dots: a.config.ShowDots || a.Dots && a.Terminal == nil, Daemon: a.Daemon, Prefix: a.Logged, Now: time.Now,
		JSON: a.config.LogFormat == "json", Terminal: a.Terminal, Explain: a.Explain || a.Verbose > 0 || a.Logged}
}

func (a *account) job(p rcfile.Protocol, rep *report.Reporter) *poll.Job {
	s, u, c := a.server, a.user, a.config
	j := &poll.Job{
		Account:  a.mailbox(),
		Resolve:  a.resolve(),
		Protocol: dialect(p),
		Folders:  a.task.folders,
		Timeout:  s.Timeout,
		Observer: rep,
		Rules: poll.Rules{
			FetchAll: u.FetchAll, Keep: u.Keep, Flush: u.Flush, LimitFlush: u.LimitFlush, MaxSize: u.Limit,
			FetchLimit: u.FetchLimit, Expunge: u.Expunge, Check: a.Check, Idle: u.Idle, RetrieveError: s.RetrieveError, Multidrop: u.Multidrop(),
			OnReject:   onReject[u.OnReject],
			BounceMail: c.BounceMail, SpamBounce: c.SpamBounce, SoftBounce: c.SoftBounce,
		},
		Ledger: func(folder string) poll.Ledger { return a.record(p, folder) },
		Sink:   func(host string) deliver.Sink { return a.sink(host, rep) },
		Route:  a.router,
		Edit:   a.edit(),
		Bounce: func(ctx context.Context, f poll.Failure) (string, error) { return a.bounce(ctx, f, rep) },
		Memory: a.memory, Notices: a.notices(), DeadLetter: a.deadLetter,
	}
	j.Open = func(ctx context.Context) (protocols.Session, error) { return a.open(ctx, p, rep) }
	j.Stay, j.Wake = a.task.Resident, a.wake
	if p == rcfile.IMAP || len(u.Folders) == 0 { // otherwise it comes to no connection
		j.Before, j.After = hook("pre", u.PreConnect, a.Detached), hook("post", u.PostConnect, a.Detached)
	}
	return j
}

// mailbox is whose mail events are about.
func (a *account) mailbox() poll.Account {
	return poll.Account{Label: a.server.Name, Host: a.server.Host(), User: a.user.Remote}
}

// dialect is what a protocol is called in status lines and traces: the reference knows SDPS as POP3.
func dialect(p rcfile.Protocol) string {
	if p == rcfile.SDPS {
		return string(rcfile.POP3)
	}
	return string(p)
}

var onReject = map[string]poll.Reject{"keep": poll.RejectKeep, "bounce": poll.RejectBounce, "deadletter": poll.RejectDeadLetter}

// record is the part of the record that is about one folder; POP3 has none.
func (a *account) record(p rcfile.Protocol, folder string) *ledger.Account {
	if p != rcfile.IMAP {
		folder = ""
	} else if folder == "" {
		folder = "INBOX"
	}
	return a.ledger.Account(a.user.Remote, a.recordHost, folder)
}

// resolve finds the canonical name of the server; nil without the option dns.
func (a *account) resolve() func(context.Context) (string, error) {
	if !a.server.DNS {
		return nil
	}
	return func(ctx context.Context) (string, error) { return canonical(ctx, a.server.Host()) }
}

// canonical is the name that the resolver has for a host behind all aliases.
func canonical(ctx context.Context, host string) (string, error) {
	if net.ParseIP(wire.Unbracket(host)) != nil {
		return host, nil
	}
	return lookupCNAME(ctx, host)
}

func (a *account) edit() poll.Edit {
	s, u, c := a.server, a.user, a.config
	noSender := ""
	if u.BSMTP != "" {
		noSender = a.User
	}
	return poll.Edit{
		LocalSender: a.local() || u.BSMTP != "", Named: u.SMTPName, NoSender: noSender,
		Header: header.Edit{
			RemoteUser: u.Remote, Invoker: a.User + "@" + a.HostName, Rewrite: u.Rewrite, DropStatus: u.DropStatus,
			DropDelivered: u.DropDelivered, MimeDecode: u.MimeDecode, ReturnPath: a.local() || u.MDA != "",
		},
		Received:   header.ReceivedInfo{By: a.HostName, Version: a.Version},
		Invisible:  c.Invisible,
		PeerAddr:   s.DNS && u == s.Users[0], // the reference tells the address for the first user alone
		Traced:     s.TracePolls,
		Lines:      text.Lines{StripCR: u.StripCR || u.Maildir != "" || u.Mbox != "", ForceCR: u.ForceCR},
		MimeDecode: u.MimeDecode,
		Pass8Bits:  u.Pass8Bits,
		AcceptBad:  s.BadHeader,
		Postmaster: c.Postmaster,
	}
}

// router finds recipients; host is the canonical name of the server.
func (a *account) router(host string) poll.Router {
	s, u := a.server, a.user
	users := make([]route.Mapping, len(u.LocalNames))
	for i, m := range u.LocalNames {
		users[i] = route.Mapping{Remote: m.Remote, Local: m.Local}
	}
	return route.New(route.Rules{
		Users: users, Wildcard: u.Wildcard, Names: []string{s.Host(), host}, NoRewrite: !u.Rewrite, Aka: s.Aka, LocalDomains: s.LocalDomains,
		Envelope: s.Envelope, Skip: s.EnvSkip, NoEnvelope: s.NoEnvelope, QVirtual: s.QVirtual, DNS: s.DNS,
		CheckAlias: s.CheckAlias, Postmaster: a.config.Postmaster,
	}, resolver{})
}

// resolver asks the system's DNS for the router.
type resolver struct{}

func (resolver) MX(ctx context.Context, host string) ([]string, error) {
	mx, err := net.DefaultResolver.LookupMX(ctx, host)
	names := make([]string, len(mx))
	for i, m := range mx {
		names[i] = strings.TrimSuffix(m.Host, ".")
	}
	return names, err
}

func (resolver) CNAME(ctx context.Context, host string) (string, error) {
	return lookupCNAME(ctx, host)
}

// maxAliases is how long a chain of aliases is followed.
const maxAliases = 8

// lookupCNAME is the name behind all aliases, without final dot. The standard library follows one step of a chain.
func lookupCNAME(ctx context.Context, host string) (string, error) {
	for range maxAliases {
		name, err := net.DefaultResolver.LookupCNAME(ctx, host)
		name = strings.TrimSuffix(name, ".")
		if err != nil || strings.EqualFold(name, host) {
			return name, err
		}
		host = name
	}
	return host, nil
}

func (resolver) Addrs(ctx context.Context, host string) ([]string, error) {
	return net.DefaultResolver.LookupHost(ctx, host)
}

// path makes a path of the configuration absolute: "~/" is the home directory.
func (a *account) path(p string) string {
	if rest, ok := strings.CutPrefix(p, "~/"); ok {
		return filepath.Join(a.Home, rest)
	}
	if abs, err := filepath.Abs(p); err == nil {
		return abs
	}
	return p
}
