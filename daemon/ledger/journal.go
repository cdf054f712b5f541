package ledger

import (
	"strconv"
	"strings"
	"time"
)

// Verbs of journal records. The fields that follow are the account's name, the UID, and for accepted the time in
// seconds since 1970.
const (
	vAccepted = "accepted" // taken by the sink, not yet deleted on the server
	vRemoved  = "removed"  // the server has confirmed its deletion
	vKnown    = "known"    // belongs into the file
	vGone     = "gone"     // no longer belongs into the file
	vSettled  = "settled"  // all earlier accepted records of this account are done with
)

// pendingLife is how long a record waits for the next poll of its account.
const pendingLife = 14 * 24 * time.Hour

// record is one line of the journal.
type record struct {
	verb, account, uid string
	when               int64
}

// appendTo adds the record's line to b.
func (r record) appendTo(b []byte) []byte {
	b = append(append(b, r.verb...), ' ')
	b = append(b, escape(r.account)...)
	if r.verb != vSettled {
		b = append(append(b, ' '), escape(r.uid)...)
	}
	if r.verb == vAccepted {
		b = strconv.AppendInt(append(b, ' '), r.when, 10)
	}
	return append(b, '\n')
}

// parseRecord reads one whole line without its line end.
func parseRecord(s string) (r record, ok bool) {
	f := strings.Split(s, " ")
	want := 3
	switch f[0] {
	case vSettled:
		want = 2
	case vAccepted:
		want = 4
	case vRemoved, vKnown, vGone:
	default:
		return r, false
	}
	if len(f) != want {
		return r, false
	}
	r.verb = f[0]
	if r.account, ok = unescape(f[1]); !ok || r.account == "" {
		return r, false
	}
	if want >= 3 {
		if r.uid, ok = unescape(f[2]); !ok || r.uid == "" {
			return r, false
		}
	}
	if want == 4 {
		var err error
		if r.when, err = strconv.ParseInt(f[3], 10, 64); err != nil || r.when < 0 || f[3] != strconv.FormatInt(r.when, 10) {
			return r, false
		}
	}
	return r, true
}

// parseJournal reads all whole, undamaged lines.
func parseJournal(data string) []record {
	var rs []record
	for raw := range strings.Lines(data) {
		s, whole := strings.CutSuffix(raw, "\n")
		if !whole {
			continue // torn by a crash in the middle of a write
		}
		if r, ok := parseRecord(s); ok {
			rs = append(rs, r)
		}
	}
	return rs
}
