package main_test

import (
	"fmt"
	"testing"

	"fetchmail/protocols/mailtest/real"
)

// What is said and done about links that are not right is what the reference says and does.
func TestOptionInterfaceEqualsTheReference(t *testing.T) {
	reference := real.Reference(t)
	d := real.StartDovecot(t, real.DovecotOptions{})
	entry := func(option string) string {
		return fmt.Sprintf("poll localhost proto pop3 port %d %s user alice there with password secret is user1 here sslproto '' mda \"cat >/dev/null\"\n", d.POP3, option)
	}
	for name, rc := range map[string]string{
		"right":           entry(`interface "lo/127.0.0.1"`),
		"mask":            entry(`interface "lo/127.9.9.9/255.0.0.0"`),
		"excluded":        entry(`interface "lo/10.0.0.1"`),
		"absent":          entry(`interface "nosuch0/127.0.0.1"`),
		"then another":    entry(`interface "lo/10.0.0.1"`) + entry(""),
		"behind another":  entry("") + entry(`interface "lo/10.0.0.1"`),
		"monitor, busy":   entry("monitor lo"),
		"monitor, absent": entry("monitor nosuch0"),
		"two users":       entry(`interface "lo/10.0.0.1"`) + "user bob there with password secret2 is user1 here\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // the reference waits after each poll
			var said [2]string
			for i, bin := range []string{reference, binary(t)} {
				c := newClient(t, bin)
				c.rc(t, rc)
				r := c.run(t)
				said[i] = fmt.Sprintf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
			}
			if said[0] != said[1] {
				t.Errorf("%s\nthe reference (-) and ours (+):\n%s", rc, diff(said[0], said[1]))
			}
		})
	}
}
