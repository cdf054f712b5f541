package rcfile

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Completions are the files of shell completions by shell.
var Completions = map[string]func(io.Writer) error{"bash": completeBash, "zsh": completeZsh, "fish": completeFish}

const generated = "# Generated from the option table of package rcfile: do not edit.\n"

// takesFile tells whether the value of an option is the name of a file.
func takesFile(o *Option) bool { return o.Kind == Path || o.Name == "fetchmailrc" }

// completeBash writes the completion for bash.
func completeBash(w io.Writer) error {
	b := bufio.NewWriter(w)
	b.WriteString(generated + "_fetchmail() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n" +
		"\t[[ $cur == = ]] && cur= # --option=value comes as three words\n\t[[ $prev == = ]] && prev=${COMP_WORDS[COMP_CWORD-2]}\n" +
		"\tcase $prev in\n")
	var files, values, all []string
	for _, f := range flagList() {
		names := spelled(f)
		all = append(all, names...)
		switch {
		case !f.on || f.o.Kind == Flag:
		case takesFile(f.o):
			files = append(files, names...)
		case f.o.Kind == Choice:
			fmt.Fprintf(b, "\t%s)\n\t\tCOMPREPLY=($(compgen -W '%s' -- \"$cur\"))\n\t\treturn ;;\n", strings.Join(names, "|"), strings.Join(f.o.Choices, " "))
		default:
			values = append(values, names...)
		}
	}
	fmt.Fprintf(b, "\t%s)\n\t\tCOMPREPLY=($(compgen -f -- \"$cur\"))\n\t\treturn ;;\n", strings.Join(files, "|"))
	fmt.Fprintf(b, "\t%s)\n\t\treturn ;;\n\tesac\n", strings.Join(values, "|"))
	fmt.Fprintf(b, "\t[[ $cur == -* ]] && COMPREPLY=($(compgen -W '%s' -- \"$cur\"))\n}\ncomplete -F _fetchmail fetchmail\n", strings.Join(all, " "))
	return b.Flush()
}

// spelled lists the ways to write an option.
func spelled(f flagHelp) (names []string) {
	if f.short != "" && f.short != "?" {
		names = append(names, "-"+f.short)
	}
	for _, name := range f.names {
		names = append(names, "--"+name)
	}
	return names
}

// completeZsh writes the completion for zsh.
func completeZsh(w io.Writer) error {
	b := bufio.NewWriter(w)
	b.WriteString("#compdef fetchmail\n" + generated + "_arguments -s -S \\\n")
	clean := strings.NewReplacer("'", `'\''`, "[", `\[`, "]", `\]`, ":", `\:`)
	for _, f := range flagList() {
		for _, name := range spelled(f) {
			action := ""
			switch {
			case !f.on || f.o.Kind == Flag:
			case takesFile(f.o):
				action = ":file:_files"
			case f.o.Kind == Choice:
				action = ":value:(" + strings.Join(f.o.Choices, " ") + ")"
			default:
				action = ":" + clean.Replace(f.o.Arg) + ":"
			}
			if action != "" && strings.HasPrefix(name, "--") {
				name += "="
			}
			fmt.Fprintf(b, "  '%s[%s]%s' \\\n", name, clean.Replace(f.help), action)
		}
	}
	b.WriteString("  '*:server:'\n")
	return b.Flush()
}

// completeFish writes the completion for fish.
func completeFish(w io.Writer) error {
	b := bufio.NewWriter(w)
	b.WriteString(generated + "complete -c fetchmail -f\n")
	for _, f := range flagList() {
		b.WriteString("complete -c fetchmail")
		if f.short != "" && f.short != "?" {
			b.WriteString(" -s " + f.short)
		}
		for _, name := range f.names {
			b.WriteString(" -l " + name)
		}
		switch {
		case !f.on || f.o.Kind == Flag:
		case takesFile(f.o):
			b.WriteString(" -r -F")
		case f.o.Kind == Choice:
			b.WriteString(" -x -a '" + strings.Join(f.o.Choices, " ") + "'")
		default:
			b.WriteString(" -x")
		}
		fmt.Fprintf(b, " -d '%s'\n", strings.ReplaceAll(f.help, "'", `\'`))
	}
	return b.Flush()
}
