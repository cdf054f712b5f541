# make demo    build, and show a mail run against servers that it starts itself (no network, no root)
# make build   bin/fetchmail
# make test    install what the tests need where possible, then all tests with the race detector
# make check   what must be clean before a change lands: format, vet, staticcheck, generated files, tests, fuzz smoke
# make fuzz    every fuzz target for FUZZTIME
# make bench   all benchmarks
# make install binary, man page, completions and systemd units below PREFIX (and DESTDIR)

VERSION  ?= 0.1.0-dev
PREFIX   ?= /usr/local
FUZZTIME ?= 30s

GO        ?= go
BUILD      = CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)"
STATIC     = $(GO) tool -modfile=.ci/tools.mod staticcheck
bin       := $(DESTDIR)$(PREFIX)/bin
man       := $(DESTDIR)$(PREFIX)/share/man/man1
share     := $(DESTDIR)$(PREFIX)/share
systemd   := $(DESTDIR)$(PREFIX)/lib/systemd

.PHONY: all build demo test needs check lint generated fuzz bench install clean

all: build

build:
	$(BUILD) -o bin/fetchmail ./cmd/fetchmail

demo: build
	$(BUILD) -o bin/demo ./cmd/fetchmail/demo
	bin/demo bin/fetchmail

# umask: some tests run the program as another user, who has to be able to read it.
test: needs
	umask 022 && CGO_ENABLED=1 $(GO) test -count=1 -race -timeout 9m ./...

# Debian packages: servers and programs that the tests start in folders of their own.
needs:
	.ci/needs

check: lint generated test
	$(MAKE) fuzz FUZZTIME=2s

lint:
	@bad=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$bad" || { echo "not formatted: $$bad"; exit 1; }
	$(GO) vet ./...
	$(STATIC) ./...
	.ci/units

# The files that come from the option table must be what the table says now.
generated:
	@before=$$(git diff | git hash-object --stdin); $(GO) generate ./... && \
		test "$$before" = "$$(git diff | git hash-object --stdin)" || { echo "generated files were out of step; they are rewritten now"; exit 1; }

fuzz:
	.ci/fuzz $(FUZZTIME)

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

install: build
	install -d $(bin)
	install -m 755 bin/fetchmail $(bin)/fetchmail
	install -d $(man) $(share)/bash-completion/completions $(share)/zsh/site-functions $(share)/fish/vendor_completions.d
	install -m 644 cmd/fetchmail/fetchmail.1 $(man)/
	install -m 644 contrib/completions/fetchmail.bash $(share)/bash-completion/completions/fetchmail
	install -m 644 contrib/completions/_fetchmail $(share)/zsh/site-functions/
	install -m 644 contrib/completions/fetchmail.fish $(share)/fish/vendor_completions.d/
	install -d $(systemd)/system $(systemd)/user $(DESTDIR)$(PREFIX)/lib/sysusers.d
	sed 's|@bindir@|$(PREFIX)/bin|' contrib/systemd/fetchmail.service >$(systemd)/system/fetchmail.service
	sed 's|@bindir@|$(PREFIX)/bin|' contrib/systemd/user/fetchmail.service >$(systemd)/user/fetchmail.service
	chmod 644 $(systemd)/system/fetchmail.service $(systemd)/user/fetchmail.service
	install -m 644 contrib/systemd/sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/fetchmail.conf

clean:
	rm -rf bin
