package archive_test

import (
	"archive/tar"
	"fmt"
	"strings"
	"testing"

	"internaltransfers/internal/archive"
)

// A target is a database that imports must leave as it is.
type target struct {
	url    string
	before string
	secret string // that no error tells
}

func newTarget(t testing.TB, original string) *target {
	t.Helper()
	target := &target{
		url: newDatabase(t), secret: texts(t, original, "SELECT encode(secret, 'hex') FROM webhook_endpoint")[0],
	}
	target.before = target.state(t)
	return target
}

// state is all that an import could have changed.
func (g *target) state(t testing.TB) string {
	t.Helper()
	conn := connect(t, g.url)
	triggers := column(t, conn, `SELECT format('%s %s %s', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger ORDER BY 1`)
	sequence := column(t, conn, `SELECT format('%s %s', last_value, is_called) FROM transfer_position_seq`)
	indexes := column(t, conn, `SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema() ORDER BY 1`)
	return fmt.Sprint(contents(t, g.url), triggers, indexes, sequence)
}

// requireRefused fails unless the import of a file fails, says why, and has changed nothing.
func (g *target) requireRefused(t testing.TB, file []byte, want string) {
	t.Helper()
	err := tryImport(file, g.url, true)
	switch {
	case err == nil:
		t.Fatal("the file was imported")
	case !strings.Contains(err.Error(), want):
		t.Errorf("error %q, want one with %q", err, want)
	case strings.Contains(err.Error(), g.secret), strings.Contains(err.Error(), g.secret[:16]):
		t.Errorf("the error tells a secret: %v", err)
	case len(err.Error()) > 1000:
		t.Errorf("the error has %d bytes", len(err.Error()))
	}
	if after := g.state(t); after != g.before {
		t.Errorf("the database was %s, and is %s", g.before, after)
		g.before = after
	}
}

// TestHostileFiles: whatever is in a file, it is imported whole or not at all.
func TestHostileFiles(t *testing.T) {
	t.Parallel()
	original := small(t)
	file := exported(t, original, true)
	target := newTarget(t, original)
	for _, c := range hostileFiles {
		t.Run(c.name, func(t *testing.T) {
			f := unpack(t, file)
			c.change(f)
			if c.sealed {
				f.seal(t)
			}
			target.requireRefused(t, f.pack(t), c.want)
		})
	}
	if err := tryImport(file, target.url, true); err != nil {
		t.Errorf("the file itself: %v", err)
	}
	requireSameRows(t, contents(t, target.url), contents(t, original))
}

// replace changes the first of a text in a member that has it.
func replace(name, old, by string) func(*content) {
	return func(c *content) {
		m := c.at(name)
		if !strings.Contains(m.text, old) {
			panic(name + " has no " + old)
		}
		m.text = strings.Replace(m.text, old, by, 1)
	}
}

func insert(at int, m member) func(*content) {
	return func(c *content) {
		if at < 0 {
			at += len(c.members) + 1
		}
		c.members = append(c.members[:at:at], append([]member{m}, c.members[at:]...)...)
	}
}

// cell changes a column of the first row of a table.
func cell(table string, column int, by string) func(*content) {
	return func(c *content) {
		m := c.at(table + "/000001.tsv")
		row, rest, _ := strings.Cut(m.text, "\n")
		cells := strings.Split(row, "\t")
		cells[column] = by
		m.text = strings.Join(cells, "\t") + "\n" + rest
	}
}

// value changes a column of the first row by its name.
func value(table, name string) func(by string) func(*content) {
	return func(by string) func(*content) {
		return func(c *content) {
			_, after, _ := strings.Cut(c.at("manifest.json").text, `"name": "`+table+`"`)
			before, _, found := strings.Cut(after, `"name": "`+name+`"`)
			if !found {
				panic(table + " has no " + name)
			}
			cell(table, strings.Count(before, `"name"`), by)(c)
		}
	}
}

func both(changes ...func(*content)) func(*content) {
	return func(c *content) {
		for _, change := range changes {
			change(c)
		}
	}
}

func without(table string) func(*content) {
	return func(c *content) {
		m := c.at(table + "/000001.tsv")
		_, m.text, _ = strings.Cut(m.text, "\n")
	}
}

