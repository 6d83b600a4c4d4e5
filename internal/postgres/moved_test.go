package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/internal/proof"
	"internaltransfers/ledger"
)

// TestSchemaTakenByAnother: another ledger that takes the schema's name is not served, and nothing
// is written to it.
func TestSchemaTakenByAnother(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, ReadConns: 2, Logger: ledgertest.Silent})
	s := served(t, l)
	admin := ledgertest.Connect(t, database)
	ledgertest.Execute(t, admin, "ALTER SCHEMA ledger RENAME TO ledger_old")
	prepare(t, database)
	// Each session that was open notices by itself, then new ones are refused.
	for range 4 {
		s.requireUnavailable(t)
	}
	for table, want := range map[string]int{"transfer": 0, "account": 6} {
		var n int
		if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM ledger."+table).Scan(&n); err != nil || n != want {
			t.Errorf("the other ledger has %d rows of %s, %v", n, table, err)
		}
	}
	ledgertest.Execute(t, admin, "DROP SCHEMA ledger CASCADE")
	ledgertest.Execute(t, admin, "ALTER SCHEMA ledger_old RENAME TO ledger")
	s.awaitServed(t)
}

// TestDatabaseTakenByAnother: the same with a database.
func TestDatabaseTakenByAnother(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, ReadConns: 2, Logger: ledgertest.Silent})
	s := served(t, l)
	u := ledgertest.Must(url.Parse(database))
	name := strings.TrimPrefix(u.Path, "/")
	u.Path = "/postgres"
	admin := ledgertest.Connect(t, u.String())
	rename := func(from, to string) {
		t.Helper()
		ledgertest.Execute(t, admin, "ALTER DATABASE "+from+" ALLOW_CONNECTIONS false")
		ledgertest.Execute(t, admin, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '"+from+"'")
		ledgertest.Execute(t, admin, "ALTER DATABASE "+from+" RENAME TO "+to)
		ledgertest.Execute(t, admin, "ALTER DATABASE "+to+" ALLOW_CONNECTIONS true")
	}
	rename(name, name+"_old")
	ledgertest.Execute(t, admin, "CREATE DATABASE "+name)
	prepare(t, database)
	for range 4 {
		s.requireUnavailable(t)
	}
	ledgertest.Execute(t, admin, "DROP DATABASE "+name+" WITH (FORCE)")
	rename(name+"_old", name)
	s.awaitServed(t)
}

// TestSchemaRestored: the same ledger in new tables, as a restored backup has them, is served on.
func TestSchemaRestored(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, ReadConns: 2, Logger: ledgertest.Silent})
	admin := ledgertest.Connect(t, database)
	ledgertest.Execute(t, admin, "ALTER SCHEMA ledger RENAME TO ledger_old")
	prepare(t, database)
	ledgertest.Execute(t, admin, "ALTER TABLE ledger.setting DISABLE TRIGGER USER")
	ledgertest.Execute(t, admin, "UPDATE ledger.setting AS n SET value = o.value FROM ledger_old.setting AS o WHERE o.name = n.name")
	served(t, l)
	ledgertest.Execute(t, admin, "DROP SCHEMA ledger_old CASCADE")
}

