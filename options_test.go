package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// clearVariables removes the program's variables from the environment, until the test ends.
func clearVariables(t *testing.T) {
	t.Helper()
	parser, err := kong.New(&cli{}, mappers()...)
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range parser.Model.Leaves(false) {
		for _, flag := range command.Flags {
			for _, name := range flag.Envs {
				for _, variable := range []string{name, name + "_FILE"} {
					t.Setenv(variable, "") // so that it is set again afterwards
					if err := os.Unsetenv(variable); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
}

// usage returns the error text of parse, with the variables.
func usage(t *testing.T, env []string, args ...string) (text string) {
	t.Helper()
	t.Run("", func(t *testing.T) { // has its own variables
		clearVariables(t)
		for _, e := range env {
			name, value, _ := strings.Cut(e, "=")
			t.Setenv(name, value)
		}
		if _, err := parse(t.Context(), args); err != nil {
			text = err.Error()
		}
	})
	return text
}

// TestUsageErrors: a wrong option ends the program with status 2 and one line on standard error,
// without the help text that would hide it; what fails later with status 1.
func TestUsageErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env, args string
		code      int
		want      string
	}{
		{"DB_READ_CONNS=0", "serve", 2, "internaltransfers: error: --db-read-conns (DB_READ_CONNS) must be 1 to 1000, not 0; see internaltransfers serve --help\n"},
		{"", "frob", 2, "internaltransfers: error: unexpected argument frob; see internaltransfers --help\n"},
		{"DATABASE_URL=postgres://u:hunter2@127.0.0.1:1/x", "migrate", 1, "connect"},
	} {
		cmd := program(t, strings.Fields(c.env), c.args)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != c.code || stdout.Len() > 0 ||
			!strings.Contains(stderr.String(), c.want) || strings.Contains(stderr.String(), "hunter2") ||
			(c.code == 2 && stderr.String() != c.want) {
			t.Errorf("%s %s: %v, want status %d and %q:\n%s%s", c.env, c.args, err, c.code, c.want, &stdout, &stderr)
		}
	}
}

// TestOptionErrorsAreOneLine: whatever is wrong with an option, one line describes it by the names
// of its flag and its variable.
func TestOptionErrorsAreOneLine(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		env, args string // separated by spaces
		want      string
	}{
		{"DB_READ_CONNS=0", "serve", `--db-read-conns (DB_READ_CONNS) must be 1 to 1000, not 0; see internaltransfers serve --help`},
		{"", "serve --db-read-conns=0", `--db-read-conns (DB_READ_CONNS) must be 1 to 1000, not 0; see`},
		{"BATCH_MAX=many", "serve", `--batch-max (BATCH_MAX) must be a whole number, not "many"; see`},
		{"", "serve --batch-max many", `--batch-max (BATCH_MAX) must be a whole number, not "many"; see`},
		{"", "serve --batch-max", `--batch-max (BATCH_MAX) needs a value: a whole number; see`},
		{"", "serve --batch-max --demo", `--batch-max (BATCH_MAX) needs a value`},
		{"DB_READ_CONNS=99999999999", "serve", `--db-read-conns (DB_READ_CONNS) must be a whole number, not "99999999999"; see`},
		{"QUEUE_MAX=", "serve", `--queue-max (QUEUE_MAX) must be a whole number, not ""; see`},
		{"REQUEST_TIMEOUT=5", "serve", `--request-timeout (REQUEST_TIMEOUT) must be a duration such as 500ms, 30s or 10m, not "5"; see`},
		{"REQUEST_TIMEOUT=-1s", "serve", `--request-timeout (REQUEST_TIMEOUT) must be 100ms to 1h0m0s, not -1s; see`},
		{"CHECK_TIMEOUT=25h", "serve", `--check-timeout (CHECK_TIMEOUT) must be 100ms to 24h0m0s, not 25h0m0s; see`},
		{"LOG_LEVEL=loud", "migrate", `--log-level (LOG_LEVEL) must be debug, info, warn or error, not "loud"; see internaltransfers migrate --help`},
		{"LOG_FORMAT=xml", "check", `--log-format (LOG_FORMAT) must be one of text, json, not "xml"; see internaltransfers check --help`},
		{"DEMO=maybe", "serve", `--demo (DEMO) must be true, 1, yes, false, 0 or no, not "maybe"; see`},
		{"LISTEN_ADDR=", "serve", `--listen-addr (LISTEN_ADDR) must be HOST:PORT, such as 127.0.0.1:9091, not ""; see`},
		{"ADMIN_ADDR=9092", "serve", `--admin-addr (ADMIN_ADDR) must be HOST:PORT, such as 127.0.0.1:9091, not "9092"; see`},
		{"WEBHOOK_PROXY=http://u:hunter2@proxy/path", "serve", `--webhook-proxy (WEBHOOK_PROXY) must have nothing behind`},
		{"WEBHOOK_PROXY_FILE=/nowhere", "serve", "WEBHOOK_PROXY_FILE"},
		{"BASE_PATH=ledger/", "serve", `--base-path (BASE_PATH): "ledger/" is no path such as /ledger`},
		{"BASE_PATH=/api", "serve", `--base-path (BASE_PATH): "/api" is a path of the server's own`},
		{"REQUEST_MEMORY_BYTES=1000", "serve", `--request-memory-bytes (REQUEST_MEMORY_BYTES) must be 33554432 to 1099511627776, not 1000`},
		{"TLS_CERT_FILE=x", "serve", `--tls-cert-file (TLS_CERT_FILE) needs --tls-key-file (TLS_KEY_FILE) too`},
		{"TLS_KEY_FILE=x", "serve", `--tls-key-file (TLS_KEY_FILE) needs --tls-cert-file (TLS_CERT_FILE) too`},
		{"TLS_CLIENT_AUTH=require", "serve", `--tls-client-auth (TLS_CLIENT_AUTH) needs --tls-client-ca-file (TLS_CLIENT_CA_FILE) too`},
		{"TLS_CLIENT_CA_FILE=x", "serve", `--tls-client-ca-file (TLS_CLIENT_CA_FILE) needs --tls-cert-file (TLS_CERT_FILE) too`},
		{"TLS_CLIENT_AUTH=maybe", "serve", `--tls-client-auth (TLS_CLIENT_AUTH) must be one of none, request, require, not "maybe"`},
		{"ALLOWED_HOSTS=a.test,a.test:80", "serve", `--allowed-hosts (ALLOWED_HOSTS): "a.test:80" is not the name of a host`},
		{"ALLOWED_HEADERS=X-Tenant,*", "serve", `--allowed-headers (ALLOWED_HEADERS): "*" is not the name of a header`},
		{"DB_SCHEMA=pg_ledger", "serve", `--db-schema (DB_SCHEMA) must not be "pg_ledger"`},
		{"", "serve --allowed-origins", `--allowed-origins (ALLOWED_ORIGINS) needs a value`},
		{"BENCH_CALLERS=0", "bench", `--callers (BENCH_CALLERS) must be 1 to 16384, not 0; see internaltransfers bench --help`},
		{"BENCH_SUITE_CALLERS=1,x", "bench", `--suite-callers (BENCH_SUITE_CALLERS) must be whole numbers with commas, not "1,x"; see`},
		{"BENCH_RATE=fast", "bench", `--rate (BENCH_RATE) must be a number, not "fast"; see`},
		{"", "bench --workload=x", `--workload (BENCH_WORKLOAD) must be one of uniform, zipf,`},
		{"", "bench --suite --target=x", `--suite (BENCH_SUITE) starts its own server: it cannot have a --target (BENCH_TARGET); see`},
		{"DATABASE_URL_FILE=/nowhere", "serve", `--database-url (DATABASE_URL): DATABASE_URL_FILE: open /nowhere: no such file or directory; see`},
		{"DATABASE_URL_FILE=" + empty, "serve", "is empty; see"},
		{"DATABASE_URL_FILE=x DATABASE_URL=postgres://u:hunter2@h/d", "serve", "both DATABASE_URL and DATABASE_URL_FILE are set; set one of them; see"},
		{"", "serve --nope", "unknown flag --nope; see internaltransfers serve --help"},
		{"", "--nope", "unknown flag --nope; see internaltransfers --help"},
		{"", "frob", "unexpected argument frob; see internaltransfers --help"},
		{"", "serve extra", "unexpected argument extra; see internaltransfers serve --help"},
		{"", "serve postgres://u:hunter2@h/d", "unexpected argument postgres://…@h/d; see"},
		{"", "serve host=h\tpassword='hunter2", "unexpected argument host=h\ufffdpassword=…; see"},
		{"DATABASE_URL_FILE=postgres://u:hunter2@h/d", "serve", "DATABASE_URL_FILE: open postgres://…@h/d: no such file or directory; see"},
		{"", "", `expected one of "serve", "migrate", "check"`},
	} {
		got := usage(t, strings.Fields(c.env), strings.FieldsFunc(c.args, func(r rune) bool { return r == ' ' })...)
		requireOneLine(t, c.env+" "+c.args, got, c.want)
	}
}

// requireOneLine fails the test unless a usage error has the wanted text.
func requireOneLine(t *testing.T, what, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) || strings.ContainsAny(got, "\r\n\t\x1b") || strings.Contains(got, "hunter2") {
		t.Errorf("%s: want one line with %q: %q", what, want, got)
	}
}

