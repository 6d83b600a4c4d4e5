package localpg

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// makeRoles makes the roles, and makes the superuser's sessions find the ledger's tables. A start
// does not wait for a standby, which may be away.
const makeRoles = `
SET synchronous_commit = local;
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['` + Owner + `', '` + Writer + `', '` + Reader + `'] LOOP
        IF to_regrole(role) IS NULL THEN
            EXECUTE format('CREATE ROLE %I', role);
        END IF;
    END LOOP;
END
$$;
ALTER ROLE ` + Superuser + ` SET search_path = ledger, public;
REVOKE ALL ON DATABASE ` + Database + ` FROM PUBLIC;
GRANT CONNECT ON DATABASE ` + Database + ` TO ` + Owner + `, ` + Writer + `, ` + Reader + `;`

// handOver gives the owner the ledgers that the superuser made before there were roles.
const handOver = `
DO $$
DECLARE
    ledgers oid[] := ARRAY(SELECT relnamespace FROM pg_class WHERE relname = 'goose_db_version' AND relkind = 'r');
    statement text;
BEGIN
    FOR statement IN
        SELECT format('ALTER TABLE %s OWNER TO ` + Owner + `', c.oid::regclass)
        FROM pg_class AS c
        WHERE c.relnamespace = ANY (ledgers) AND c.relkind IN ('r', 'v') AND c.relowner = '` + Superuser + `'::regrole
        UNION ALL
        SELECT format('ALTER FUNCTION %s OWNER TO ` + Owner + `', p.oid::regprocedure)
        FROM pg_proc AS p
        WHERE p.pronamespace = ANY (ledgers) AND p.proowner = '` + Superuser + `'::regrole
        UNION ALL
        SELECT format('ALTER SCHEMA %s OWNER TO ` + Owner + `', n.oid::regnamespace)
        FROM pg_namespace AS n
        WHERE n.oid = ANY (ledgers) AND n.nspowner = '` + Superuser + `'::regrole
    LOOP
        EXECUTE statement;
    END LOOP;
END
$$;`

// passwordOf returns the password of a role. The superuser's cannot be derived from it.
func (d *dataDir) passwordOf(role string) string {
	if role == Superuser {
		return d.password
	}
	mac := hmac.New(sha256.New, []byte(d.password))
	mac.Write([]byte(role))
	return hex.EncodeToString(mac.Sum(nil))
}

// prepare logs in, makes what is missing of the service's database and of the roles unless the
// cluster is to stay as it is, and returns the server's version. A standby has what its primary
// has.
func (d *dataDir) prepare(ctx context.Context, port int, existing bool) (version string, err error) {
	conn, err := pgx.Connect(ctx, d.url(Database, Superuser, port, d.hasSocket()))
	var refused *pgconn.PgError
	const invalidCatalogName = "3D000"
	if errors.As(err, &refused) && refused.Code == invalidCatalogName {
		if existing {
			return "", fmt.Errorf("%w with the database %s in %s", ErrNoCluster, Database, d.path)
		}
		conn, err = d.createDatabase(ctx, port)
	}
	if err != nil {
		return "", fmt.Errorf("PostgreSQL started, but logging in failed: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	version = conn.PgConn().ParameterStatus("server_version")
	if existing {
		return version, d.requireRoles(ctx, conn)
	}
	if conn.PgConn().ParameterStatus("in_hot_standby") == "on" {
		return version, nil
	}
	statements := makeRoles
	for _, role := range []string{Owner, Writer, Reader} {
		// The password has hexadecimal digits only.
		statements += fmt.Sprintf("\nALTER ROLE %s LOGIN PASSWORD '%s';", role, d.passwordOf(role))
	}
	if _, err := conn.Exec(ctx, statements+handOver); err != nil {
		return "", fmt.Errorf("make the roles: %w", err)
	}
	return version, nil
}

// requireRoles fails when an earlier version of this program, without roles, has made the cluster.
func (d *dataDir) requireRoles(ctx context.Context, conn *pgx.Conn) error {
	var found bool
	err := conn.QueryRow(ctx, "SELECT count(*) = 3 FROM pg_roles WHERE rolname = ANY ($1)", []string{Owner, Writer, Reader}).Scan(&found)
	if err == nil && !found {
		err = fmt.Errorf("the cluster in %s was made by an earlier version of this program: run serve or migrate on it once", d.path)
	}
	return err
}

// createDatabase creates the service's database and returns a connection to it.
func (d *dataDir) createDatabase(ctx context.Context, port int) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, d.url("postgres", Superuser, port, d.hasSocket()))
	if err != nil {
		return nil, err
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+Database)
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		return nil, err
	}
	return pgx.Connect(ctx, d.url(Database, Superuser, port, d.hasSocket()))
}
