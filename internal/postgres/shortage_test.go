package postgres_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// While batches fail for a full disk, the ledger is not ready to write, and says why. It is ready
// when one succeeds.
func TestReadyWithFullDisk(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, Logger: ledgertest.Silent})
	ids := ledgertest.OpenAccounts(t, l, 2, 100)
	pay := func() error {
		_, _, err := l.Transfer(t.Context(), ledger.TransferParams{From: ids[0], To: ids[1], Amount: decimal.NewFromInt(1)})
		return err
	}
	admin := ledgertest.Connect(t, database)
	ledgertest.Execute(t, admin, `CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN RAISE 'could not extend file' USING ERRCODE = '53100'; END $$`)
	ledgertest.Execute(t, admin, "CREATE TRIGGER fill BEFORE INSERT ON transfer EXECUTE FUNCTION fill()")
	requireHindered(t, "with a full disk", pay(), "its disk is full")
	requireReady(t, l.ReadyToWrite, "its disk is full")
	requireReady(t, l.ReadyToRead, "")
	ledgertest.Execute(t, admin, "DROP TRIGGER fill ON transfer")
	if err := pay(); err != nil {
		t.Fatal(err)
	}
	requireReady(t, l.ReadyToWrite, "")
}

// A shortage ends with a batch that succeeds, or by itself after a while. Other errors neither
// begin nor end one.
func TestShortageEnds(t *testing.T) {
	t.Parallel()
	full := fmt.Errorf("apply: %w", &pgconn.PgError{Code: "53100"})
	other := errors.New("the connection broke")
	for i, c := range []struct {
		after   time.Duration
		batches []error
		want    bool
	}{
		{0, nil, false},
		{0, []error{other}, false},
		{0, []error{full}, true},
		{0, []error{&pgconn.PgError{Code: "54000", Routine: "GetNewTransactionId"}}, true}, // before a wraparound
		{0, []error{&pgconn.PgError{Code: "54000", Routine: "index_form_tuple"}}, false},
		{9 * time.Second, []error{nil, full, other}, true},
		{0, []error{full, nil}, false},
		{0, []error{full, nil, full}, true},
		{10 * time.Second, []error{full}, false},
	} {
		if got := postgres.ShortageAfter(c.after, c.batches...); (got != nil) != c.want {
			t.Errorf("case %d: %v", i, got)
		}
	}
}
