package plan

import (
	"context"
	"errors"
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
	text, typed := a.Typed[a.name()]
	switch {
	case typed:
		a.typed = auth.Fixed(text)
	case u.PasswordFDSet:
		a.typed = auth.Descriptor(u.PasswordFD)
	default:
		a.typed = auth.Prompt(a.name())
	}
	if u.PasswordFDSet {
		from = append(from, a.typed)
	}
	if u.PasswordFile != "" {
		a.reread = auth.File(a.path(u.PasswordFile))
		from = append(from, a.reread)
	}
	if u.PasswordEval != "" {
		from = append(from, auth.Command(u.PasswordEval))
	}
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		from = append(from, auth.Credential(dir, credentials(u.Remote, s.Name)...))
	}
	return auth.First(append(from, a.typed)...)
}

// openToAll complains of a password file that everybody on the machine can read. One that a group can read is how
// administrators hand a password to a service, and systemd too; containers hand it over in files open to all, so that it
// is used all the same.
func (a *account) openToAll() {
	if a.user.PasswordFile == "" || a.Warn == nil {
		return
	}
	name := a.path(a.user.PasswordFile)
	if st, err := os.Stat(name); err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o006 != 0 {
		a.Warn(fmt.Sprintf("WARNING: passwordfile %s is open to everybody (mode %04o): chmod o= %[1]s", name, st.Mode().Perm()))
	}
}

// credentials are the names under which systemd may have the password. The prefix is there where it was told to take a
// whole folder, as in our unit: LoadCredential=password:FOLDER.
func credentials(user, label string) []string {
	const folder = "password_"
	return []string{user + "@" + label, label, folder + user + "@" + label, folder + label}
}

// name is how people are asked for the password.
func (a *account) name() string { return a.user.Remote + "@" + a.server.Name }

// NoPasswordError says that an account needs a password and that there is none: fetchmail(1), EXIT CODES, 3.
type NoPasswordError struct {
	User, Label string
	Err         error // why the place that the options name has none; auth.ErrNoSecret if they name none
}

func (e *NoPasswordError) Error() string {
	s := fmt.Sprintf("can't find a password for %s@%s.", e.User, e.Label)
	if e.Err != nil && !errors.Is(e.Err, auth.ErrNoSecret) {
		s += " " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *NoPasswordError) Unwrap() error { return e.Err }

// Passwords makes sure that there is a password for every task that needs one, before anybody is contacted; people are
// asked now, not in the middle of the night.
func (p *Plan) Passwords(ctx context.Context) error {
	for _, t := range p.Tasks {
		a := t.account
		if !auth.NeedsPassword(string(a.server.Auth)) || a.server.Protocol == rcfile.ETRN {
			continue
		}
		if _, err := a.secret.Get(ctx); err != nil {
			return &NoPasswordError{User: a.user.Remote, Label: a.server.Name, Err: err}
		}
	}
	return nil
}

// Typed are the passwords that people have been asked for, and those that came from a descriptor, by user@label: a process
// in the background cannot get them again, and neither can a plan for a changed configuration.
func (p *Plan) Typed() map[string]string {
	m := map[string]string{}
	for _, t := range p.Tasks {
		if text, ok := auth.Kept(t.account.typed); ok {
			m[t.account.name()] = text
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
