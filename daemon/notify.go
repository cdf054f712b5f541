package daemon

import (
	"context"
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
)

// Notify tells systemd how we are (sd_notify(3)); where no service manager listens its functions do nothing. What goes
// wrong is ignored: there is nobody else to tell.
type Notify struct{}

// Ready: the configuration is in force and polling has begun.
func (Notify) Ready() { sd.SdNotify(false, sd.SdNotifyReady) }

// Reloading: a new configuration is being read; Ready follows.
func (Notify) Reloading() {
	sd.SdNotify(false, sd.SdNotifyReloading+"\n"+sd.SdNotifyMonotonicUsec())
}

// Stopping: the end has been asked for.
func (Notify) Stopping() { sd.SdNotify(false, sd.SdNotifyStopping) }

// Status is a line for `systemctl status`.
func (Notify) Status(text string) {
	sd.SdNotify(false, "STATUS="+strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, text))
}

// Watchdog reports life twice in each interval that the service manager allows, as long as alive says so within the time
// that it is given, until ctx ends. It returns at once if no watchdog is wanted.
func (Notify) Watchdog(ctx context.Context, alive func(limit time.Duration) bool) {
	d, err := sd.SdWatchdogEnabled(false)
	if err != nil || d <= 0 {
		return
	}
	t := time.NewTicker(d / 2)
	defer t.Stop()
	for {
		if alive(d / 4) {
			sd.SdNotify(false, sd.SdNotifyWatchdog)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}
