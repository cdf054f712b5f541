package plan

import (
	"context"
	"fmt"
	"os"

	"fetchmail/protocols/auth"
	"fetchmail/rcfile"
)

// findSecret puts the places together where the password may come from, in the order in which they are asked.
func (a *account) findSecret() auth.Secret {
	s, u := a.server, a.user
	var from []auth.Secret
	if u.HasPassword {
		from = append(from, auth.Fixed(u.Password))
	}
	if u.PasswordFDSet {
		from = append(from, auth.Descriptor(u.PasswordFD))
	}
	if u.PasswordFile != "" {
		from = append(from, auth.File(a.path(u.PasswordFile)))
	}
	if u.PasswordEval != "" {
		from = append(from, auth.Command(u.PasswordEval))
	}
	from = append(from, auth.Netrc(auth.NetrcFile{Name: a.Netrc, Warn: a.Warn}, u.Remote, s.Name, s.Host()))
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		from = append(from, auth.Credential(dir, u.Remote+"@"+s.Name, s.Name))
	}
	from = append(from, auth.Prompt(u.Remote+"@"+s.Name))
	return auth.First(from...)
}

// NoPasswordError says that an account needs a password and that there is none: fetchmail(1), EXIT CODES, 3.
type NoPasswordError struct{ User, Label string }

func (e *NoPasswordError) Error() string {
	return fmt.Sprintf("can't find a password for %s@%s.", e.User, e.Label)
}

// Passwords makes sure that there is a password for every task that needs one, before anybody is contacted; people are
// asked now, not in the middle of the night.
func (p *Plan) Passwords(ctx context.Context) error {
	for _, t := range p.Tasks {
		a := t.account
		if !auth.NeedsPassword(string(a.server.Auth)) || a.server.Protocol == rcfile.ETRN {
			continue
		}
		if _, err := a.secret.Get(ctx); err != nil {
			return &NoPasswordError{User: a.user.Remote, Label: a.server.Name}
		}
	}
	return nil
}
