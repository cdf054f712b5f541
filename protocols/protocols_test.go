package protocols

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"fetchmail/protocols/wire"
)

func TestConnectionsThatDoNotComeAboutAreToldApart(t *testing.T) {
	refused, late := wire.Attempt{Err: syscall.ECONNREFUSED}, wire.Attempt{Err: &wire.TimeoutError{Limit: time.Second}}
	for _, c := range []struct {
		err   error
		kind  Kind
		phase Phase
		lines int
	}{
		{&wire.DialError{Attempts: []wire.Attempt{refused}}, Socket, Connecting, 0},
		{&wire.DialError{Attempts: []wire.Attempt{{Err: syscall.ETIMEDOUT}}}, Socket, Connecting, 0}, // the system's own limit
		{&wire.DialError{Attempts: []wire.Attempt{refused, late}}, Timeout, Connecting, 0},
		{&wire.DialError{Err: &net.DNSError{IsTimeout: true}}, Socket, Connecting, 0},
		{&wire.TLSError{Lines: []string{"a", "b"}, Err: errors.New("bad certificate")}, Socket, Securing, 2},
		{&wire.TLSError{Lines: []string{"a"}, Err: late.Err}, Timeout, Securing, 1},
	} {
		if f := Undialed(c.err); f.Kind != c.kind || f.Phase != c.phase || len(f.Detail) != c.lines || f.Err != c.err {
			t.Errorf("%v: %+v", c.err, f)
		}
	}
}

func TestRepeatedFindsUIDsThatStandTwice(t *testing.T) {
	for _, tt := range []struct {
		uids []string
		want string
	}{
		{nil, "[]"},
		{[]string{"a"}, "[]"},
		{[]string{"", "", "a"}, "[]"},
		{[]string{"a", "b", "a", "c", "a", "", "c"}, "[[1 3 5] [4 7]]"},
	} {
		var items []Item
		for i, uid := range tt.uids {
			items = append(items, Item{Num: i + 1, UID: uid})
		}
		var nums [][]int
		for _, same := range Repeated(items) {
			var n []int
			for _, it := range same {
				n = append(n, it.Num)
			}
			nums = append(nums, n)
		}
		slices.SortFunc(nums, slices.Compare)
		if got := fmt.Sprint(nums); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.uids, got, tt.want)
		}
	}
}
