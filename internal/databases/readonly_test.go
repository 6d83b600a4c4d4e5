package databases

import (
	"errors"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"internaltransfers/internal/localpg"
	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/pgtest"
	"internaltransfers/ledger"
)

// TestReadOnly: while the administrator has switched a database to read-only, reads go on and
// writes are not available. When it is switched back, the ledger goes on by itself, though sessions
// keep the default that they began with.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"ALTER DATABASE %", "ALTER ROLE " + localpg.Writer + " IN DATABASE %"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			database := pgtest.NewDatabase(t)
			config := configure(database, "")
			config.BatchTimeout = 200 * time.Millisecond
			l := open(t, config)
			n := newLife(t, l, "read-only")
			n.openAccounts()
			conn := connect(t, database)
			alter := where[:len(where)-1] + databaseName(t, database)
			execute(t, conn, alter+" SET default_transaction_read_only = on", endSessions)

			n.until("read", func() (bool, error) {
				_, err := l.GetAccount(t.Context(), n.ids[0])
				return err == nil, err
			})
			name := "new"
			_, _, err := l.Transfer(t.Context(), ledger.TransferParams{From: n.ids[0], To: n.ids[1], Amount: one})
			_, err2 := l.UpdateAccount(t.Context(), ledger.AccountChange{ID: n.ids[0], DisplayName: &name})
			_, _, err3 := l.CreateAccount(t.Context(), ledger.AccountParams{InitialBalance: one})
			for _, err := range []error{err, err2, err3} {
				if !errors.Is(err, ledger.ErrUnavailable) {
					t.Errorf("a write: %v", err)
				}
			}
			a, err := l.GetAccount(t.Context(), n.ids[0])
			if err != nil || !a.Balance.Equal(decimal.NewFromInt(100)) {
				t.Errorf("a read: %+v, %v", a, err)
			}
			refused, ok := errors.AsType[*pgdb.RefusedError](pgdb.Explain(up(t, database, "another")))
			if !ok || refused.Wanted != "one that can be written to" {
				t.Errorf("a migration: %v", refused)
			}

			execute(t, conn, alter+" RESET default_transaction_read_only")
			n.live()
		})
	}
}

// endSessions ends the other sessions, which would keep the settings that they began with.
const endSessions = `SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
	WHERE datname = current_database() AND pid <> pg_backend_pid()`
