package rcfile

import (
	"fmt"
	"io/fs"
	"strings"
	"syscall"
)

// Surroundings are the facts from which Locate finds files and names. The functions are the caller's, so that this
// package stays without effects.
type Surroundings struct {
	Getenv     func(string) (string, bool)                // os.LookupEnv
	RealPath   func(string) (string, error)               // absolute name of an existing directory, links resolved
	LookupUser func(name string) (uid int, ok bool)       // password database by name
	Passwd     func(uid int) (name, home string, ok bool) // ... and by number
	UID        int                                        // of the calling user
}

// Places are where fetchmail keeps its files, fetchmail(1), FILES and ENVIRONMENT.
type Places struct {
	User    string // name of the calling user
	Home    string // directory of the user's files: HOME_ETC, HOME or the password database
	RCFile  string // run control file
	IDFile  string // UID ledger
	PIDFile string // lock file
	Netrc   string
}

// Locate finds the places. The error is a *Refusal with exit status 23 if a directory that is named is not there.
func Locate(s Surroundings) (Places, error) {
	name, home, _ := s.Passwd(s.UID)
	p := Places{User: s.callingUser(name)}
	for _, variable := range []string{"HOME", "HOME_ETC"} { // the latter has precedence
		if value, ok := s.Getenv(variable); ok {
			home = value
		}
	}
	var err error
	if p.Home, err = s.RealPath(home); err != nil || home == "" {
		return p, missingHome("user's")
	}
	p.Netrc = p.Home + "/.netrc"
	p.RCFile, p.IDFile, p.PIDFile = p.Home+"/.fetchmailrc", p.Home+"/.fetchids", p.Home+"/.fetchmail.pid"
	if s.UID == 0 {
		p.PIDFile = "/var/run/fetchmail.pid"
	}
	if value, ok := s.Getenv("FETCHMAILHOME"); ok {
		dir, err := s.RealPath(value)
		if err != nil || value == "" {
			return p, missingHome("fetchmail's")
		}
		p.RCFile, p.IDFile, p.PIDFile = dir+"/fetchmailrc", dir+"/.fetchids", dir+"/fetchmail.pid"
	}
	return p, nil
}

func missingHome(whose string) error {
	return &Refusal{Lines: []string{"fetchmail: Cannot find absolute path for " + whose + " home directory."}, Code: 23}
}

// callingUser is the first name in the environment that belongs to the calling user id, else that of the password
// database, fetchmail(1), "FETCHMAILUSER".
func (s *Surroundings) callingUser(name string) string {
	for _, variable := range []string{"FETCHMAILUSER", "LOGNAME", "USER"} {
		value, ok := s.Getenv(variable)
		if !ok || value == "" {
			continue
		}
		if uid, ok := s.LookupUser(value); ok && uid == s.UID {
			return value
		}
	}
	if name == "" {
		return fmt.Sprint(s.UID)
	}
	return name
}

// CheckFile refuses a run control file that is no regular file, is open to others or belongs to somebody else than the
// calling user. The error is a *Refusal with exit status 6; fetchmail(1), "--fetchmailrc". -V does not ask for this.
func CheckFile(name string, info fs.FileInfo) error {
	refuse := func(why string) error { return &Refusal{Lines: []string{"File " + name + " must " + why}, Code: 6} }
	stat, known := info.Sys().(*syscall.Stat_t)
	switch {
	case name == "/dev/null":
		return nil
	case !info.Mode().IsRegular():
		return refuse("be a regular file.")
	case info.Mode().Perm()&^0o700 != 0:
		return refuse("have no more than -rwx------ (0700) permissions.")
	case known && int(stat.Uid) != syscall.Geteuid():
		return refuse("be owned by you.")
	}
	return nil
}

// RCDir is the directory that relative names in a run control file are below; "" if it is read from standard input.
func RCDir(rcfile string) string {
	if rcfile == "-" || rcfile == "" {
		return ""
	}
	i := strings.LastIndexByte(rcfile, '/')
	if i < 0 {
		return "."
	}
	return rcfile[:max(i, 1)]
}
