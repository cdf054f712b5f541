// Package rcfile is the language of fetchmail: it turns a run control file and a command line into an immutable Config.
//
// # One table
//
// Every option is one row of the table in options.go: its keywords, flag, scope, kind, the field it sets, its line of
// help. Lexer, grammar, command line, dump, report, help, manual page and completions read these rows and nothing else
// knows an option by name, except the checks that the reference makes between options (resolve.go).
//
// # From text to Config
//
// A File is the parsed run control file, a CommandLine the parsed arguments; both hold what was written and nothing
// more. Resolve merges them (command line over file, entry over defaults), fills in the defaults that depend on the
// Env, and makes the checks that fetchmail(1) makes after parsing. The package has no effects: it reads no file, asks
// for no name and runs no command. What it must know of the outside comes in Env and as bytes.
package rcfile
