package pgdb_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/pgtest"
)

// TestClientParameters: what a URL has for libpq alone is kept from the server where the driver
// does as well without it. Anything else is refused in one line that names the parameter, and not
// its value.
func TestClientParameters(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	for _, test := range []struct {
		name, value string
		taken       bool
	}{
		{"keepalives", "1", true},
		{"keepalives", "0", true},
		{"keepalives_idle", "30", true},
		{"keepalives_interval", "10", true},
		{"keepalives_count", "3", true},
		{"tcp_user_timeout", "30000", true},
		{"load_balance_hosts", "random", true},
		{"load_balance_hosts", "disable", true},
		{"gssencmode", "disable", true},
		{"gssencmode", "prefer", true},
		{"gssencmode", "require", false},
		{"sslcompression", "1", true},
		{"requiressl", "0", true},
		{"requiressl", "1", false},
		{"requirepeer", "", true},
		{"requirepeer", "h64r2", false},
		{"channel_binding", "prefer", true},
		{"krbsrvname", "postgres", true},
		{"gsslib", "gssapi", true},
		{"gssdelegation", "0", true},
		{"gssdelegation", "1", false},
		{"replication", "false", true},
		{"replication", "database", false},
		{"ssl_min_protocol_version", "TLSv1.2", true},
		{"ssl_min_protocol_version", "TLSv1.3", false},
		{"ssl_max_protocol_version", "TLSv1.3", true},
		{"ssl_max_protocol_version", "TLSv1.2", false},
		{"sslcrl", "h64r2.crl", false},
		{"hostaddr", "10.64.64.2", false},
		{"application_name", "x", true},
		{"fallback_application_name", "x", true},
		{"pgbouncer", "true", false},
		{"connection_limit", "5", false},
		{"schema", "h64r2", false},
		{"jit", "h64r2", false},
		{"ssl", "h64r2", false},
	} {
		t.Run(test.name+"="+test.value, func(t *testing.T) {
			t.Parallel()
			target := pgdb.Target{URL: withParameter(t, database, test.name, test.value)}
			d, err := pgdb.Open(t.Context(), target, pgdb.Writing)
			if test.taken {
				requireConnects(t, d, err)
				return
			}
			if err == nil {
				t.Fatal("it is taken")
			}
			text := err.Error()
			if !strings.Contains(text, test.name) || strings.Contains(text, "\n") || strings.Contains(text, "tls error") {
				t.Errorf("the refusal is %q", text)
			}
			if strings.Contains(text, "h64r2") && test.name != "jit" {
				t.Errorf("the refusal says the value: %q", text)
			}
		})
	}
}

func requireConnects(t *testing.T, d *pgdb.Database, err error) {
	t.Helper()
	if err == nil {
		var conn *pgx.Conn
		if conn, err = d.Connect(t.Context(), pgdb.Writing); err == nil {
			pgdb.HangUp(conn)
		}
	}
	if err != nil {
		t.Errorf("refused: %v", err)
	}
}

// TestUnknownParameter: a parameter that the server does not have is a refusal, which is not tried
// again.
func TestUnknownParameter(t *testing.T) {
	t.Parallel()
	database := withParameter(t, pgtest.NewDatabase(t), "pgbouncer", "true")
	_, err := pgdb.Open(t.Context(), pgdb.Target{URL: database}, pgdb.Writing)
	requireRefused(t, err, "parameter pgbouncer of the database URL")
	// Over TCP the driver tries TLS first, and has an error of that as well.
	server := pgtest.NewServer(t)
	_, err = pgdb.Open(t.Context(), pgdb.Target{URL: withParameter(t, server.TCPURL(), "pgbouncer", "true")}, pgdb.Migrating)
	requireRefused(t, err, "parameter pgbouncer of the database URL")
	if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "tls error") {
		t.Errorf("over TCP: %v", err)
	}
	keywords := "host=127.0.0.1 user=app dbname=app requirepeer=postgres"
	if err := pgdb.CheckURL(keywords); err == nil || !strings.Contains(err.Error(), "requirepeer") {
		t.Errorf("as keywords: %v", err)
	}
}

// TestFallbackApplicationName: sessions have that name unless there is another.
func TestFallbackApplicationName(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	fallback := withParameter(t, database, "fallback_application_name", "second")
	for want, u := range map[string]string{"second": fallback, "first": withParameter(t, fallback, "application_name", "first")} {
		conn := connect(t, pgdb.Target{URL: u}, pgdb.Writing)
		if got := show(t, conn, "SELECT current_setting('application_name')"); got != want {
			t.Errorf("the session's name is %q, not %q", got, want)
		}
	}
}

// TestSchemaOfTheUser: "$user" means a schema of the role's name, so it cannot be the ledger's.
func TestSchemaOfTheUser(t *testing.T) {
	t.Parallel()
	database := pgtest.NewEmptyDatabase(t, "")
	role, as := newRole(t, database, true)
	if err := pgdb.CheckSchemaName("$user"); err == nil || !strings.Contains(err.Error(), "$user") {
		t.Errorf("the name $user: %v", err)
	}
	if err := pgdb.CheckSchemaName("$users"); err != nil {
		t.Errorf("the name $users: %v", err)
	}
	// A ledger whose schema was renamed so is found without being named.
	migrate(t, pgdb.Target{URL: as})
	conn := admin(t, database)
	execute(t, conn, "ALTER SCHEMA public RENAME TO \"$user\"", "CREATE SCHEMA "+role+" AUTHORIZATION "+role)
	d, err := pgdb.Open(t.Context(), pgdb.Target{URL: as}, pgdb.Writing)
	if err == nil {
		_, err = d.Connect(t.Context(), pgdb.Writing)
	}
	if _, ok := errors.AsType[*pgdb.RefusedError](err); !ok {
		t.Errorf("a session works in another schema: %v", err)
	}
}
