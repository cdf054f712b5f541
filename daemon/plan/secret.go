package plan

import (
	"context"
	"fmt"
	"os"

	"fetchmail/protocols/auth"
	"fetchmail/rcfile"
)

// findSecret puts the places together where the password may come from, in the order in which they are asked. What a
// .netrc says is in the configuration already.
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
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		from = append(from, auth.Credential(dir, u.Remote+"@"+s.Name, s.Name))
	}
	if text, ok := a.Typed[a.name()]; ok {
		from = append(from, auth.Fixed(text))
	}
	a.typed = auth.Prompt(a.name())
	return auth.First(append(from, a.typed)...)
}

// known tells that the configuration says where the password is.
func (a *account) known() bool {
	u := a.user
	return u.HasPassword || u.PasswordFDSet || u.PasswordFile != "" || u.PasswordEval != ""
}

// name is how people are asked for the password.
func (a *account) name() string { return a.user.Remote + "@" + a.server.Name }

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
		a.asked = !a.known()
		if _, err := a.secret.Get(ctx); err != nil {
			return &NoPasswordError{User: a.user.Remote, Label: a.server.Name}
		}
	}
	return nil
}

// Typed are the passwords that people have been asked for, by user@label: a process in the background cannot ask.
func (p *Plan) Typed() map[string]string {
	m := map[string]string{}
	for _, t := range p.Tasks {
		a := t.account
		if !a.asked {
			continue
		}
		if text, err := a.typed.Get(context.Background()); err == nil {
			m[a.name()] = text
		}
	}
	return m
}

// Netrc looks passwords up in a .netrc file, for the language, which reports them.
func Netrc(name string, warn func(line string)) func(host, login string) (string, bool) {
	file := auth.NetrcFile{Name: name, Warn: warn}
	return func(host, login string) (string, bool) {
		text, err := auth.Netrc(file, login, host).Get(context.Background())
		return text, err == nil
	}
}
