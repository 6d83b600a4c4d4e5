package pgdb

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"internaltransfers/gen/db"
	"internaltransfers/migrations"
)

// partsText lists what the newest migration leaves: a part a line, with tabs between its fields. It
// is made anew after a new migration: go test ./internal/pgdb -run TestSchemaFile -update
//
//go:embed schema.txt
var partsText string

// The kinds of parts.
const (
	partRelation    = "relation"
	partColumn      = "column"
	partConstraint  = "constraint"
	partUniqueIndex = "unique index"
	partFunction    = "function"
)

// A part is one thing that the migrations make. What was lost in a restore, or dropped by hand, is
// found by comparing a schema with all parts.
type part struct {
	kind      string // as SchemaMissing names it
	relation  string // that it belongs to; empty: a function
	name      string // empty: the relation itself
	shape     string // as SchemaMissing spells it
	statement string // makes it; {schema} stands for the schema; empty: there is none
}

type partKey struct{ kind, relation, name string }

func (p *part) key() partKey { return partKey{p.kind, p.relation, p.name} }

// allParts are the parts in the order in which they can be made.
var allParts = sync.OnceValue(func() (parts []part) {
	for line := range strings.Lines(partsText) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		parts = append(parts, part{kind: f[0], relation: f[1], name: f[2], shape: f[3], statement: f[4]})
	}
	return parts
})

// ownParts are all parts by what they are called.
var ownParts = sync.OnceValue(func() map[partKey]bool {
	own := make(map[partKey]bool)
	for _, p := range allParts() {
		own[p.key()] = true
	}
	return own
})

// found says that the part is missing, or that another one has its name.
func (p *part) found(isOther bool) string {
	switch {
	case p.kind == partRelation && isOther:
		return fmt.Sprintf("%s is not a %s", p.relation, p.relationKind())
	case p.kind == partRelation:
		return fmt.Sprintf("the ledger lacks the %s %s", p.relationKind(), p.relation)
	case p.kind == partFunction:
		return fmt.Sprintf("the ledger lacks the function %s", p.name)
	case isOther:
		return fmt.Sprintf("the %s %s of the table %s is not as migrate makes it", p.kind, p.name, p.relation)
	default:
		return fmt.Sprintf("the table %s lacks the %s %s", p.relation, p.kind, p.name)
	}
}

func (p *part) relationKind() string {
	if p.shape == "v" {
		return "view"
	}
	return "table"
}

// statementsMost is how many statements a refusal shows. Where more are needed, most of a backup
// was left out.
const statementsMost = 5

// RequireParts refuses a ledger of this program's version that lacks what the migrations make. A
// ledger without a key applies a transfer twice, and one without a trigger loses events.
func (d *Database) RequireParts(ctx context.Context, conn db.DBTX) error {
	all := allParts()
	wanted := db.SchemaMissingParams{Schema: d.schema}
	for i := range all {
		p := &all[i]
		wanted.Kinds = append(wanted.Kinds, p.kind)
		wanted.Relations = append(wanted.Relations, p.relation)
		wanted.Names = append(wanted.Names, p.name)
		wanted.Shapes = append(wanted.Shapes, p.shape)
	}
	rows, err := db.New().SchemaMissing(ctx, conn, wanted)
	if err != nil {
		return fmt.Errorf("compare the schema with the migrations: %w", err)
	}
	if len(rows) == 0 {
		return nil
	}
	version, err := migrations.VersionIn(ctx, conn, d.schema)
	if err != nil {
		return d.Explain(err)
	}
	if version != migrations.Newest() {
		return nil // whoever needs the newest version asks for it
	}
	return d.refuseMissing(rows)
}

// refuseMissing returns the refusal of a ledger that lacks these parts.
func (d *Database) refuseMissing(rows []db.SchemaMissingRow) error {
	isOther := make(map[partKey]bool)
	for _, r := range rows {
		isOther[partKey{r.Kind, r.Relation, r.Name}] = r.IsOther
	}
	refused := &RefusedError{Wanted: "the tables as migrate makes them"}
	var statements []string
	n, dropFirst, byHand := 0, false, false
	all := allParts()
	for i := range all {
		p := &all[i]
		other, missing := isOther[p.key()]
		if _, gone := isOther[partKey{partRelation, p.relation, ""}]; !missing || (gone && p.kind != partRelation) {
			continue // what a missing table should have is missing with it
		}
		if n++; n == 1 {
			refused.Found = p.found(other)
		}
		dropFirst = dropFirst || other
		byHand = byHand || p.statement == ""
		statements = append(statements, strings.ReplaceAll(p.statement, "{schema}", pgx.Identifier{d.schema}.Sanitize()))
	}
	if n > 1 {
		refused.Found += fmt.Sprintf(", and %d other parts are missing", n-1)
	}
	switch {
	case byHand:
		refused.Fix = "Restore a whole backup, or make what is missing as the files in migrations/ do."
	case n > statementsMost:
		refused.Fix = "Restore a backup with all its sections (pg_restore --section=post-data has the keys and triggers). " +
			"The first of the statements is: " + statements[0]
	case dropFirst:
		refused.Fix = "Drop what has its name, then run: " + strings.Join(statements, "; ")
	default:
		refused.Fix = "Run: " + strings.Join(statements, "; ")
	}
	return refused
}
