// Package rcfile is the language of fetchmail: it turns a run control file and a command line into an immutable Config.
//
// The package has no effects: it opens no file, resolves no name and runs no command. What it must know of the outside
// comes as bytes, in Env, Surroundings and ReportEnv.
//
// # One table
//
// Every option is one row of the table in options.go: keywords, flags, scope, kind of value, the field it sets, its
// lines of -V, its help. Scanner, grammar, command line, merge, dump, report, help, manual page and completions read
// the rows. To add an option is to add a row and the field; only checks between options (resolve.go) and doubtful
// spots (check.go) know options by name.
//
// # From text to Config
//
//	source -> scanner -> tokens -> participle grammar -> stanzas -> merge -> defaults -> checks -> Config
//	arguments -> abbreviations -> pflag ------------------^
//
// A stanza is a Server or User with the set of rows that were given. That set makes every option tri-state: what was
// not given is filled from the defaults entry, then from built-in defaults; the command line overrides, and adds to
// lists. A File holds what was written and nothing else; Resolve makes the Config of it.
//
// # The scanner
//
// The longest match wins: a keyword, a number, a quoted string, or a word without blanks and "= ; : ,". So `5k`,
// `keep#x` and `"a"b` are words, the latter with its quotes. A quoted string ends at the next quote of its kind; a
// backslash does not protect one. Behind user, is, to, password and "=" the next token is a string whatever it looks
// like; behind auth the word password is no such keyword. "no" may be joined to some keywords only. A comment needs a
// line end behind it; at the end of the file it is a comment without, unless a string must come there.
//
// Lines of error messages are counted as the reference counts them: line ends within quoted strings are left out.
// Error.TrueLine is the line in an editor.
//
// # New words
//
// Names of later releases of fetchmail and our own (Option.New) are no keywords to the scanner. The grammar takes them
// for options where no string can stand today. A list of strings takes them as elements, as it always did: behind
// `is joe` write `here` before `maildir`. Behind `user joe` they are options, unless a `here` shows that they are names.
//
// # The grammar
//
// A file is cut at the words that begin a statement (poll, server, skip, set, defaults), and each statement is parsed
// by itself. So one error does not hide those of other statements, and memory is needed for a few hundred tokens. Tags
// describe the statement; runs of options are read by productions of our own, which know the kinds of value. Tokens
// are handed to participle in the same memory again and again, and bring the row of their option with them: with that,
// ten thousand accounts take no longer than with the reference, which has a parser made by yacc.
//
// # Oddities that are kept
//
// They follow from how the reference works, and somebody's file relies on each of them: aka is not taken over from
// defaults; timeout 0, interval 0, auth any and bad-header reject count as not given, so that they override nothing;
// timeout -1 is the default; other negative numbers mean zero; kpop sets the service and, behind auth password,
// Kerberos; a server option behind a user ends the entry; the second of two defaults entries is a server of that name;
// relative paths are below the directory of the run control file, and "~" in them means nothing (in our own options it
// is the home directory). doc/differences.md names the differences that are on purpose.
//
// # Tests
//
// TestReference asks fetchmail 6.4 and this package about generated files and command lines and compares dump, -V,
// exit status and error text. testdata/rc/bad has a file for each way to be wrong. FuzzParse and FuzzParseArgs take
// anything. RCFILE_UPDATE=1 writes generated files anew.
package rcfile
