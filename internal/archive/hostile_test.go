package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"internaltransfers/internal/archive"
)

// A target is a database that imports must leave as it is.
type target struct {
	url    string
	before string
	secret string // that is in no error
}

func newTarget(t testing.TB) *target {
	t.Helper()
	target := &target{url: newDatabase(t), secret: sampleLedger(t).secret}
	target.before = target.state(t)
	return target
}

// state is all that an import could have changed.
func (g *target) state(t testing.TB) string {
	t.Helper()
	sequence := texts(t, g.url, `SELECT format('%s %s', last_value, is_called) FROM transfer_position_seq`)
	return fmt.Sprint(contents(t, g.url), schema(t, g.url), sequence)
}

// schema is what an import takes from the tables and gives back.
func schema(t testing.TB, url string) string {
	t.Helper()
	return strings.Join(texts(t, url, `
		SELECT format('%s %s %s', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger WHERE NOT tgisinternal
		UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema()
		UNION ALL SELECT format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
		ORDER BY 1`), "\n")
}

// requireRefused fails unless the import of a file fails and says why.
func (g *target) requireRefused(t testing.TB, file []byte, want string) {
	t.Helper()
	g.requireError(t, tryImport(file, g.url, true), want)
}

func (g *target) requireError(t testing.TB, err error, want string) {
	t.Helper()
	switch {
	case err == nil:
		t.Fatal("the file was taken")
	case !strings.Contains(err.Error(), want):
		t.Errorf("error %q, want one with %q", err, want)
	case strings.Contains(err.Error(), g.secret), strings.Contains(err.Error(), g.secret[:16]):
		t.Errorf("the error tells a secret: %v", err)
	case len(err.Error()) > 1000:
		t.Errorf("the error has %d bytes", len(err.Error()))
	}
}

func (g *target) requireUnchanged(t testing.TB) {
	t.Helper()
	if after := g.state(t); after != g.before {
		t.Errorf("the database was %s, and is %s", g.before, after)
	}
}

// TestHostileFiles: whatever is in a file, it is imported whole or not at all.
func TestHostileFiles(t *testing.T) {
	t.Parallel()
	original := sampleLedger(t)
	target := newTarget(t)
	for _, c := range hostileFiles {
		t.Run(c.name, func(t *testing.T) {
			f := unpack(t, original.file)
			c.change(f)
			_, err := archive.Read(bytes.NewReader(f.pack(t)))
			target.requireError(t, err, c.want)
		})
	}
	for _, c := range hostileRows {
		t.Run(c.name, func(t *testing.T) {
			f := unpack(t, original.file)
			c.change(f)
			f.seal(t)
			target.requireRefused(t, f.pack(t), c.want)
		})
	}
	for at, damaged := range map[string][]byte{
		"in the middle": original.file[:len(original.file)/2], "before the last byte": original.file[:len(original.file)-1],
		"nowhere": append(bytes.Clone(original.file), original.file...),
	} {
		t.Run("cut off "+at, func(t *testing.T) { target.requireRefused(t, damaged, "import: ") })
	}
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		_, err := archive.Import(ctx, bytes.NewReader(original.file), archive.Options{DatabaseURL: target.url, Progress: func(text string) {
			if strings.HasPrefix(text, "schedule ") {
				cancel()
			}
		}}, silent)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("import: %v", err)
		}
	})
	t.Run("of an older schema", func(t *testing.T) {
		target.requireRefused(t, olderStill(t, func(*content) {}), "give a new database")
	})
	target.requireUnchanged(t)
	before := schema(t, target.url)
	if err := tryImport(original.file, target.url, true); err != nil {
		t.Errorf("the file itself: %v", err)
	}
	if after := schema(t, target.url); after != before {
		t.Errorf("the schema was\n%s, and is\n%s", before, after)
	}
	requireSameRows(t, contents(t, target.url), original.rows)
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

// leaveOut removes a table from the manifest and from the file.
func leaveOut(table string) func(*content) {
	return func(c *content) {
		manifest := c.at("manifest.json")
		entry := regexp.MustCompile(`(?s),\s*\{\s*"name": "` + table + `",\s*"columns": \[.*?\n      \]\n    \}`)
		manifest.text = entry.ReplaceAllString(manifest.text, "")
		c.members = slices.DeleteFunc(c.members, func(m member) bool { return strings.HasPrefix(m.name, table+"/") })
	}
}

type hostile struct {
	name   string
	change func(*content)
	want   string // in the error
}

