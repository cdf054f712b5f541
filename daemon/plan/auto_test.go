package plan

import (
	"errors"
	"slices"
	"testing"

	"fetchmail/daemon/poll"
	"fetchmail/protocols"
	"fetchmail/protocols/wire"
	"fetchmail/rcfile"
)

// told notes the errors that are told.
type told []error

func (l *told) Observe(e poll.Event) {
	if f, is := e.(poll.Failed); is {
		*l = append(*l, f.Err)
	}
}

func TestAutoTellsOfTheFirstProtocolWhereTheSecondDoesNotAnswer(t *testing.T) {
	untrusted, lost := errors.New("untrusted"), errors.New("lost")
	refused := &protocols.Fault{Kind: protocols.Socket, Err: &wire.DialError{Host: "mail", Service: "pop3"}}
	for _, c := range []struct{ second, want []error }{
		{nil, nil},
		{[]error{lost}, []error{lost}},
		{[]error{refused}, []error{untrusted, refused}},
	} {
		var got told
		first := &holder{Observer: &got}
		first.Observe(poll.Failed{Err: untrusted})
		second := &holder{Observer: &got, open: true, before: first}
		for _, err := range c.second {
			second.Observe(poll.Failed{Err: err})
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: told %v", c.second, got)
		}
	}
}

func TestAutoTriesAnotherProtocol(t *testing.T) {
	for _, c := range []struct {
		res     poll.Result
		service string
		folders []string
		want    bool
	}{
		{poll.Result{Status: poll.Protocol}, "", nil, true},
		{poll.Result{Status: poll.Protocol}, "110", nil, true},
		{poll.Result{Status: poll.Socket}, "", nil, true},
		{poll.Result{Status: poll.Socket}, "110", nil, false},
		{poll.Result{Status: poll.Protocol}, "", []string{"work"}, false},
		{poll.Result{Status: poll.Socket, Fetched: 1}, "", nil, false},
		{poll.Result{Status: poll.AuthFail}, "", nil, false},
		{poll.Result{Status: poll.Syntax}, "", nil, false},
		{poll.Result{Status: poll.NoMail}, "", nil, false},
	} {
		a := &account{server: &rcfile.Server{Service: c.service}, user: &rcfile.User{Folders: c.folders}}
		if got := a.another(c.res); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
