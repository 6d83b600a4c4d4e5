package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// tables returns every row of every table, and where every sequence is.
func tables(t testing.TB, conn *pgx.Conn) string {
	t.Helper()
	texts := func(sql string) []string {
		rows, err := conn.Query(t.Context(), sql)
		if err != nil {
			t.Fatal(err)
		}
		all, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	var sections []string
	for kind, rows := range map[string]string{"r": "to_jsonb(r)::text", "S": "(last_value, is_called)::text"} {
		for _, name := range texts(`SELECT relname::text FROM pg_class
			WHERE relnamespace = 'ledger'::regnamespace AND relkind = '` + kind + `' ORDER BY relname`) {
			sections = append(sections, name+":\n"+strings.Join(texts("SELECT "+rows+" FROM "+name+" AS r ORDER BY 1"), "\n"))
		}
	}
	slices.Sort(sections)
	return strings.Join(sections, "\n")
}

// drills are parameters of CreateAccount beside an account that was opened with those taken, and
// what they get.
func drills(taken *ledger.AccountParams) map[string]struct {
	params ledger.AccountParams
	want   string
} {
	change := func(f func(*ledger.AccountParams)) ledger.AccountParams {
		p := *taken
		f(&p)
		return p
	}
	type drill = struct {
		params ledger.AccountParams
		want   string
	}
	return map[string]drill{
		"nothing": {ledger.AccountParams{}, "ok"},
		"everything": {ledger.AccountParams{
			ID: uuid.New(), Currency: "JPY", InitialBalance: ledgertest.Amount("12"), MinBalance: ledgertest.Amount("-5"),
			MaxBalance: decimal.NewNullDecimal(ledgertest.Amount("100")), Policy: ledger.Policy{MaxTransfer: new(ledgertest.Amount("7"))},
			DisplayName: "Zoë", ImageURL: "https://example.com/z.png", Metadata: map[string]string{"a": "1"},
		}, "ok"},
		"again":              {*taken, "ok"},
		"other amount":       {change(func(p *ledger.AccountParams) { p.InitialBalance = ledgertest.Amount("10.51") }), "conflict"},
		"other name":         {change(func(p *ledger.AccountParams) { p.DisplayName = "another" }), "conflict"},
		"unknown currency":   {ledger.AccountParams{Currency: "QQQ"}, "invalid currency"},
		"too precise":        {ledger.AccountParams{InitialBalance: ledgertest.Amount("0.001")}, "invalid initial_balance"},
		"negative":           {ledger.AccountParams{InitialBalance: ledgertest.Amount("-1")}, "invalid initial_balance"},
		"floor above":        {ledger.AccountParams{MinBalance: ledgertest.Amount("1")}, "invalid min_balance"},
		"ceiling below":      {ledger.AccountParams{InitialBalance: ledgertest.Amount("2"), MaxBalance: decimal.NewNullDecimal(ledgertest.Amount("1"))}, "invalid max_balance"},
		"cap of zero":        {ledger.AccountParams{Policy: ledger.Policy{MaxTransfer: new(ledgertest.Amount("0"))}}, "invalid max_transfer_amount"},
		"name with NUL":      {ledger.AccountParams{DisplayName: "\x00"}, "invalid display_name"},
		"metadata no UTF-8":  {ledger.AccountParams{Metadata: map[string]string{"a": "\xff"}}, "invalid metadata"},
		"endless balance":    {ledger.AccountParams{InitialBalance: decimal.New(1, 1_000_000_000)}, "invalid initial_balance"},
		"the equity account": {ledger.AccountParams{ID: uuid.MustParse("fcc612ef-05c7-51eb-9f2a-022abd238d80")}, "conflict"},
	}
}

// TestCreateAccountDryRun: a dry run returns what the call then returns, but for what is made anew,
// and changes nothing.
func TestCreateAccountDryRun(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database})
	admin := ledgertest.Connect(t, database)
	taken := ledger.AccountParams{ID: uuid.New(), InitialBalance: ledgertest.Amount("10.5"), MinBalance: ledgertest.Amount("-1"), DisplayName: "taken"}
	ledgertest.OpenAccount(t, l, taken)
	name(t, l, taken.ID, "changed since")
	for what, c := range drills(&taken) {
		before := tables(t, admin)
		began := databaseTime(t, admin)
		params := c.params
		params.DryRun = true
		dry, dryReplayed, err := l.CreateAccount(t.Context(), params)
		if got := errorText(err); got != c.want {
			t.Errorf("%s: got %q, want %q", what, got, c.want)
		}
		if after := tables(t, admin); after != before {
			t.Errorf("%s: a dry run changed\n%s\nto\n%s", what, before, after)
		}
		made, replayed, err := l.CreateAccount(t.Context(), c.params)
		if got := errorText(err); got != c.want {
			t.Errorf("%s: after the dry run: got %q, want %q", what, got, c.want)
		}
		if c.want != "ok" {
			continue
		}
		if replayed != dryReplayed || replayed != (what == "again") {
			t.Errorf("%s: replayed %t, dry %t", what, replayed, dryReplayed)
		}
		if !replayed {
			if ended := databaseTime(t, admin); dry.CreateTime.Before(began) || dry.CreateTime.After(ended) || dry.UpdateTime != dry.CreateTime {
				t.Errorf("%s: it would be made at %s, not from %s to %s", what, dry.CreateTime, began, ended)
			}
			dry.CreateTime, dry.UpdateTime = made.CreateTime, made.UpdateTime
		}
		if c.params.ID == uuid.Nil {
			if dry.ID.Version() != 7 || dry.ID == made.ID {
				t.Errorf("%s: ids %s and %s", what, dry.ID, made.ID)
			}
			dry.ID = made.ID
		}
		if !sameAccount(&dry, &made) || fmt.Sprint(dry.MaxBalance, dry.Policy.MaxTransfer) != fmt.Sprint(made.MaxBalance, made.Policy.MaxTransfer) {
			t.Errorf("%s: dry %+v, made %+v", what, dry, made)
		}
	}
}

