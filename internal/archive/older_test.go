package archive_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"internaltransfers/internal/archive"
	"internaltransfers/migrations"
)

// fixture is a file of schema version 8, with a row of every kind of that version.
func fixture(t testing.TB) []byte {
	t.Helper()
	file, err := os.ReadFile("testdata/schema-8.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// olderStill makes the fixture one of schema version 7, whose tables were the same.
func olderStill(t testing.TB, change func(*content)) []byte {
	t.Helper()
	f := unpack(t, fixture(t))
	replace("manifest.json", `"schema_version": 8`, `"schema_version": 7`)(f)
	change(f)
	f.seal(t)
	return f.pack(t)
}

// TestOlderFiles: a file that an older program made is loaded into the schema that it is of, and
// migrated. What was decided then is known now.
func TestOlderFiles(t *testing.T) {
	t.Parallel()
	for name, file := range map[string][]byte{"version 8": fixture(t), "version 7": olderStill(t, func(*content) {})} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := bare(t)
			if err := tryImport(file, database, true); err != nil {
				t.Fatal(err)
			}
			if got := texts(t, database, "SELECT max(version_id)::text FROM goose_db_version")[0]; got != fmt.Sprint(migrations.Newest()) {
				t.Errorf("the database has schema version %s", got)
			}
			requireSound(t, database, true)
			requireSound(t, database, false)
			l, _ := openLedger(t, database, 0)
			a := newAPI(t, l, time.Now())
			for call, want := range map[string]string{
				`POST /api/v1/transfers/$t2:reverse {"reversal_id":"$v99","amount":"0.01"}`:                                                 "ALREADY_REVERSED",
				`POST /api/v1/transfers {"transfer_id":"$t1","from_account_id":"$a","to_account_id":"$b","amount":"1.20","reference":"r1"}`: "200 true",
				`POST /api/v1/transfers {"transfer_id":"$t1","from_account_id":"$a","to_account_id":"$b","amount":"1.20"}`:                  "already exists",
				`POST /api/v1/transfers/$h1:post {"capture_id":"$k1","amount":"12.50"}`:                                                     "200 true",
				`GET /api/v1/events?page_size=1000`: `"more":false`,
			} {
				if _, got := a.call(call); !strings.Contains(got, want) {
					t.Errorf("%s: %s, want %q", call, got, want)
				}
			}
		})
	}
	t.Run("broken", func(t *testing.T) {
		t.Parallel()
		file := olderStill(t, replace("account/000001.tsv", id("b")+"\tUSD\t", id("b")+"\tUSD\t1"))
		if err := tryImport(file, bare(t), true); !errors.Is(err, archive.ErrBroken) {
			t.Errorf("import: %v", err)
		}
	})
}
