package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"path"
	"strings"
	"testing"
)

// layer 0 packages import nothing of ours; a package of a higher layer imports only what is named here. A name that
// ends in "/..." stands for the package and all below it.
var mayImport = map[string][]string{
	"rcfile":             {},
	"protocols":          {},
	"protocols/wire":     {},
	"protocols/auth":     {},
	"deliver":            {},
	"deliver/header":     {},
	"deliver/text":       {},
	"deliver/dots":       {},
	"deliver/journal":    {},
	"daemon/ledger":      {},
	"daemon/lock":        {},
	"protocols/pop3":     {"protocols", "protocols/wire", "protocols/auth"},
	"protocols/imap":     {"protocols", "protocols/wire", "protocols/auth"},
	"protocols/esmtp":    {"protocols", "protocols/wire", "protocols/auth"}, // what etrn and odmr have in common
	"protocols/etrn":     {"protocols", "protocols/esmtp"},
	"protocols/odmr":     {"protocols", "protocols/wire", "protocols/auth", "protocols/esmtp"},
	"deliver/route":      {"deliver", "deliver/header", "deliver/text"},
	"deliver/smtp":       {"deliver", "deliver/header", "deliver/text", "deliver/dots"},
	"deliver/mda":        {"deliver", "deliver/journal"},
	"deliver/maildir":    {"deliver"},
	"deliver/mbox":       {"deliver", "deliver/journal"},
	"deliver/bsmtp":      {"deliver", "deliver/dots", "deliver/journal"},
	"deliver/notice":     {"deliver", "deliver/header", "deliver/text"},
	"daemon/poll":        {"protocols", "deliver", "deliver/header", "deliver/text", "deliver/route", "deliver/notice", "daemon/ledger"},
	"daemon/report":      {"protocols", "protocols/wire", "deliver", "daemon/poll"}, // wire: the addresses of a refused connection
	"daemon/status":      {"daemon/poll", "daemon/report"},
	"daemon/metrics":     {"daemon/status"},
	"daemon":             {},
	"daemon/plan":        {"rcfile", "protocols/...", "deliver/...", "daemon/poll", "daemon/ledger", "daemon/report"},
	"cmd/fetchmail":      {"rcfile", "daemon", "daemon/plan", "daemon/poll", "daemon/report", "daemon/lock", "daemon/status", "daemon/metrics"},
	"cmd/fetchmail/demo": {"protocols/mailtest/..."},
	// Test helpers: imported by tests and the demo only.
	"protocols/mailtest":      {"protocols"},
	"protocols/mailtest/real": {},
	"deliver/reftest":         {},
	"deliver/sinktest":        {"deliver"},
}

// home says which packages may import a third-party library. Libraries that are not named are free.
var home = map[string][]string{
	"github.com/knadh/go-pop3":         {"protocols/pop3"},
	"github.com/emersion/go-imap":      {"protocols/imap", "protocols/mailtest", "cmd/fetchmail/demo"},
	"github.com/emersion/go-smtp":      {"deliver/smtp", "protocols/mailtest", "cmd/fetchmail/demo"},
	"github.com/jcmturner/gokrb5":      {"protocols/auth"},
	"github.com/alecthomas/participle": {"rcfile"},
	"github.com/prometheus":            {"daemon/metrics"},
	"github.com/spf13/pflag":           {"rcfile", "cmd/fetchmail"},
}

func TestImportsGoDownNeverSideways(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "fetchmail/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, "fetchmail/")
		allowed, known := mayImport[name]
		if !known {
			t.Errorf("package %s has no layer: add it to the table", name)
		}
		for _, imp := range p.Imports {
			if own, ok := strings.CutPrefix(imp, "fetchmail/"); ok && !matches(own, allowed) {
				t.Errorf("%s imports %s: imports go down, never sideways", name, own)
			}
			for lib, homes := range home {
				if strings.HasPrefix(imp, lib) && !matches(name, homes) {
					t.Errorf("%s imports %s, whose home is %v", name, imp, homes)
				}
			}
		}
	}
}

func matches(name string, patterns []string) bool {
	for _, p := range patterns {
		if tree, ok := strings.CutSuffix(p, "/..."); ok && (name == tree || strings.HasPrefix(name, tree+"/")) {
			return true
		}
		if ok, _ := path.Match(p, name); ok {
			return true
		}
	}
	return false
}
