package real

import (
	"os/exec"
	"strings"
	"testing"
)

func TestEximDelivers(t *testing.T) {
	e := StartExim(t)
	cmd := exec.Command(e.Sendmail, "-i", "-f", "a@b.test", "--", "user1@localhost")
	cmd.Stdin = strings.NewReader("Subject: s\n\n.\nbody\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := e.Mail(t, "user1"); len(got) != 1 || !strings.HasSuffix(string(got[0].Text), "\n\n.\nbody\n") {
		t.Errorf("%d messages\n%s", len(got), e.Log())
	}
}
