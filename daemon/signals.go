package daemon

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// Signals are what reaches a running fetchmail; fetchmail(1), SIGNALS.
type Signals struct {
	Wake   <-chan os.Signal // SIGUSR1; SIGHUP too, for root
	Quit   <-chan os.Signal // SIGTERM, SIGINT; SIGQUIT and SIGALRM too, as in the reference
	Reopen <-chan os.Signal // SIGUSR2 (ours): open the logfile again
	Stop   func()           // gives the signals their former meaning back
}

// Listen begins to turn signals into channel values. SIGHUP keeps ending the daemon of an ordinary user, who logs out.
// SIGPIPE does nothing: that nobody reads our words any more is no reason to drop the message in hand.
func Listen(root bool) Signals {
	wakes := []os.Signal{unix.SIGUSR1}
	if root {
		wakes = append(wakes, unix.SIGHUP)
	}
	listen := func(sigs ...os.Signal) chan os.Signal {
		// Room for the two that Quit knows; what a process gets while it looks away counts once.
		c := make(chan os.Signal, 2)
		signal.Notify(c, sigs...)
		return c
	}
	wake, reopen := listen(wakes...), listen(unix.SIGUSR2)
	quit := listen(unix.SIGTERM, unix.SIGINT, unix.SIGQUIT, unix.SIGALRM)
	deaf := listen(unix.SIGPIPE) // not signal.Ignore: the programs that we start would inherit that
	return Signals{wake, quit, reopen, func() {
		for _, c := range []chan os.Signal{wake, quit, reopen, deaf} {
			signal.Stop(c)
		}
	}}
}
