package rcfile

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

//go:generate env RCFILE_UPDATE=1 go test -count=1 -run TestGeneratedFilesAreInStep .

// TestGeneratedFilesAreInStep holds that the manual page and the completions are what the table says. RCFILE_UPDATE=1
// writes them anew.
func TestGeneratedFilesAreInStep(t *testing.T) {
	for path, write := range map[string]func(io.Writer) error{
		"../cmd/fetchmail/fetchmail.1":          ManPage,
		"../contrib/completions/fetchmail.bash": Completions["bash"],
		"../contrib/completions/_fetchmail":     Completions["zsh"],
		"../contrib/completions/fetchmail.fish": Completions["fish"],
	} {
		var want bytes.Buffer
		if err := write(&want); err != nil {
			t.Fatal(err)
		}
		if os.Getenv("RCFILE_UPDATE") != "" {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, want.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s is not in step with the table: RCFILE_UPDATE=1 go test ./rcfile writes it anew (%v)", path, err)
		}
	}
}

// TestBashTakesItsCompletion asks bash, where there is one, whether the file is sound and completes.
func TestBashTakesItsCompletion(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	script := `. ../contrib/completions/fetchmail.bash; COMP_WORDS=(fetchmail --proto od); COMP_CWORD=2; _fetchmail; echo "${COMPREPLY[*]}"
COMP_WORDS=(fetchmail --nosof); COMP_CWORD=1; _fetchmail; echo "${COMPREPLY[*]}"`
	out, err := exec.Command(bash, "-c", script).CombinedOutput()
	if err != nil || string(out) != "odmr\n--nosoftbounce\n" {
		t.Errorf("%v: %s", err, out)
	}
}

// TestBashCompletesValues also behind "=", which bash takes for a word of its own.
func TestBashCompletesValues(t *testing.T) {
	const script = `source ../contrib/completions/fetchmail.bash; COMP_WORDS=($0); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _fetchmail; echo ${COMPREPLY[*]}`
	for line, want := range map[string]string{
		"fetchmail -p im": "imap", "fetchmail --auth = pl": "plain", "fetchmail --bad-header =": "reject accept", "fetchmail --configd": "--configdump",
	} {
		out, err := exec.Command("bash", "-c", script, line).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s: %s, %v", line, got, err)
		}
	}
}
