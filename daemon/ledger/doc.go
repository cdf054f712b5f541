// Package ledger knows the UIDs that each account has seen: the file .fetchids and a journal beside it.
//
// # The file
//
// fetchmail(1), --idfile: one line a message, mode 0600, replaced by a rename, removed when empty:
//
//	user@host UID
//
// It is the reference's format, and both programs read what the other wrote:
//
//   - Blanks before a line count for nothing. The first blank after the first '@' ends the account; the last '@' before it
//     parts user and host, so that user names may contain '@' and, before their last '@', blanks. The UID ends at a
//     blank or tab. User and host are compared without regard to letter case.
//   - Lines of registered accounts (Ledger.Account) come first, in the order of registration, each account's in the order
//     that Finish was given; then the lines of all others, byte by byte as they were. A line without '@' and blank is
//     dropped, as the reference does; a damaged line costs nothing but itself.
//   - A symbolic link is followed for reading, if it leads to a regular file of ours, and replaced when writing, as the
//     reference does.
//
// What the reference cannot read back is written in a form that it takes for an account it does not know, whose lines it
// keeps: a user name with a blank behind an '@' or at its start (the reference writes such names as they are and does not
// find them again), line ends and NULs in names, get %XX for each such byte. The lines that the reference wrote for
// such a user are read as well.
//
// Accounts with a folder are ours: IMAP by UIDVALIDITY and UID. They are written in the manner of RFC 5092, section 3,
// with the folder's name escaped, and are unknown accounts to the reference:
//
//	user@host/INBOX 385759045.1701
//	user@host/Sent%20Items 385759045.12
//
// Messages about which a bounce went out already stand under a name of their own, so that one bounce is sent for a message
// however often it is polled: user@host;bounced UID.
//
// # The journal
//
// <idfile>.journal (ours, mode 0600) makes a crash harmless. Accept appends one record with one write, before the
// deletion of that message is asked for; Sync makes the records durable, before deletions are made final. Whoever finds a
// journal that no living process holds (flock) takes it over: its messages are Pending: delivered, to be deleted without
// being fetched again. Finish settles an account: what it is given becomes the account's part of the file, its records are
// done with. The journal goes when nothing is open any more.
//
// Records are lines of fields parted by one blank, each field escaped as above; the verbs are in journal.go. Reading them
// twice changes nothing, so a crash between the replacement of the file and that of the journal is harmless too. A torn
// last line is ignored, damaged lines cost themselves. A record that is not settled within two weeks expires: a server
// that gives UIDs a second time must not have new mail deleted for old records.
//
// The file is written when it is worth it: by Finish, once the journal has grown as large as the file (so that the bytes
// written stay proportional to what is new, however many accounts share the file), by Save and by Close.
package ledger
