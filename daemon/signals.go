package daemon

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// Signals are what reaches a running fetchmail; fetchmail(1), SIGNALS.
type Signals struct {
	Wake   <-chan os.Signal // SIGUSR1; SIGHUP too, for root
	Quit   <-chan os.Signal // SIGTERM, SIGINT
	Reopen <-chan os.Signal // SIGUSR2 (ours): open the logfile again
	Stop   func()           // gives the signals their former meaning back
}

// Listen begins to turn signals into channel values. SIGHUP keeps ending the daemon of an ordinary user, who logs out.
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
	wake, quit, reopen := listen(wakes...), listen(unix.SIGTERM, unix.SIGINT), listen(unix.SIGUSR2)
	return Signals{wake, quit, reopen, func() {
		signal.Stop(wake)
		signal.Stop(quit)
		signal.Stop(reopen)
	}}
}
