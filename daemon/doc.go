// Package daemon runs tasks: once or every so often, several side by side, woken and ended by signals.
//
// It imports nothing of ours. A Task is a function that gets a context, two writers and two channels and returns an exit
// status; what it does and how events are worded is its owner's business.
//
// # Rounds
//
// Loop.Run runs all tasks of a Plan, sleeps for the plan's interval, and begins again. The interval is the pause between
// rounds, as in fetchmail(1), DAEMON MODE: the time that a round takes comes on top. A machine that was suspended longer
// than that begins a round soon after it goes on. A task with Every > 1 runs in the first
// round and in each Every-th after it; a wake-up counts as a round and changes nothing about that, as in the reference.
// Plan.Interval 0 means one round, and no sleep.
//
// A wake-up while polls are running begins the next round as soon as they are done. (The reference loses it. The manual
// says that the daemon "starts its next poll cycle immediately", and whoever wakes it may have news of a server that was
// asked already.)
//
// Resident tasks (IMAP IDLE) have no rounds: they are started with the first one and run beside all others. One that has
// failed begins again after a pause; one that returns in good order is started again with the next round. Run of a plan
// without interval waits for them, and starts none again.
//
// # Failures
//
// Loop.Judge says what a status means. A task whose other side could not be asked five times in a row is left out of
// rounds: for two intervals, then four, up to an hour. (The reference asks in every round; its manual says that it gives up
// after some time, until it is woken.) Resident tasks come back after a random time below half a second, then below one,
// two ... up to five minutes; one that has run for a while begins with the first pause. A wake-up or a new configuration
// makes all of that forgotten.
//
// # Alive
//
// Loop.Alive is true as long as both goroutines that matter, that of the rounds and that of the signals, take what they are
// sent. A poll that takes long is no reason to be dead: it has deadlines of its own.
//
// # The end
//
// The first signal on Quit closes Turn.Stop: tasks finish what they have in hand and return, no other one is begun, sleep
// ends. A second signal, or a minute after the first, cancels their context.
//
// # Output
//
// Tasks run side by side, up to Plan.Jobs at once, but what they print stands in the order of the plan, as `go test ./...`
// does it: the first unfinished task writes live, the others keep their text until it is their turn. The text of resident
// tasks goes out line by line, between the open lines of the others.
//
// # A task that panics
//
// It is reported with its stack and counts as status 23 (fetchmail(1), EXIT CODES: internal error); the others go on.
package daemon
