package metrics

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"

	"fetchmail/daemon/status"
)

func TestSettings(t *testing.T) {
	for s, want := range map[string]Setting{
		"":                             {},
		"unix:/run/f.sock":             {Network: "unix", Address: "/run/f.sock"},
		"unix:~/f.sock users":          {Network: "unix", Address: "/home/joe/f.sock", Users: true},
		"127.0.0.1:9110":               {Network: "tcp", Address: "127.0.0.1:9110"},
		"[::1]:9110":                   {Network: "tcp", Address: "[::1]:9110"},
		"localhost:9110":               {Network: "tcp", Address: "localhost:9110"},
		"0.0.0.0:9110 public":          {Network: "tcp", Address: "0.0.0.0:9110", Public: true},
		"mail.example.com:9110 public": {Network: "tcp", Address: "mail.example.com:9110", Public: true},
	} {
		if got, err := Parse(s, "/home/joe"); err != nil || got != want {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{"0.0.0.0:9110", ":9110", "[::]:9110", "192.0.2.1:9110", "mail.example.com:9110", "127.0.0.1", "127.0.0.1:0",
		"127.0.0.1:x", "127.0.0.1:70000", "unix:f.sock", "unix:", "127.0.0.1:9110 secret", "users"} {
		if got, err := Parse(s, "/home/joe"); err == nil {
			t.Errorf("%q was accepted: %+v", s, got)
		}
	}
}

// sample is a status with two users of one server, and a name that is no UTF-8.
func sample() *status.Status {
	at := time.Unix(1000, 500e6)
	return &status.Status{Version: "1.2", Started: at, Interval: 300, Rounds: 4, Accounts: []status.Account{
		{Label: "box", User: "alice@example.org", Polls: map[string]int{"success": 2, "socket": 1}, Fetched: 7, Deleted: 6, Octets: 4321, Seconds: 1.5,
			LastSuccess: at, Waiting: 9, Failing: 1, LastError: "Authorization failure on alice@example.org"},
		{Label: "box", User: "bob@example.org", Polling: 1, Idling: 1},
		{Label: "b\xffx\n\"", Polling: 1},
	}}
}

func serve(t *testing.T, m Setting) *Server {
	t.Helper()
	s := &Server{Status: sample}
	if err := s.Apply(m); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// get asks for a page, by the network of the setting.
func get(t *testing.T, m Setting, host, path string) (int, string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, m.Network, m.Address)
	}}
	resp, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Get("http://" + host + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// freePort is an address that nobody listens at.
func freePort(t *testing.T) Setting {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return Setting{Network: "tcp", Address: l.Addr().String()}
}

func TestMetricsTellNoAddressesUnlessAsked(t *testing.T) {
	m := Setting{Network: "unix", Address: filepath.Join(t.TempDir(), "m")}
	s := serve(t, m)
	code, text := get(t, m, "localhost", "/metrics")
	for _, want := range []string{
		`fetchmail_build_info{goversion="go`, `fetchmail_accounts 3`, `fetchmail_polls_total{account="box",result="success"} 2`,
		`fetchmail_polls_total{account="box",result="socket"} 1`, `fetchmail_poll_duration_seconds_sum{account="box"} 1.5`,
		`fetchmail_poll_duration_seconds_count{account="box"} 3`, `fetchmail_messages_fetched_total{account="box"} 7`,
		`fetchmail_messages_deleted_total{account="box"} 6`, `fetchmail_received_bytes_total{account="box"} 4321`,
		`fetchmail_last_success_timestamp_seconds{account="box"} 1000.5`, `fetchmail_idling_connections 1`, `fetchmail_polls_running 1`,
		`fetchmail_idling{account="box (2)"} 1`, `fetchmail_consecutive_failures{account="box"} 1`, `fetchmail_rounds_total 4`,
		`fetchmail_mailbox_messages{account="box"} 9`, "fetchmail_idling{account=\"b\uFFFDx\\n\\\"\"} 0", "process_resident_memory_bytes", "go_goroutines",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if strings.Contains(text, "example.org") || strings.Contains(text, "Authorization") || code != 200 {
		t.Errorf("%d: %s", code, text)
	}
	m.Users = true
	if err := s.Apply(m); err != nil {
		t.Fatal(err)
	}
	if _, text := get(t, m, "localhost", "/metrics"); !strings.Contains(text, `fetchmail_idling{account="bob@example.org@box"} 1`) {
		t.Error("users were asked for")
	}
}

// TestMetricsAreAsPrometheusWantsThem has the names, units and help texts checked by the linter of Prometheus.
func TestMetricsAreAsPrometheusWantsThem(t *testing.T) {
	r := prometheus.NewRegistry()
	r.MustRegister(collector{sample, false})
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 || len(families) < 15 {
		t.Errorf("%d families, %v, %v", len(families), problems, err)
	}
}

func TestNamesDiffer(t *testing.T) {
	list := []status.Account{{Label: "a"}, {Label: "a"}, {Label: "a (2)"}, {Label: "a"}}
	seen := map[string]bool{}
	for _, n := range names(list, false) {
		if seen[n] {
			t.Errorf("%q twice", n)
		}
		seen[n] = true
	}
}

// TestForeignPagesAreRefused is about DNS rebinding: a browser that was led here by a name of somebody else.
func TestForeignPagesAreRefused(t *testing.T) {
	m := freePort(t)
	serve(t, m)
	for host, want := range map[string]int{"evil.example.com": 403, "evil.example.com:80": 403, "localhost:9110": 200, "127.0.0.1": 200, "[::1]:7": 200} {
		if code, text := get(t, m, host, "/metrics"); code != want {
			t.Errorf("%s: %d %s", host, code, text)
		}
	}
	if code, _ := get(t, m, "localhost", "/debug/pprof/"); code != 404 {
		t.Errorf("another page: %d", code)
	}
}

func TestSocketIsPrivateAndStaleOnesAreReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m")
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	m := Setting{Network: "unix", Address: path}
	s := &Server{Status: sample}
	if err := s.Apply(m); err == nil {
		t.Error("the socket of another process was taken")
	}
	stale.Close()
	if err := s.Apply(m); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Lstat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", fi, err)
	}
	s.Close()
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket is still there")
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(m); err == nil {
		t.Error("a file was taken for a stale socket")
	}
	if b, _ := os.ReadFile(path); string(b) != "precious" {
		t.Errorf("the file is now %q", b)
	}
}

func TestReloadMovesTheServerOrKeepsIt(t *testing.T) {
	defer goleak.VerifyNone(t)
	first, second := freePort(t), freePort(t)
	s := &Server{Status: sample}
	for _, m := range []Setting{first, first} {
		if err := s.Apply(m); err != nil {
			t.Fatal(err)
		}
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if err := s.Apply(Setting{Network: "tcp", Address: taken.Addr().String()}); err == nil {
		t.Error("an address in use was accepted")
	}
	if code, _ := get(t, first, "localhost", "/metrics"); code != 200 {
		t.Errorf("the old address answers %d after a move that failed", code)
	}
	if err := s.Apply(second); err != nil {
		t.Fatal(err)
	}
	if code, _ := get(t, second, "localhost", "/metrics"); code != 200 {
		t.Errorf("the new address answers %d", code)
	}
	if c, err := net.Dial("tcp", first.Address); err == nil {
		c.Close()
		t.Error("the old address still answers")
	}
	if err := s.Apply(Setting{}); err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", second.Address); err == nil {
		c.Close()
		t.Error("the server goes on though it is not wanted any more")
	}
	http.DefaultClient.CloseIdleConnections()
}

func FuzzParse(f *testing.F) {
	f.Add("unix:~/x users")
	f.Add("127.0.0.1:9110 public")
	f.Fuzz(func(t *testing.T, s string) {
		m, err := Parse(s, "/home/joe")
		if err != nil || m.Network != "tcp" || m.Public {
			return
		}
		if host, _, err := net.SplitHostPort(m.Address); err != nil || !local(host) {
			t.Fatalf("%q lets others in: %+v", s, m)
		}
	})
}
