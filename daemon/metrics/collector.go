package metrics

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fetchmail/daemon/status"
)

// collector turns a status into samples.
type collector struct {
	status func() *status.Status
	users  bool
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("fetchmail_"+name, help, labels, nil)
}

var (
	buildInfo   = desc("build_info", "1; the labels say which program runs.", "version", "goversion")
	startTime   = desc("start_time_seconds", "When the daemon was started.")
	interval    = desc("poll_interval_seconds", "Pause between two rounds of polls.")
	nextRound   = desc("next_round_timestamp_seconds", "When the next round begins; absent while one is under way.")
	rounds      = desc("rounds_total", "Rounds of polls that are over.")
	accounts    = desc("accounts", "Accounts that are polled.")
	idlers      = desc("idling_connections", "Connections that wait for new mail.")
	underWay    = desc("polls_running", "Polls under way, without connections that wait for new mail.")
	polls       = desc("polls_total", "Polls that have ended, by result.", "account", "result")
	pollTime    = desc("poll_duration_seconds", "Time that polls took, without waiting for new mail.", "account")
	messages    = desc("messages_fetched_total", "Messages fetched.", "account")
	deleted     = desc("messages_deleted_total", "Messages that the server was told to delete.", "account")
	octets      = desc("received_bytes_total", "Octets of messages fetched.", "account")
	mailbox     = desc("mailbox_messages", "Messages that were in the mailbox at the last look, old ones too.", "account")
	failing     = desc("consecutive_failures", "Polls that have failed since the last success.", "account")
	idling      = desc("idling", "Connections of the account that wait for new mail.", "account")
	lastPoll    = desc("last_poll_timestamp_seconds", "End of the last poll.", "account")
	lastSuccess = desc("last_success_timestamp_seconds", "End of the last poll that went well.", "account")
	lastMail    = desc("last_mail_timestamp_seconds", "When the last message came.", "account")
)

// Describe names nothing: which samples there are depends on the accounts.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect takes the samples of one moment.
func (c collector) Collect(out chan<- prometheus.Metric) {
	s := c.status()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	stamp := func(d *prometheus.Desc, t time.Time, labels ...string) {
		if !t.IsZero() {
			gauge(d, float64(t.UnixMilli())/1e3, labels...)
		}
	}
	gauge(buildInfo, 1, s.Version, runtime.Version())
	stamp(startTime, s.Started)
	gauge(interval, float64(s.Interval))
	stamp(nextRound, s.NextPoll)
	count(rounds, float64(s.Rounds))
	gauge(accounts, float64(len(s.Accounts)))
	idle, busy := 0, 0
	for i, name := range names(s.Accounts, c.users) {
		a := &s.Accounts[i]
		idle += a.Idling
		busy += max(a.Polling-a.Idling, 0)
		ended := 0
		for _, result := range slices.Sorted(maps.Keys(a.Polls)) {
			ended += a.Polls[result]
			count(polls, float64(a.Polls[result]), name, result)
		}
		out <- prometheus.MustNewConstSummary(pollTime, uint64(ended), a.Seconds, nil, name)
		count(messages, float64(a.Fetched), name)
		count(deleted, float64(a.Deleted), name)
		count(octets, float64(a.Octets), name)
		gauge(mailbox, float64(a.Waiting), name)
		gauge(failing, float64(a.Failing), name)
		gauge(idling, float64(a.Idling), name)
		stamp(lastPoll, a.LastPoll, name)
		stamp(lastSuccess, a.LastSuccess, name)
		stamp(lastMail, a.LastMail, name)
	}
	gauge(idlers, float64(idle))
	gauge(underWay, float64(busy))
}

// names are the values of the label account, all different: the name behind poll, with the folder where one is watched;
// with users, the name used for login before it. Of those that are the same, the second gets " (2)".
func names(list []status.Account, users bool) []string {
	out := make([]string, len(list))
	used, count := make(map[string]bool, len(list)), map[string]int{}
	for i, a := range list {
		base := a.Label
		if users {
			base = a.User + "@" + a.Label
		}
		if a.Folder != "" {
			base += "/" + a.Folder
		}
		base = strings.ToValidUTF8(base, "\uFFFD")
		name := base
		for count[base]++; used[name]; count[base]++ {
			name = fmt.Sprintf("%s (%d)", base, count[base])
		}
		used[name] = true
		out[i] = name
	}
	return out
}
