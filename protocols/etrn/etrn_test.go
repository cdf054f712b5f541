package etrn_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"fetchmail/protocols"
	"fetchmail/protocols/esmtp"
	"fetchmail/protocols/etrn"
	"fetchmail/protocols/mailtest"
	"fetchmail/protocols/wire"
)

// ask asks a server for domains and returns what was said and the fault.
func ask(t *testing.T, s *mailtest.Push, domains ...string) ([]string, error) {
	t.Helper()
	if err := s.Start(""); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var said []string
	err := etrn.Request(t.Context(), etrn.Options{
		Options: esmtp.Options{Dialer: &wire.Dialer{Timeout: 20 * time.Second}, Host: s.Host(), Service: s.Port(), Label: "there",
			Helo: "client.example.test", Protocol: "ETRN"},
		Domains: domains, Say: func(text string) { said = append(said, text) },
	})
	return said, err
}

// RFC 1985, section 5.3. The words are the reference's.
func TestReplies(t *testing.T) {
	const polling = "Polling 127.0.0.1"
	for _, tt := range []struct {
		replies []string // to one domain after the other
		said    []string
		kind    protocols.Kind
		detail  string
	}{
		{[]string{"250 x"}, []string{"Queuing for d0 started", polling}, 0, ""},
		{[]string{"250-x\r\n250 y"}, []string{"Queuing for d0 started", polling}, 0, ""},
		{[]string{"251 x"}, []string{"No messages waiting for d0"}, 0, ""},
		{[]string{"252 x"}, []string{"Pending messages for d0 started", polling}, 0, ""},
		{[]string{"253 x"}, []string{"Pending messages for d0 started", polling}, 0, ""},
		{[]string{"251 x", "251 y"}, []string{"No messages waiting for d0", "No messages waiting for d1"}, 0, ""},
		{[]string{"251 x", "250 y", "251 z"}, []string{"No messages waiting for d0", "Queuing for d1 started", "No messages waiting for d2", polling}, 0, ""},
		{[]string{"250 x", "458 y", "250 z"}, []string{"Queuing for d0 started"}, protocols.Protocol, "Unable to queue messages for node d1"},
		{[]string{"459 no"}, nil, protocols.Auth, "Node d0 not allowed: 459 no"},
		{[]string{"500 x"}, nil, protocols.Protocol, "ETRN syntax error"},
		{[]string{"501 x"}, nil, protocols.Protocol, "ETRN syntax error in parameters"},
		{[]string{"421 x"}, nil, protocols.Protocol, "Unknown ETRN error 421"},
		{[]string{"354 x"}, nil, protocols.Protocol, "Unknown ETRN error 354"},
		{[]string{"what"}, nil, protocols.Protocol, `there: not a reply of SMTP: "what"`},
		{[]string{"drop"}, nil, protocols.Socket, ""},
	} {
		t.Run(strings.Join(tt.replies, ","), func(t *testing.T) {
			s := mailtest.NewPush()
			var domains []string
			var acts []mailtest.PushAct
			for i, r := range tt.replies {
				domains = append(domains, "d"+string(rune('0'+i)))
				act := mailtest.PushReply(r)
				if r == "drop" {
					act = mailtest.PushDrop
				}
				acts = append(acts, act)
			}
			s.Once("ETRN", acts...)
			said, err := ask(t, s, domains...)
			var f *protocols.Fault
			if tt.kind == 0 != (err == nil) || err != nil && (!errors.As(err, &f) || f.Kind != tt.kind || strings.Join(f.Detail, "|") != tt.detail) {
				t.Errorf("%v %+v", err, f)
			}
			if !slices.Equal(said, tt.said) {
				t.Errorf("said %q", said)
			}
		})
	}
}

func TestAServerWithoutETRNIsNotAsked(t *testing.T) {
	s := mailtest.NewPush()
	s.Extensions = []string{"SIZE", "ETRNX"}
	_, err := ask(t, s, "d")
	var f *protocols.Fault
	if !errors.As(err, &f) || f.Kind != protocols.Protocol || f.Detail[0] != "there's SMTP listener does not support ETRN" {
		t.Errorf("%v", err)
	}
	if got := s.Commands()[0]; !slices.Equal(got, []string{"EHLO client.example.test", "QUIT"}) {
		t.Errorf("%q", got)
	}
}

func TestAGoodbyeThatIsRefusedIsTold(t *testing.T) {
	for _, act := range []mailtest.PushAct{mailtest.PushReply("500 x"), mailtest.PushDrop} {
		s := mailtest.NewPush()
		s.On("QUIT", act)
		_, err := ask(t, s, "d")
		var f *protocols.Fault
		if !errors.As(err, &f) || f.Kind != protocols.Protocol || f.Phase != protocols.Finishing {
			t.Errorf("%v", err)
		}
	}
}
