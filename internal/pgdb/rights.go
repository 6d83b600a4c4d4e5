package pgdb

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"

	"internaltransfers/docs"
	"internaltransfers/gen/db"
)

// roleWriter is the name in docs/roles.sql of the role that serves.
const roleWriter = "ledger_writer"

// A right is one thing that a role is granted by docs/roles.sql.
type right struct {
	privilege string // such as SELECT
	kind      string // SCHEMA, SEQUENCE, FUNCTION, COLUMN; else it is a table or a view
	object    string // its name; of a column that of its table, of the schema empty
	column    string
}

var (
	comment = regexp.MustCompile(`--.*`)
	grant   = regexp.MustCompile(`GRANT (\w+)(?: \(([^)]*)\))?\s+ON (SCHEMA |SEQUENCE |FUNCTION |)([^;]*?)\s+TO ([^;]*);`)
)

var (
	// writerRights are all that a server needs.
	writerRights = rightsOf(roleWriter)
	// anyRights are what every role needs before anything else.
	anyRights = []right{{privilege: "USAGE", kind: "SCHEMA"}}
)

// rightsOf reads what docs/roles.sql grants to a role. A test compares it with what PostgreSQL
// reads there.
func rightsOf(role string) (rights []right) {
	for _, g := range grant.FindAllStringSubmatch(comment.ReplaceAllString(docs.Roles, ""), -1) {
		privilege, columns, kind, objects, roles := g[1], g[2], strings.TrimSpace(g[3]), names(g[4]), names(g[5])
		for _, to := range roles {
			if to != role {
				continue
			}
			for _, object := range objects {
				r := right{privilege: privilege, kind: kind, object: object}
				switch {
				case kind == "SCHEMA":
					r.object = ""
					rights = append(rights, r)
				case columns == "":
					rights = append(rights, r)
				default:
					r.kind = "COLUMN"
					for _, r.column = range names(columns) {
						rights = append(rights, r)
					}
				}
			}
		}
	}
	return rights
}

// names splits a list with commas.
func names(list string) []string {
	parts := strings.Split(list, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// String names the right as a sentence does: UPDATE of account.balance.
func (r *right) String() string {
	switch r.kind {
	case "COLUMN":
		return fmt.Sprintf("%s of %s.%s", r.privilege, r.object, r.column)
	case "SCHEMA":
		return r.privilege + " of the schema"
	default:
		return fmt.Sprintf("%s on %s", r.privilege, r.object)
	}
}

// grantTo is the statement that gives the right to a role.
func (r *right) grantTo(role, schema string) string {
	return "GRANT " + r.in(schema) + " TO " + pgx.Identifier{role}.Sanitize()
}

// in is what GRANT and REVOKE call the right.
func (r *right) in(schema string) string {
	privilege, object := r.privilege, pgx.Identifier{schema, r.object}.Sanitize()
	switch r.kind {
	case "COLUMN":
		privilege += " (" + r.column + ")"
	case "SCHEMA":
		object = "SCHEMA " + pgx.Identifier{schema}.Sanitize()
	case "SEQUENCE", "FUNCTION":
		object = r.kind + " " + object
	}
	return privilege + " ON " + object
}

// verifyRowSecurity refuses a ledger of which policies hide rows: its statements would fail.
func (d *Database) verifyRowSecurity(ctx context.Context, conn *pgx.Conn) error {
	tables, err := db.New().RowSecurityTables(ctx, conn, d.schema)
	if err != nil {
		return fmt.Errorf("look for row-level security: %w", err)
	}
	if len(tables) == 0 {
		return nil
	}
	found := fmt.Sprintf("row-level security hides rows of the table %s from role %s", tables[0], d.facts.Role)
	if len(tables) > 1 {
		found += fmt.Sprintf(", and of %d other tables", len(tables)-1)
	}
	return &RefusedError{
		Found: found, Wanted: "a ledger whose every row the role sees",
		Fix: "Run: ALTER TABLE " + pgx.Identifier{d.schema, tables[0]}.Sanitize() + " DISABLE ROW LEVEL SECURITY",
	}
}

// verifyTables refuses to serve a ledger whose tables lose what is written to them.
func (d *Database) verifyTables(ctx context.Context, conn *pgx.Conn) error {
	meddled, err := db.New().SchemaMeddled(ctx, conn, d.schema)
	if err != nil {
		return fmt.Errorf("look at the tables: %w", err)
	}
	if len(meddled) == 0 {
		return nil
	}
	return &RefusedError{
		Found: meddled[0].Found, Wanted: "the tables as migrate makes them", Fix: "Run: " + meddled[0].Fix,
	}
}

// verifyRights refuses a role that may not do what the use wants, and notes what else it may do
// than a server does.
func (d *Database) verifyRights(ctx context.Context, conn *pgx.Conn) error {
	rights, serves := anyRights, d.use == Reading || d.use == Writing
	if serves {
		rights = writerRights
	}
	queries := db.New()
	missing := db.RightsMissingParams{Schema: d.schema}
	more := db.RoleExcessParams{Schema: d.schema}
	for i := range rights {
		r := &rights[i]
		missing.Ordinals = append(missing.Ordinals, int32(i))
		missing.Privileges = append(missing.Privileges, r.privilege)
		missing.Kinds = append(missing.Kinds, r.kind)
		missing.Objects = append(missing.Objects, r.object)
		missing.Columns = append(missing.Columns, r.column)
		more.Privileges = append(more.Privileges, r.privilege)
		more.Objects = append(more.Objects, r.object)
		more.Columns = append(more.Columns, r.column)
	}
	ordinals, err := queries.RightsMissing(ctx, conn, missing)
	if err != nil {
		return fmt.Errorf("look at the rights of the role: %w", err)
	}
	if err := d.verifyRowSecurity(ctx, conn); err != nil {
		return err
	}
	if serves {
		if err := d.verifyTables(ctx, conn); err != nil {
			return err
		}
	}
	if len(ordinals) > 0 {
		first := &rights[ordinals[0]]
		found := fmt.Sprintf("role %s lacks %s", d.facts.Role, first)
		if len(ordinals) > 1 {
			found += fmt.Sprintf(", and %d other rights", len(ordinals)-1)
		}
		return &RefusedError{
			Found:  found,
			Wanted: "what docs/roles.sql grants",
			Fix:    "Apply docs/roles.sql, or run: " + first.grantTo(d.facts.Role, d.schema),
		}
	}
	if serves || d.use == Proving {
		if err := d.RequireParts(ctx, conn); err != nil {
			return err
		}
	}
	if serves {
		if d.excess, err = queries.RoleExcess(ctx, conn, more); err != nil {
			return fmt.Errorf("look at the rights of the role: %w", err)
		}
	}
	return nil
}

// Excess says what the role is or may do beyond what a server needs, such as "may DELETE on
// account". It is empty when there is nothing, and for other uses than Reading and Writing.
func (d *Database) Excess() string { return d.excess }

// Role is the name of the role that the sessions have.
func (d *Database) Role() string { return d.facts.Role }