// TestBackupOfBefore: after a backup is restored, a currency that was added since is not known any
// more; made again with other decimals, it has those.
func TestBackupOfBefore(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	u := ledgertest.Must(url.Parse(database))
	name := strings.TrimPrefix(u.Path, "/")
	u.Path = "/postgres"
	admin := ledgertest.Connect(t, u.String())
	ledgertest.Execute(t, admin, "CREATE DATABASE "+name+"_backup TEMPLATE "+name)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, ReadConns: 2, Logger: ledgertest.Silent})
	open := func(balance string) (ledger.Account, error) {
		a, _, err := l.CreateAccount(t.Context(), ledger.AccountParams{Currency: "RRR", InitialBalance: decimal.RequireFromString(balance)})
		return a, err
	}
	add := func(scale int32) {
		t.Helper()
		if _, replayed, err := l.CreateCurrency(t.Context(), "RRR", scale, false); err != nil || replayed {
			t.Fatalf("replayed %v, %v", replayed, err)
		}
	}
	add(0)
	if _, err := open("7"); err != nil {
		t.Fatal(err)
	}
	ledgertest.Execute(t, admin, "DROP DATABASE "+name+" WITH (FORCE)")
	ledgertest.Execute(t, admin, "ALTER DATABASE "+name+"_backup RENAME TO "+name)
	await(t, "served", func() bool {
		_, err := open("7")
		invalid := new(ledger.InvalidError)
		if err == nil || !errors.Is(err, ledger.ErrUnavailable) && !errors.As(err, &invalid) {
			t.Fatalf("a currency that the backup lacks: %v", err)
		}
		return errors.As(err, &invalid)
	})
	add(2)
	if a, err := open("1.25"); err != nil || a.Scale != 2 || a.Balance.String() != "1.25" {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestSettingIsLost: a ledger that cannot be known any more is refused, with what is wanted.
func TestSettingIsLost(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	ledgertest.Execute(t, ledgertest.Connect(t, database), "DELETE FROM setting")
	_, err := postgres.Open(t.Context(), postgres.Config{DatabaseURL: database, Logger: ledgertest.Silent})
	if refused, ok := errors.AsType[*pgdb.RefusedError](err); !ok || !strings.Contains(refused.Found, "lacks its row page_token_key") {
		t.Errorf("opened: %v", err)
	}
}

// prepare makes a ledger in the schema that docs/roles.sql names.
func prepare(t *testing.T, database string) {
	t.Helper()
	superuser := pgdb.Target{URL: pgtest.Superuser(database), Schema: "ledger"}
	if _, err := pgdb.Prepare(t.Context(), superuser, pgtest.Owner(database), ledgertest.Silent); err != nil {
		t.Fatal(err)
	}
}

// A service is a ledger that was served, with a transfer made there.
type service struct {
	ledger  *postgres.Ledger
	account uuid.UUID
	made    ledger.TransferParams
}

// served makes a transfer. It tries again while sessions notice that their tables are gone.
func served(t *testing.T, l *postgres.Ledger) *service {
	t.Helper()
	var from, to ledger.Account
	await(t, "served", func() (ok bool) {
		var err error
		from, _, err = l.CreateAccount(t.Context(), ledger.AccountParams{InitialBalance: ledgertest.Amount("100")})
		return err == nil
	})
	to = ledgertest.OpenAccount(t, l, ledger.AccountParams{})
	p := ledger.TransferParams{ID: uuid.New(), From: from.ID, To: to.ID, Amount: ledgertest.Amount("1"), Currency: "USD"}
	if _, _, err := l.Transfer(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return &service{l, from.ID, p}
}

// requireUnavailable fails the test unless each call says that the database cannot be used.
func (s *service) requireUnavailable(t *testing.T) {
	t.Helper()
	ctx, l := t.Context(), s.ledger
	another := s.made
	another.ID = uuid.New()
	name := "another"
	calls := map[string]func() error{
		"repeat":   func() error { _, _, err := l.Transfer(ctx, s.made); return err },
		"transfer": func() error { _, _, err := l.Transfer(ctx, another); return err },
		"account":  func() error { _, err := l.GetAccount(ctx, s.account); return err },
		"read":     func() error { _, err := l.GetTransfer(ctx, s.made.ID); return err },
		"list":     func() error { _, _, err := l.ListAccounts(ctx, postgres.AccountFilter{}, paging.Page{}); return err },
		"change": func() error {
			_, err := l.UpdateAccount(ctx, ledger.AccountChange{ID: s.account, DisplayName: &name})
			return err
		},
		"open": func() error {
			_, _, err := l.CreateAccount(ctx, ledger.AccountParams{InitialBalance: ledgertest.Amount("5")})
			return err
		},
		"check":          func() error { _, err := l.Proofs.Check(ctx, proof.Options{}); return err },
		"ready to read":  func() error { return l.ReadyToRead(ctx) },
		"ready to write": func() error { return l.ReadyToWrite(ctx) },
	}
	for what, call := range calls {
		if err := call(); !errors.Is(err, ledger.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// awaitServed waits until the ledger is served again, and repeats the transfer.
func (s *service) awaitServed(t *testing.T) {
	t.Helper()
	await(t, "served again", func() bool { return s.ledger.ReadyToWrite(context.Background()) == nil })
	await(t, "read again", func() bool { return s.ledger.ReadyToRead(context.Background()) == nil })
	await(t, "all sessions mended", func() bool {
		_, err := s.ledger.GetAccount(t.Context(), s.account)
		return err == nil
	})
	transfer, replayed, err := s.ledger.Transfer(t.Context(), s.made)
	if err != nil || !replayed {
		t.Error(fmt.Errorf("repeated: %v, %v, %w", transfer, replayed, err))
	}
}
