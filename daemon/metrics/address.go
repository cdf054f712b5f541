package metrics

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
)

// Setting is the value of the option metrics: an address, then words that ask for more than is safe for everybody.
type Setting struct {
	Network string // tcp or unix; "" = no metrics
	Address string // host:port, or the path of a socket
	Users   bool   // "users": accounts are told with the name used for login
	Public  bool   // "public": the address may be reached from other machines
}

// Parse reads the option metrics: "unix:PATH" or "HOST:PORT", then perhaps "users" and "public". A path is absolute or
// begins with "~/", which stands for home. Without "public" the host must be a loopback address or localhost.
func Parse(s, home string) (Setting, error) {
	words := strings.Fields(s)
	if len(words) == 0 {
		return Setting{}, nil
	}
	var m Setting
	for _, w := range words[1:] {
		switch w {
		case "users":
			m.Users = true
		case "public":
			m.Public = true
		default:
			return m, fmt.Errorf("metrics: %q is none of the words users and public", w)
		}
	}
	if path, ok := strings.CutPrefix(words[0], "unix:"); ok {
		if rest, ok := strings.CutPrefix(path, "~/"); ok {
			path = filepath.Join(home, rest)
		}
		if !filepath.IsAbs(path) {
			return m, fmt.Errorf("metrics: the path of the socket %q must begin with / or ~/", path)
		}
		m.Network, m.Address = "unix", path
		return m, nil
	}
	m.Network, m.Address = "tcp", words[0]
	return m, m.checkTCP()
}

// checkTCP refuses an address that other machines may reach, unless that was asked for.
func (m Setting) checkTCP() error {
	host, port, err := net.SplitHostPort(m.Address)
	if err != nil {
		return fmt.Errorf("metrics: %q is neither unix:PATH nor HOST:PORT", m.Address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("metrics: %q is no port", port)
	}
	if !m.Public && !local(host) {
		return errors.New("metrics: " + m.Address + " can be reached from other machines; if that is intended, add the word public")
	}
	return nil
}

// local tells whether a host name or address is of the loopback interface.
func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
