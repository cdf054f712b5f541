package plan

import (
	"fmt"
	"os/user"
	"testing"
)

func TestAnAgentOfRootRunsAsTheUserOfTheEnvironment(t *testing.T) {
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Skip(err)
	}
	nobody := fmt.Sprint(u.Uid, u.Gid)
	for _, c := range []struct {
		uid  int
		env  map[string]string
		want string
	}{
		{0, nil, ""},
		{0, map[string]string{"FETCHMAILUSER": "nobody", "LOGNAME": "root", "USER": "root"}, nobody},
		{0, map[string]string{"FETCHMAILUSER": "", "LOGNAME": "nobody"}, ""},
		{0, map[string]string{"FETCHMAILUSER": "no such user", "USER": "nobody"}, ""},
		{0, map[string]string{"LOGNAME": "nobody", "USER": "root"}, nobody},
		{0, map[string]string{"LOGNAME": "root", "USER": "nobody"}, ""},
		{0, map[string]string{"USER": "nobody"}, nobody},
		{1, map[string]string{"FETCHMAILUSER": "nobody"}, ""},
	} {
		cred, err := agentUser(c.uid, func(name string) (string, bool) {
			v, ok := c.env[name]
			return v, ok
		})
		got := ""
		if cred != nil {
			got = fmt.Sprint(fmt.Sprint(cred.Uid), fmt.Sprint(cred.Gid))
			for _, g := range cred.Groups {
				if g == 0 {
					t.Errorf("%v: root's group stays", c.env)
				}
			}
		}
		if err != nil || got != c.want {
			t.Errorf("user %d, %v: %q, %v, want %q", c.uid, c.env, got, err, c.want)
		}
	}
}