// hostileFiles are refused before a database is opened.
var hostileFiles = []hostile{
	{"nothing in it", func(c *content) { c.members = nil }, "unexpected EOF"},
	{"no manifest", func(c *content) { c.members = c.members[1:] }, "where manifest.json must be"},
	{"another file first", insert(0, member{"../../etc/passwd", "root", tar.TypeReg}), `"../../etc/passwd" where manifest.json must be`},
	{"a path out of here", insert(2, member{"../../etc/passwd", "root", tar.TypeReg}), `"../../etc/passwd" where checksums.json must be`},
	{"an absolute path", insert(-2, member{"/etc/passwd", "root", tar.TypeReg}), `"/etc/passwd" where checksums.json must be`},
	{"a link", insert(2, member{"currency/000002.tsv", "/etc/passwd", tar.TypeSymlink}), "no plain file"},
	{"a directory", insert(1, member{"currency/", "", tar.TypeDir}), "no plain file"},
	{"a name of 100 KB", insert(1, member{strings.Repeat("a/", 50_000) + "a", "", tar.TypeReg}), "no plain file"},
	{"parts out of order", insert(1, member{"currency/000002.tsv", "", tar.TypeReg}), `"currency/000002.tsv" where`},
	{"a part of no table", insert(2, member{"nothing/000001.tsv", "", tar.TypeReg}), `"nothing/000001.tsv" where`},
	{"something after the end", insert(-1, member{"more", "", tar.TypeReg}), "something follows checksums.json"},
	{"no end", func(c *content) { c.members = c.members[:len(c.members)-1] }, "unexpected EOF"},
	{"a part that is too large", insert(2, member{"currency/000002.tsv", strings.Repeat("\n", 4<<20+1), tar.TypeReg}), "more than 4194304"},
	{"a manifest that is too large", replace("manifest.json", "{", strings.Repeat(" ", 1<<20)+"{"), "more than 1048576"},
	{"a manifest that is no JSON", replace("manifest.json", "{", "{{"), "manifest.json: invalid character"},
	{"two manifests in one", replace("manifest.json", "]\n}", "]\n}{}"), "manifest.json: something follows"},
	{"a field that is not known", replace("manifest.json", `"format"`, `"run": "rm", "format"`), `manifest.json: json: unknown field "run"`},
	{"another format", replace("manifest.json", "internaltransfers ledger", "zip"), `the format "zip"`},
	{"a newer format", replace("manifest.json", `"format_version": 1`, `"format_version": 2`), "version 2 of its format"},
	{"a newer schema", replace("manifest.json", `"schema_version": `, `"schema_version": 9`), "use a newer program"},
	{"no schema", replace("manifest.json", `"schema_version": `, `"schema_version": -`), "which there never was"},
	{"a table that is not known", replace("manifest.json", `"name": "transfer"`, `"name": "pg_authid"`), `a table "pg_authid", which this program does not know`},
	{"a table twice", replace("manifest.json", `"name": "transfer"`, `"name": "account"`), "table account twice"},
	{"another order", replace("manifest.json", `"name": "transfer"`, `"name": "schedule"`), "table transfer_detail twice, or not in its order"},
	{"a changed manifest", replace("manifest.json", `"server_version": "`, `"server_version": "1`), "manifest.json is not as it was written"},
	{"a changed row", replace("account/000001.tsv", "Ann", "Eve"), "table account is not as it was written"},
	{"a missing row", without("account_change"), "table account_change is not as it was written"},
	{"checksums that are no JSON", replace("checksums.json", "{", ""), "checksums.json: "},
	{"checksums of other tables", replace("checksums.json", `"name": "account"`, `"name": "x"`), `"x"`},
}