// TestDatabaseURLErrors: the error has the expected form, before anything is started. It does not
// have the given value, since any of it may be the password.
func TestDatabaseURLErrors(t *testing.T) {
	const form = "postgres://user:password@host:port/database"
	for _, c := range []struct{ url, want string }{
		{"foo", form},
		{"hunter2", form},
		{"mysql://u:hunter2@h/d", form},
		{"postgres://u:hunter2@[", form},
		{"postgres://u:hunter2@h:99999/d", form},
		{"postgres://u:hun/ter2@h/d", form},
		{"host=h password=hunter2 port=many", form},
		{"postgres://u:x@hunter2@h/d", "has an @ in the user or the password: write %40 for it"},
		{"postgres://u:hunter2@h/d?sslmode=requird", "has a value for the parameter sslmode that is not possible"},
		{"postgres://u:hunter2@h/d?application_name=x&connect_timeout=soon", "for the parameter connect_timeout"},
	} {
		for _, command := range []string{"serve", "migrate", "check"} {
			got := usage(t, []string{"DATABASE_URL=" + c.url}, command)
			requireOneLine(t, command+" "+c.url, got, c.want)
			if !strings.HasPrefix(got, "--database-url (DATABASE_URL) ") || strings.Contains(got, "ter2@") {
				t.Errorf("%s %s: %s", command, c.url, got)
			}
		}
	}
	got := usage(t, []string{"BENCH_DATABASE_URL=foo"}, "bench")
	requireOneLine(t, "bench", got, "--database-url (BENCH_DATABASE_URL) must be a valid "+form)
}

