package databases

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/pgtest"
	"internaltransfers/migrations"
)

// The dimensions of the matrix, and what each may be. Every two values of two dimensions meet in
// some combination.
var dimensions = []struct {
	name   string
	values []string
}{
	{"version", []string{"found", "packaged"}},
	{"settings", []string{"other", "low", "high"}},
	{"place", []string{"database", "role", "url"}},
	{"schema", []string{"default", "own", "odd", "of the role"}},
	{"role", []string{"superuser", "owner", "writer"}},
	{"pooler", []string{"none", "session"}},
}

// TestMatrix: the ledger is made, lives and is proved on every kind of database.
func TestMatrix(t *testing.T) {
	t.Parallel()
	servers := map[string]string{"found": pgtest.NewEmptyDatabase(t, ""), "packaged": pgtest.NewPackagedServer(t).URL()}
	for i, c := range combinations() {
		var name []string
		for _, d := range dimensions {
			name = append(name, c[d.name])
		}
		t.Run(strings.Join(name, ", "), func(t *testing.T) {
			t.Parallel()
			newSite(t, servers[c["version"]], fmt.Sprint("matrix_", i), c).try(t)
		})
	}
}

// combinations returns few combinations in which each pair of values occurs, chosen greedily.
func combinations() (chosen []map[string]string) {
	all := []map[string]string{{}}
	for _, d := range dimensions {
		var longer []map[string]string
		for _, c := range all {
			for _, v := range d.values {
				c = maps.Clone(c)
				c[d.name] = v
				longer = append(longer, c)
			}
		}
		all = longer
	}
	met := make(map[[2]string]bool)
	for {
		var best map[string]string
		var most [][2]string
		for _, c := range all {
			if pairs := newPairs(c, met); len(pairs) > len(most) {
				best, most = c, pairs
			}
		}
		if best == nil {
			return chosen
		}
		chosen = append(chosen, best)
		for _, p := range most {
			met[p] = true
		}
	}
}

// newPairs returns the pairs of values in a combination that no earlier one had.
func newPairs(c map[string]string, met map[[2]string]bool) (pairs [][2]string) {
	for i, a := range dimensions {
		for _, b := range dimensions[i+1:] {
			if p := [2]string{a.name + c[a.name], b.name + c[b.name]}; !met[p] {
				pairs = append(pairs, p)
			}
		}
	}
	return pairs
}

// A site is a database that was set up for a ledger by its administrator.
type site struct {
	named  string // schema that the program is configured with
	schema string // where the ledger is to be
	owner  string // URL for migrations
	server string // URL for the server
	pooler *pgtest.PgBouncer
	direct string // the server's URL without the pooler
}

// newSite sets up a database of that name on the server.
func newSite(t *testing.T, admin, name string, c map[string]string) *site {
	t.Helper()
	s := &site{schema: "public"}
	conn := connect(t, admin)
	owner, writer := name+"_owner", name+"_writer"
	execute(t, conn, "CREATE DATABASE "+name,
		"CREATE ROLE "+owner+" LOGIN PASSWORD 'secret'", "CREATE ROLE "+writer+" LOGIN PASSWORD 'secret'",
		"ALTER DATABASE "+name+" OWNER TO "+owner)
	in := at(t, admin, name, "", "")
	conn = connect(t, in)
	s.owner, s.server = at(t, admin, name, owner, "secret"), at(t, admin, name, writer, "secret")
	switch c["role"] {
	case "superuser":
		execute(t, conn, "ALTER ROLE "+owner+" SUPERUSER")
		s.server = s.owner
	case "owner":
		s.server = s.owner
	}
	switch c["schema"] {
	case "own":
		s.named, s.schema = "ledger", "ledger"
	case "odd":
		s.named, s.schema = `o"d; Zürich`, `o"d; Zürich`
	case "of the role":
		s.schema = owner
		execute(t, conn, "CREATE SCHEMA "+owner+" AUTHORIZATION "+owner)
	}
	settings := hostile(t, conn, c["settings"])
	s.place(t, conn, c["place"], name, []string{owner, writer}, settings)
	s.direct = s.server
	if c["pooler"] == "session" {
		ignored := strings.Join(slices.Sorted(maps.Keys(settings)), ",")
		s.pooler = pgtest.NewPgBouncer(t, map[string]string{"ignore_startup_parameters": ignored}, s.owner, s.server)
		s.owner, s.server = s.pooler.URL(t, s.owner), s.pooler.URL(t, s.server)
	}
	return s
}

// place applies the settings where they are set for the ledger's sessions.
func (s *site) place(t *testing.T, conn *pgx.Conn, place, database string, roles []string, settings map[string]string) {
	t.Helper()
	for name, value := range settings {
		set := " SET " + name + " = '" + value + "'"
		switch place {
		case "database":
			execute(t, conn, "ALTER DATABASE "+database+set)
		case "role":
			for _, role := range roles {
				execute(t, conn, "ALTER ROLE "+role+" IN DATABASE "+database+set)
			}
		case "url":
			parameter := "&" + name + "=" + url.PathEscape(value)
			s.owner, s.server = s.owner+parameter, s.server+parameter
		}
	}
}

