package wire

import (
	"os"
	"strings"
	"testing"
)

func TestLinkIsRightIfItIsUpAndHasAMatchingAddress(t *testing.T) {
	for spec, want := range map[string]string{
		"lo/127.0.0.1":                        "",
		"lo/127.1":                            "",
		"lo/0x7f.0.0.1":                       "",
		"lo/127.0.0.1 and more":               "",
		"lo/127.9.9.9/255.0.0.0":              "",
		"lo/0.0.0.0/0.0.0.0":                  "",
		"lo/127.9.9.9":                        "IP address excluded",
		"lo/10.0.0.1/255.0.0.0":               "IP address excluded",
		"nosuch0/127.0.0.1":                   "down",
		"/127.0.0.1":                          "down",
		"../../etc/127.0.0.1":                 "down",
		strings.Repeat("x", 100) + "/1.2.3.4": "down",
	} {
		if got := LinkRefused(spec); got != want {
			t.Errorf("%s: %q, want %q", spec, got, want)
		}
	}
}

func TestPacketsOfALinkAreCountedBothWays(t *testing.T) {
	const text = "Inter-|   Receive  |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n" +
		"    lo: 100 5 0 0 0 0 0 0 100 7 0 0 0 0 0 0\n  eth0:1 2 0 0 0 0 0 0 3 18446744073709551 0 0 0 0 0 0\nbad: 1\nword: 1 x 0 0 0 0 0 0 1 1\n"
	for name, want := range map[string]uint64{"lo": 12, "eth0": 18446744073709553} {
		if got, ok := packetsOf(text, name); !ok || got != want {
			t.Errorf("%s: %d %v", name, got, ok)
		}
	}
	for _, name := range []string{"", "eth", "bad", "word", "Inter-|   Receive  |  Transmit"} {
		if n, ok := packetsOf(text, name); ok {
			t.Errorf("%q: %d", name, n)
		}
	}
	if _, err := os.Stat("/proc/net/dev"); err == nil {
		if _, up := LinkPackets("lo"); !up {
			t.Error("lo is not up")
		}
	}
	if _, up := LinkPackets("nosuch0"); up {
		t.Error("a link that does not exist is up")
	}
}
