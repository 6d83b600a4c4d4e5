package archive

import "slices"

// A table of the ledger, and how it is copied.
type table struct {
	name string
	// order sorts its rows in the file. It is unique, so one ledger always makes the same file.
	order string
	// fresh is the condition of the rows that an empty ledger has too. Import replaces them. Empty:
	// an empty ledger has none.
	fresh string
	// copied is the condition of the rows that are copied. Where there is one, import leaves the
	// others as they are. Empty: all are copied, and replace what is there.
	copied string
	// valid is a condition of every row without which the service cannot work, and which no
	// constraint of the table has. Empty: there is none.
	valid string
	// webhook marks what Options.Webhooks is about. Its rows have secrets.
	webhook bool
	// rowMax is the greatest length of a row in the file. 0: rowBytesMax.
	rowMax int
}

const (
	// rowBytesMax bounds what the database must keep of a row until it ends. The longest that the
	// service writes has 50 pairs of metadata of 564 characters, of up to 7 bytes each.
	rowBytesMax = 4 << 20
	// checkpointBytesMax is for the one row that lists all transfers which were INIT, 37 bytes
	// each. It is what PostgreSQL can keep in a value at most.
	checkpointBytesMax = 1 << 30

	texts     = `jsonb_typeof(metadata) = 'object' AND NOT jsonb_path_exists(metadata, '$.* ? (@.type() != "string")')`
	positions = `position BETWEEN 1 AND 4611686018427387903` // half of the sequence is left
)

// tables are all tables of the ledger but that of the migrations and api_key, each after those it
// refers to. A table that a migration adds goes where its references allow; the others keep their
// order, which files have. The keys of callers are good for one deployment: a copy gets its own.
var tables = []table{
	{name: "currency", order: `code COLLATE "C"`, fresh: "code IN ('USD', 'EUR', 'GBP', 'JPY', 'BTC', 'ETH')"},
	{name: "account", order: "create_time, account_id", fresh: "is_equity AND version = 1", valid: texts},
	{name: "transfer", order: "position", valid: positions + " AND " + texts},
	{name: "transfer_detail", order: "transfer_id"},
	{name: "transfer_group", order: "group_id"},
	{name: "transfer_change", order: "position", valid: positions},
	{name: "account_change", order: "position", fresh: "opened", valid: positions},
	{name: "schedule", order: "create_time, schedule_id", valid: texts},
	// What was proved of the rows is true of the same rows elsewhere.
	{name: "checkpoint", order: "checkpoint_id", fresh: "true", rowMax: checkpointBytesMax},
	{name: "account_checkpoint", order: "account_id", fresh: "true"},
	{name: "last_proof", order: "proof_id", fresh: "true"},
	// The key of page tokens is a secret, and what it signs is worth nothing a minute later: each
	// ledger keeps its own.
	{
		name: "setting", order: `name COLLATE "C"`, fresh: "name = 'page_token_key'",
		copied: "name <> 'page_token_key'",
	},
	{name: "webhook_endpoint", order: "create_time, endpoint_id", webhook: true},
	{name: "webhook_delivery", order: "endpoint_id, position", webhook: true},
}

// versionTable is goose's, with the versions of the schema that were applied.
const versionTable = "goose_db_version"

func (t *table) longestRow() int {
	if t.rowMax > 0 {
		return t.rowMax
	}
	return rowBytesMax
}

// namesOf returns the names of tables.
func namesOf(ts []table) []string {
	names := make([]string, 0, len(ts))
	for i := range ts {
		names = append(names, ts[i].name)
	}
	return names
}

// placeOf returns the index of the table with the name; -1: there is none.
func placeOf(name string) int {
	return slices.IndexFunc(tables, func(t table) bool { return t.name == name })
}