var hostileFiles = []struct {
	name   string
	change func(*content)
	sealed bool // its checksums are right
	want   string
}{
	{"nothing in it", func(c *content) { c.members = nil }, false, "unexpected EOF"},
	{"no manifest", func(c *content) { c.members = c.members[1:] }, false, "where manifest.json must be"},
	{"another file first", insert(0, member{"../../etc/passwd", "root", tar.TypeReg}), false, `"../../etc/passwd" where manifest.json must be`},
	{"a path out of here", insert(2, member{"../../etc/passwd", "root", tar.TypeReg}), false, `"../../etc/passwd" where checksums.json must be`},
	{"an absolute path", insert(-2, member{"/etc/passwd", "root", tar.TypeReg}), false, `"/etc/passwd" where checksums.json must be`},
	{"a link", insert(2, member{"currency/000002.tsv", "/etc/passwd", tar.TypeSymlink}), false, "no plain file"},
	{"a directory", insert(1, member{"currency/", "", tar.TypeDir}), false, "no plain file"},
	{"a name of 100 KB", insert(1, member{strings.Repeat("a/", 50_000) + "a", "", tar.TypeReg}), false, "no plain file"},
	{"parts out of order", insert(1, member{"currency/000002.tsv", "", tar.TypeReg}), false, `"currency/000002.tsv" where`},
	{"a part of no table", insert(2, member{"nothing/000001.tsv", "", tar.TypeReg}), false, `"nothing/000001.tsv" where`},
	{"something after the end", insert(-1, member{"more", "", tar.TypeReg}), false, "something follows checksums.json"},
	{"no end", func(c *content) { c.members = c.members[:len(c.members)-1] }, false, "unexpected EOF"},
	{"a part that is too large", insert(2, member{"currency/000002.tsv", strings.Repeat("\n", 4<<20+1), tar.TypeReg}), false, "more than 4194304"},
	{"a manifest that is too large", replace("manifest.json", "{", strings.Repeat(" ", 1<<20)+"{"), false, "more than 1048576"},
	{"a manifest that is no JSON", replace("manifest.json", "{", "{{"), false, "manifest.json: invalid character"},
	{"two manifests in one", replace("manifest.json", "]\n}", "]\n}{}"), false, "manifest.json: something follows"},
	{"a field that is not known", replace("manifest.json", `"format"`, `"run": "rm", "format"`), false, `manifest.json: json: unknown field "run"`},
	{"another format", replace("manifest.json", "internaltransfers ledger", "zip"), true, `the format "zip"`},
	{"a newer format", replace("manifest.json", `"format_version": 1`, `"format_version": 2`), true, "version 2 of its format"},
	{"a newer schema", replace("manifest.json", `"schema_version": `, `"schema_version": 9`), true, "use a newer program"},
	{"no schema", replace("manifest.json", `"schema_version": `, `"schema_version": -`), true, "which there never was"},
	{"a table that is not known", replace("manifest.json", `"name": "transfer"`, `"name": "pg_authid"`), false, `a table "pg_authid", which this program does not know`},
	{"a table twice", replace("manifest.json", `"name": "transfer"`, `"name": "account"`), false, "table account twice"},
	{"another order", replace("manifest.json", `"name": "transfer"`, `"name": "schedule"`), false, "table transfer_detail twice, or not in its order"},
	{"a column that is not known", replace("manifest.json", `"name": "balance"`, `"name": "x\"; DROP TABLE account; --"`), true, `a column "x\"; DROP TABLE account; --" of table account`},
	{"a column twice", replace("manifest.json", `"name": "held"`, `"name": "balance"`), true, `a column "balance" of table account twice`},
	{"a column of another type", replace("manifest.json", `"type": "numeric"`, `"type": "text"`), true, `column balance of table account is "text" in the file and "numeric" in the database`},
	{"a changed manifest", replace("manifest.json", `"server_version": "`, `"server_version": "1`), false, "manifest.json is not as it was written"},
	{"a changed row", replace("account/000001.tsv", "Ann", "Eve"), false, "table account is not as it was written"},
	{"a missing row", without("account_change"), false, "table account_change is not as it was written"},
	{"checksums that are no JSON", replace("checksums.json", "{", ""), false, "checksums.json: "},
	{"checksums of other tables", replace("checksums.json", `"name": "account"`, `"name": "x"`), false, `"x"`},

	{"a cell too few", replace("transfer_group/000001.tsv", "\t", ""), true, "table transfer_group, line 1, column group_id: ERROR: invalid input syntax"},
	{"a cell too many", replace("currency/000001.tsv", "\n", "\t1\n"), true, "table currency, line 1: ERROR: extra data after last expected column"},
	{"no UUID", cell("account", 0, "1"), true, "table account, line 1, column account_id: ERROR: invalid input syntax for type uuid"},
	{"no number", value("account", "balance")("1e"), true, "column balance: ERROR: invalid input syntax for type numeric"},
	{"not a number", value("account", "balance")("NaN"), true, `violates check constraint "account_amounts_finite"`},
	{"no time", value("transfer", "create_time")("x"), true, "table transfer, line 1, column create_time"},
	{"no JSON", value("transfer", "metadata")("{"), true, "table transfer, line 1, column metadata"},
	{"no UTF-8", value("transfer", "reference")("\xff"), true, "table transfer, line 1: ERROR: invalid byte sequence"},
	{"a null character", value("transfer", "reference")("\x00"), true, "invalid byte sequence"},
	{"no value", value("transfer", "amount")(`\N`), true, `null value in column "amount"`},
	{"an early end", replace("transfer/000001.tsv", "\n", "\n\\.\n"), true, "table transfer"},
	{"a row that does not end", func(c *content) {
		m := c.at("schedule/000001.tsv")
		m.text = strings.TrimSuffix(m.text, "\n")
	}, true, "table schedule, line 1: the row does not end"},
	{"a row of 5 MB", both(
		insert(2, member{"currency/000002.tsv", strings.Repeat("a", 4<<20), tar.TypeReg}),
		insert(3, member{"currency/000003.tsv", strings.Repeat("a", 1<<20), tar.TypeReg})),
		true, "table currency, line 7: the row has more than 4194304 bytes"},
}