// TestFlagsHaveTheNamesOfVariables: the flag follows from the variable and the reverse, every
// option has both, and help describes it with its default.
func TestFlagsHaveTheNamesOfVariables(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&cli{}, mappers()...)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, command := range parser.Model.Leaves(false) {
		for _, flag := range command.Flags {
			seen++
			if len(flag.Envs) != 1 {
				t.Errorf("%s --%s: variables %v, want one", command.Name, flag.Name, flag.Envs)
				continue
			}
			variable := flag.Envs[0]
			if command.Name != "serve" && command.Name != "migrate" {
				named := command.Name
				if command.Parent.Type == kong.CommandNode { // "keys create" and its like share theirs
					named = command.Parent.Name
				}
				variable = strings.TrimPrefix(variable, strings.ToUpper(named)+"_")
			}
			if flag.Name != flagOf(variable) {
				t.Errorf("%s --%s has the variable %s, want --%s", command.Name, flag.Name, flag.Envs[0], flagOf(variable))
			}
			if !strings.Contains(flag.Help, "Default: ") && !strings.Contains(flag.Help, "Empty: ") {
				t.Errorf("%s --%s: help does not say the default: %s", command.Name, flag.Name, flag.Help)
			}
		}
	}
	if seen < 40 {
		t.Errorf("only %d flags were seen", seen)
	}
}

// TestOptionsAreRead: each kind of value comes from the command line, from its variable, or is the
// default, in this order.
func TestOptionsAreRead(t *testing.T) {
	clearVariables(t)
	t.Setenv("QUEUE_MAX", "7")
	t.Setenv("BATCH_MAX", "8")
	t.Setenv("ALLOWED_ORIGINS", "https://a.test, https://b.test")
	t.Setenv("DEMO", "yes")
	t.Setenv("LOG_LEVEL", "debug")
	t.Setenv("REQUEST_TIMEOUT", "7s")
	t.Setenv("DATABASE_URL", "")
	command, err := parse(t.Context(), []string{"serve", "--batch-max=9", "--admin-addr", "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	c := &command.Model.Target.Addr().Interface().(*cli).Serve
	if c.QueueMax != 7 || c.BatchMax != 9 || c.BatchesInFlight != 2 || strings.Join(c.AllowedOrigins, " ") != "https://a.test https://b.test" ||
		!c.Demo || c.LogLevel.String() != "DEBUG" || c.RequestTimeout.String() != "7s" || c.DatabaseURL != "" || c.AdminAddr != "127.0.0.1:1" {
		t.Errorf("read: %+v", c.serveConfig)
	}
	t.Setenv("ALLOWED_ORIGINS", "")
	t.Setenv("DEMO", "no")
	command, err = parse(t.Context(), []string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	c = &command.Model.Target.Addr().Interface().(*cli).Serve
	if len(c.AllowedOrigins) != 0 || c.Demo {
		t.Errorf("read: %+v", c.serveConfig)
	}
	command, err = parse(t.Context(), []string{"bench", "--no-gzip", "--rate=1.5", "--suite-callers=1,2", "--suite-callers=3"})
	if err != nil {
		t.Fatal(err)
	}
	b := &command.Model.Target.Addr().Interface().(*cli).Bench
	if b.Gzip || b.Rate != 1.5 || len(b.SuiteCallers) != 3 || b.Callers != 64 {
		t.Errorf("read: %+v", b)
	}
}