// hostileRows have the right checksums, and the database refuses them.
var hostileRows = []hostile{
	{"a column that is not known", replace("manifest.json", `"name": "balance"`, `"name": "x\"; DROP TABLE account; --"`), `a column "x\"; DROP TABLE account; --" of table account`},
	{"a column twice", replace("manifest.json", `"name": "held"`, `"name": "balance"`), `a column "balance" of table account twice`},
	{"a column of another type", replace("manifest.json", `"type": "numeric"`, `"type": "text"`), `column balance of table account is "text" in the file and "numeric" in the database`},
	{"a column less", replace("manifest.json", `{
          "name": "held",
          "type": "numeric"
        },`, ""), "the file lacks column held of table account"},
	{"a table less", leaveOut("transfer_group"), "the file lacks table transfer_group"},
	{"a cell too few", replace("transfer_group/000001.tsv", "\t", ""), "table transfer_group, line 1, column group_id: ERROR: invalid input syntax"},
	{"a cell too many", replace("currency/000001.tsv", "\n", "\t1\n"), "table currency, line 1: ERROR: extra data after last expected column"},
	{"no UUID", cell("account", 0, "1"), "table account, line 1, column account_id: ERROR: invalid input syntax for type uuid"},
	{"not a number", value("account", "balance")("NaN"), `violates check constraint "account_amounts_finite"`},
	{"no JSON", value("transfer", "metadata")("{"), "table transfer, line 1, column metadata"},
	{"no UTF-8", value("transfer", "reference")("\xff"), "table transfer, line 1: ERROR: invalid byte sequence"},
	{"a null character", value("transfer", "reference")("\x00"), "invalid byte sequence"},
	{"no value", value("transfer", "amount")(`\N`), `null value in column "amount"`},
	{"an early end", replace("transfer/000001.tsv", "\n", "\n\\.\n"), "table transfer"},
	{"a row that does not end", func(c *content) {
		m := c.at("schedule/000001.tsv")
		m.text = strings.TrimSuffix(m.text, "\n")
	}, "table schedule, line 1: the row does not end"},
	{"a row of 5 MB", both(
		insert(2, member{"currency/000002.tsv", strings.Repeat("a", 4<<20), tar.TypeReg}),
		insert(3, member{"currency/000003.tsv", strings.Repeat("a", 1<<20), tar.TypeReg})),
		"table currency, line 7: the row has more than 4194304 bytes"},
}

// TestForgedLedgers: a file that is right as a file, and no sound ledger.
func TestForgedLedgers(t *testing.T) {
	t.Parallel()
	original := sampleLedger(t)
	target := newTarget(t)
	a, b := id("a"), id("b")
	for _, c := range []hostile{
		{"money out of nothing", replace("account/000001.tsv", a+"\tUSD\t", a+"\tUSD\t9"), archive.ErrBroken.Error()},
		{"a transfer lost", without("transfer"), archive.ErrBroken.Error()},
		{"a transfer twice", func(c *content) {
			m := c.at("transfer/000001.tsv")
			first, _, _ := strings.Cut(m.text, "\n")
			m.text += first + "\n"
		}, `duplicate key value violates unique constraint "transfer_pkey"`},
		{"a position twice", func(c *content) {
			_, second, _ := strings.Cut(c.at("transfer/000001.tsv").text, "\n")
			value("transfer", "position")(strings.Split(second, "\t")[1])(c)
		}, `could not create unique index "transfer_by_position"`},
		{"an account lost", func(c *content) {
			m := c.at("account/000001.tsv")
			before, after, _ := strings.Cut(m.text, b)
			_, after, _ = strings.Cut(after, "\n")
			m.text = before[:strings.LastIndex(before, "\n")+1] + after
		}, `"schedule_to_account_fkey" (SQLSTATE 23503): Key (to_account_id)=(` + b + `) is not present in table "account"`},
		{"a detail of no transfer", replace("transfer_detail/000001.tsv", id("h1"), id("nothing")), "transfer_detail_transfer_fkey"},
		{"a refund forgotten", replace("transfer_detail/000001.tsv", "50\t\\N\t\\N\t\\N\t\\N\t\\N", "\\N\t\\N\t\\N\t\\N\t\\N\t\\N"), archive.ErrBroken.Error()},
		{"a currency of no account", replace("currency/000001.tsv", "fcc612ef", "fcc612ee"), "currency_equity_account_fkey"},
		{"a position before the first", value("transfer", "position")("0"), "table transfer has a row that the service cannot read"},
		{"a time that never comes", value("transfer", "update_time")("infinity"), "table transfer has a row that"},
		{"metadata that is no text", value("transfer", "metadata")(`{"a": 1}`), "table transfer has a row that"},
		{"the key of page tokens", func(c *content) { c.at("setting/000001.tsv").text += "page_token_key\t\\\\x00\n" },
			`table setting, line 2: ERROR: duplicate key value violates unique constraint "setting_pkey"`},
		{"no secret", value("webhook_endpoint", "secret")(`\\xzz`), "table webhook_endpoint, line 1, column secret: the database refused it (SQLSTATE 22023)"},
		{"a secret in the wrong place", func(c *content) {
			value("webhook_endpoint", "endpoint_id")(target.secret)(c)
		}, "table webhook_endpoint, line 1, column endpoint_id: the database refused it (SQLSTATE 22P02)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := unpack(t, original.file)
			c.change(f)
			f.seal(t)
			target.requireRefused(t, f.pack(t), c.want)
		})
	}
	target.requireUnchanged(t)
}