// TestForgedLedgers: a file that is right as a file, and no sound ledger.
func TestForgedLedgers(t *testing.T) {
	t.Parallel()
	original := small(t)
	file := exported(t, original, true)
	target := newTarget(t, original)
	a, b := id("a"), id("b")
	for _, c := range []struct {
		name   string
		change func(*content)
		want   string
	}{
		{"money out of nothing", replace("account/000001.tsv", a+"\tUSD\t", a+"\tUSD\t9"), archive.ErrBroken.Error()},
		{"a transfer lost", without("transfer"), archive.ErrBroken.Error()},
		{"a transfer twice", func(c *content) {
			m := c.at("transfer/000001.tsv")
			first, _, _ := strings.Cut(m.text, "\n")
			m.text += first + "\n"
		}, `duplicate key value violates unique constraint "transfer_pkey"`},
		{"an account lost", func(c *content) {
			m := c.at("account/000001.tsv")
			before, after, _ := strings.Cut(m.text, b)
			_, after, _ = strings.Cut(after, "\n")
			m.text = before[:strings.LastIndex(before, "\n")+1] + after
		}, `table schedule: ERROR: insert or update on table "schedule" violates foreign key constraint "schedule_to_account_fkey"`},
		{"a detail of no transfer", replace("transfer_detail/000001.tsv", id("h1"), id("nothing")), "transfer_detail_transfer_fkey"},
		{"a refund forgotten", replace("transfer_detail/000001.tsv", "50\t\\N\t\\N\t\\N\t\\N\t\\N", "\\N\t\\N\t\\N\t\\N\t\\N\t\\N"), archive.ErrBroken.Error()},
		{"a currency of no account", replace("currency/000001.tsv", "fcc612ef", "fcc612ee"), "currency_equity_account_fkey"},
		{"a position before the first", value("transfer", "position")("0"), "table transfer has a row that the service cannot read"},
		{"no position is left", value("account_change", "position")("9223372036854775807"), "table account_change has a row that"},
		{"a time that never comes", value("transfer", "update_time")("infinity"), "table transfer has a row that"},
		{"a time in the year 10000", value("account", "create_time")("10000-01-01 00:00:00+00"), "table account has a row that"},
		{"metadata that is no text", value("transfer", "metadata")(`{"a": 1}`), "table transfer has a row that"},
		{"metadata that is a list", value("account", "metadata")(`[]`), "table account has a row that"},
		{"the key of page tokens", func(c *content) {
			insert(len(c.members)-2, member{"setting/000001.tsv", "page_token_key\t\\\\x00\n", tar.TypeReg})(c)
		}, `table setting, line 1: ERROR: duplicate key value violates unique constraint "setting_pkey"`},
		{"no secret", value("webhook_endpoint", "secret")(`\\xzz`), "table webhook_endpoint, line 1, column secret: the database refused it (SQLSTATE 22023)"},
		{"a secret in the wrong place", func(c *content) {
			value("webhook_endpoint", "endpoint_id")(target.secret)(c)
		}, "table webhook_endpoint, line 1, column endpoint_id: the database refused it (SQLSTATE 22P02)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := unpack(t, file)
			c.change(f)
			f.seal(t)
			target.requireRefused(t, f.pack(t), c.want)
		})
	}
}
