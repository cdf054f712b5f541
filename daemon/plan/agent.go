package plan

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// agentOwner is whom an MDA runs as in this process.
func agentOwner() (*syscall.Credential, error) { return agentUser(os.Geteuid(), os.LookupEnv) }

// agentUser is the user that an MDA runs as where the calling user is root: fetchmail(1), --mda. The first variable that
// is set counts, even if it is empty; an unknown name leaves it at root. nil is the calling user.
func agentUser(uid int, getenv func(string) (string, bool)) (*syscall.Credential, error) {
	if uid != 0 {
		return nil, nil
	}
	for _, variable := range []string{"FETCHMAILUSER", "LOGNAME", "USER"} {
		name, ok := getenv(variable)
		if !ok {
			continue
		}
		u, err := user.Lookup(name)
		if err != nil || u.Uid == "0" {
			return nil, nil
		}
		return credential(u)
	}
	return nil, nil
}

// credential gives up everything of root's, its groups too.
func credential(u *user.User) (*syscall.Credential, error) {
	groups, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("groups of user %s: %w", u.Username, err)
	}
	var ids []uint32
	for _, s := range append([]string{u.Uid, u.Gid}, groups...) {
		id, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user %s has the number %q", u.Username, s)
		}
		ids = append(ids, uint32(id))
	}
	return &syscall.Credential{Uid: ids[0], Gid: ids[1], Groups: ids[2:]}, nil
}
