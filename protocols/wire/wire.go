// Package wire is the connection below the protocol clients: dialing (TCP, plugin), TLS and its policy,
// inactivity deadlines, cancellation.
package wire
