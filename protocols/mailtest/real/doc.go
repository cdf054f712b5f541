// Package real starts real mail servers for tests: a private Dovecot, a private Postfix and a private KDC of Kerberos on
// loopback, each with folders, ports and certificates of its own, and finds the programs that tests compare with or deliver to.
//
// Nothing that runs on the machine already is touched: configuration, queue, mailboxes, sockets and logs live in a
// folder below /dev/shm (or the usual folder for temporary files) that is removed when the test ends, and the ports
// are free ones below the range from which the system takes its own.
//
// What needs root: StartPostfix, because Postfix's master drops privileges for each of its daemons. Dovecot runs as
// root or as an ordinary user. Dovecot's configuration language changed with 2.4; the one written here is that of 2.3.
//
// A program that is missing skips the test with the name of the Debian package that has it. In CI, where the
// environment holds CI, it fails the test instead: there every test has to run.
package real