// databaseTime reads the database's clock.
func databaseTime(t testing.TB, conn *pgx.Conn) (now time.Time) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(&now); err != nil {
		t.Fatal(err)
	}
	return now
}

// TestCreateAccountDryRunIsNotQueued: a dry run returns while batches wait, from the other sessions
// alone.
func TestCreateAccountDryRunIsNotQueued(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database, BatchesInFlight: 1})
	holder := ledgertest.Connect(t, database)
	ledgertest.Execute(t, holder, "BEGIN")
	ledgertest.Execute(t, holder, "LOCK TABLE account IN SHARE ROW EXCLUSIVE MODE") // writers wait
	opened := make(chan error)
	go func() {
		_, _, err := l.CreateAccount(t.Context(), ledger.AccountParams{InitialBalance: ledgertest.Amount("1")})
		opened <- err
	}()
	awaitLockWait(t.Context(), t, ledgertest.Connect(t, database))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if a, _, err := l.CreateAccount(ctx, ledger.AccountParams{InitialBalance: ledgertest.Amount("1"), DryRun: true}); err != nil || a.Version != 2 {
		t.Errorf("a dry run: %+v, %v", a, err)
	}
	ledgertest.Execute(t, holder, "COMMIT")
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

// TestCreateCurrencyDryRun is the same for currencies.
func TestCreateCurrencyDryRun(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: database})
	admin := ledgertest.Connect(t, database)
	for _, c := range []struct {
		code  string
		scale int32
		want  string
	}{
		{"NEW", 3, "ok"}, {"NEW", 3, "ok"}, {"NEW", 4, "conflict"}, {"USD", 2, "ok"}, {"USD", 3, "conflict"},
		{"new", 3, "invalid code"}, {"N\x00W", 3, "invalid code"}, {"NEWER", 19, "invalid scale"}, {"NEWER", -1, "invalid scale"},
	} {
		before := tables(t, admin)
		began := databaseTime(t, admin)
		dry, dryReplayed, err := l.CreateCurrency(t.Context(), c.code, c.scale, true)
		if got := errorText(err); got != c.want {
			t.Errorf("%s, %d: got %q, want %q", c.code, c.scale, got, c.want)
		}
		if after := tables(t, admin); after != before {
			t.Errorf("%s, %d: a dry run changed\n%s\nto\n%s", c.code, c.scale, before, after)
		}
		made, replayed, err := l.CreateCurrency(t.Context(), c.code, c.scale, false)
		if got := errorText(err); got != c.want || replayed != dryReplayed {
			t.Errorf("%s, %d: after the dry run: got %q, want %q; replayed %t, dry %t", c.code, c.scale, got, c.want, replayed, dryReplayed)
		}
		if c.want == "ok" && !replayed {
			if ended := databaseTime(t, admin); dry.CreateTime.Before(began) || dry.CreateTime.After(ended) || dry.EquityAccountID == uuid.Nil {
				t.Errorf("%s, %d: it would be %+v", c.code, c.scale, dry)
			}
			dry.CreateTime, dry.EquityAccountID = made.CreateTime, made.EquityAccountID
		}
		if dry != made {
			t.Errorf("%s, %d: dry %+v, made %+v", c.code, c.scale, dry, made)
		}
		if c.want == "ok" {
			ledgertest.OpenAccount(t, l, ledger.AccountParams{Currency: c.code}) // previews add no currency
		}
	}
}
