// Package route finds the local recipients of one message: the one user of a single-drop account, or those whom the
// header of a message in a multidrop mailbox names (fetchmail(1), "THE USE AND ABUSE OF MULTIDROP MAILBOXES").
//
// Nothing here does I/O: DNS is asked through Resolver, which is handed in.
package route
