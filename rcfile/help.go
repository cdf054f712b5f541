package rcfile

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// synopsis is the form of the command.
const synopsis = "fetchmail [options] [server ...]"

// flagHelp is one entry of a list of options: the long names that mean the same, with one short option at most.
type flagHelp struct {
	names []string
	short string
	arg   string
	help  string
	o     *Option
	on    bool
}

// flagList lists the options of the command line in the order of fetchmail's own help.
func flagList() (list []flagHelp) {
	for _, o := range Options() {
		if len(o.Flags) > 0 {
			list = append(list, flagHelp{o.Flags, o.Short, o.Arg, o.Help, o, true})
		}
		if len(o.NoFlags) > 0 {
			list = append(list, flagHelp{o.NoFlags, o.NoShort, "", o.NoHelp, o, false})
		}
	}
	rank := func(f flagHelp) int {
		best := len(flagOrder)
		for _, name := range f.names {
			if i := slices.Index(flagOrder, name); i >= 0 {
				best = min(best, i)
			}
		}
		return best
	}
	slices.SortStableFunc(list, func(a, b flagHelp) int { return rank(a) - rank(b) })
	return list
}

// Help writes the list of options.
func Help(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "usage:  %s\n  Options are as follows:\n", synopsis)
	for _, f := range flagList() {
		short := "    "
		if f.short != "" {
			short = "-" + f.short + ", "
		}
		names := "--" + strings.Join(f.names, ", --")
		if f.arg != "" {
			names += argument(f.arg)
		}
		if len(names) > 26 {
			fmt.Fprintf(b, "  %s%s\n  %4s%-26s %s\n", short, names, "", "", f.help)
			continue
		}
		fmt.Fprintf(b, "  %s%-26s %s\n", short, names, f.help)
	}
	return b.Flush()
}

// argument is how a value is shown behind its option.
func argument(arg string) string {
	if strings.HasPrefix(arg, "[=") {
		return arg
	}
	return " <" + arg + ">"
}