// try migrates, serves and proves.
func (s *site) try(t *testing.T) {
	migrate(t, s.owner, s.named)
	grant(t, s.owner, s.server, s.schema)
	l := open(t, configure(s.server, s.named))
	r := follow(t, l)
	r.require(t, newLife(t, l, "matrix").live())
	if d, err := pgdb.Open(t.Context(), pgdb.Target{URL: s.direct}, pgdb.Reading); err != nil || d.Schema() != s.schema {
		t.Errorf("the ledger is not in %s: %v, %v", s.schema, d, err)
	}
	if s.pooler == nil {
		return
	}
	s.pooler.Set(t, "pool_mode", "transaction")
	_, err := pgdb.Open(t.Context(), pgdb.Target{URL: s.server}, pgdb.Reading)
	if refused, ok := errors.AsType[*pgdb.RefusedError](err); !ok || !strings.Contains(refused.Error(), "pool_mode=session") {
		t.Errorf("a pooler in transaction mode: %v", err)
	}
	s.pooler.Set(t, "pool_mode", "session")
}

// migrate makes the ledger, as the command does.
func migrate(t *testing.T, url, schema string) {
	t.Helper()
	if err := up(t, url, schema); err != nil {
		t.Fatal(err)
	}
}

// up brings a ledger to the newest version.
func up(t *testing.T, url, schema string) error {
	d, err := pgdb.Open(t.Context(), pgdb.Target{URL: url, Schema: schema}, pgdb.Migrating)
	if err != nil {
		return err
	}
	db := d.SQL(pgdb.Migrating)
	_, err = migrations.Up(t.Context(), db, d.Schema(), slog.New(slog.DiscardHandler))
	return errors.Join(err, db.Close())
}

// grant lets the server's role serve the ledger of the owner's.
func grant(t *testing.T, owner, server, schema string) {
	t.Helper()
	config, err := pgx.ParseConfig(server)
	if err != nil {
		t.Fatal(err)
	}
	d, err := pgdb.Open(t.Context(), pgdb.Target{URL: owner, Schema: schema}, pgdb.Reading)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := d.Connect(t.Context(), pgdb.Migrating)
	if err != nil {
		t.Fatal(err)
	}
	defer pgdb.HangUp(conn)
	if conn.Config().User == config.User {
		return
	}
	in := pgx.Identifier{schema}.Sanitize()
	execute(t, conn, "GRANT USAGE ON SCHEMA "+in+" TO "+config.User,
		"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "+in+" TO "+config.User,
		"GRANT USAGE ON ALL SEQUENCES IN SCHEMA "+in+" TO "+config.User,
		"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA "+in+" TO "+config.User)
}

// special are the values of settings which have no lowest or highest one, or for which that would
// only be slow. An empty map leaves a setting out.
var special = map[string]map[string]string{
	"client_encoding":                     {"other": "LATIN1", "low": "SQL_ASCII", "high": "WIN1252"},
	"DateStyle":                           {"other": "SQL, DMY", "low": "German", "high": "Postgres, MDY"},
	"TimeZone":                            {"other": "Asia/Kathmandu", "low": "America/St_Johns", "high": "Pacific/Kiritimati"},
	"timezone_abbreviations":              {"other": "Australia", "low": "India", "high": "Default"},
	"default_text_search_config":          {"other": "pg_catalog.german", "low": "pg_catalog.simple", "high": "pg_catalog.english"},
	"restrict_nonsystem_relation_kind":    {"other": "view", "low": "foreign-table", "high": "view, foreign-table"},
	"statement_timeout":                   {"other": "20s", "low": "1min", "high": "0"},
	"lock_timeout":                        {"other": "1", "low": "10", "high": "0"},
	"idle_session_timeout":                {"other": "2s", "low": "10s", "high": "0"},
	"transaction_timeout":                 {"other": "20s", "low": "10s", "high": "0"},
	"idle_in_transaction_session_timeout": {"other": "2s", "low": "10s", "high": "0"},
	// Only the database administrator changes it: see TestReadOnly.
	"default_transaction_read_only": {},
	// They are those of a transaction.
	"transaction_read_only": {}, "transaction_isolation": {}, "transaction_deferrable": {},
	// They print every statement.
	"debug_print_parse": {}, "debug_print_plan": {}, "debug_print_rewritten": {}, "debug_print_raw_parse": {},
	"trace_sort": {}, "trace_locks": {}, "trace_notify": {},
	// They start a process for every statement.
	"force_parallel_mode": {}, "debug_parallel_query": {},
}

// hostile returns a value for every setting that a database, a role or a URL may bring to a
// session: another one than the default, the lowest or the highest.
func hostile(t *testing.T, conn *pgx.Conn, kind string) map[string]string {
	t.Helper()
	//nolint:rowserrcheck // ForEachRow returns it
	rows, err := conn.Query(context.Background(), `SELECT name, vartype, coalesce(boot_val, ''), coalesce(min_val, ''), coalesce(max_val, ''),
		coalesce(enumvals, '{}') FROM pg_settings WHERE context = 'user'`)
	if err != nil {
		t.Fatal(err)
	}
	settings := make(map[string]string)
	var name, vartype, normal, low, high string
	var values []string
	_, err = pgx.ForEachRow(rows, []any{&name, &vartype, &normal, &low, &high, &values}, func() error {
		value := map[string]string{"low": low, "high": high}[kind]
		switch by, ok := special[name]; {
		case ok:
			value = by[kind]
		case vartype == "bool" && kind == "other":
			value = map[string]string{"on": "off", "off": "on"}[normal]
		case vartype == "enum":
			at := slices.Index(values, normal)
			value = values[(at+slices.Index([]string{"other", "low", "high"}, kind)+1)%len(values)]
		}
		if value != "" && value != normal {
			settings[name] = value
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(settings) < 20 {
		t.Fatalf("only %d settings", len(settings))
	}
	return settings
}

// at returns the address of a database of the server, for that user or the one in the address.
func at(t *testing.T, server, database, user, password string) string {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + database
	if user != "" {
		u.User = url.UserPassword(user, password)
	}
	return u.String()
}
