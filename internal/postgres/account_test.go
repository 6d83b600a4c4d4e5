package postgres_test

import (
	"context"
	"errors"
	"maps"
	"testing"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// sameAccount reports whether all fields are equal.
func sameAccount(a, b *ledger.Account) bool {
	return a.ID == b.ID && a.Currency == b.Currency && a.Scale == b.Scale && a.Balance.Equal(b.Balance) &&
		a.Held.Equal(b.Held) && a.Incoming.Equal(b.Incoming) && nullAmountText(a.MinBalance) == nullAmountText(b.MinBalance) &&
		a.Status == b.Status && a.DisplayName == b.DisplayName && a.ImageURL == b.ImageURL &&
		maps.Equal(a.Metadata, b.Metadata) && a.Version == b.Version && a.CreateTime.Equal(b.CreateTime) &&
		a.UpdateTime.Equal(b.UpdateTime)
}

func TestCreateAccountDefaults(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{})
	a := ledgertest.OpenAccount(t, l, ledger.AccountParams{})
	if a.ID.Version() != 7 {
		t.Errorf("the id made is %s, not of version 7", a.ID)
	}
	if a.Currency != "USD" || a.Scale != 2 || !a.Balance.IsZero() || nullAmountText(a.MinBalance) != "0" ||
		a.Status != ledger.AccountOpen || a.Version != 1 || a.CreateTime.IsZero() || !a.Available().IsZero() {
		t.Errorf("account with defaults: %+v", a)
	}
	got, err := l.GetAccount(context.Background(), a.ID)
	if err != nil || !sameAccount(&got, &a) {
		t.Errorf("read back: %+v, %v; opened: %+v", got, err, a)
	}
	if _, err := l.GetAccount(context.Background(), uuid.New()); errorText(err) != "missing" {
		t.Errorf("an account that does not exist: %v", err)
	}
}

func TestCreateAccountRepeated(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{})
	ctx := context.Background()
	params := ledger.AccountParams{
		ID: uuid.New(), Currency: "EUR", InitialBalance: ledgertest.Amount("10.5"), MinBalance: ledgertest.Amount("-5"), DisplayName: "Ann",
		ImageURL: "https://example.com/a.png", Metadata: map[string]string{"b": "2", "a": "<1>"},
	}
	first := ledgertest.OpenAccount(t, l, params)
	if got, err := l.GetAccount(ctx, params.ID); err != nil || !sameAccount(&got, &first) {
		t.Errorf("read back: %+v, %v; opened: %+v", got, err, first)
	}
	// A later change does not make the repeated call another one; it gets the account as it is
	// now.
	changed, err := l.UpdateAccount(ctx, ledger.AccountChange{
		ID: params.ID, DisplayName: new("Bob"), MinBalance: new(ledgertest.Amount("0")), Metadata: map[string]string{},
	})
	if err != nil {
		t.Fatalf("update: %v", err)
	}
	same := params
	same.InitialBalance, same.MinBalance = ledgertest.Amount("10.50"), ledgertest.Amount("-5.00")
	if got, replayed, err := l.CreateAccount(ctx, same); err != nil || !replayed || !sameAccount(&got, &changed) {
		t.Errorf("repeated: %+v, replayed %t, %v; now: %+v", got, replayed, err, changed)
	}
	for field, change := range map[string]func(*ledger.AccountParams){
		"currency":        func(p *ledger.AccountParams) { p.Currency = "USD" },
		"initial_balance": func(p *ledger.AccountParams) { p.InitialBalance = ledgertest.Amount("10.51") },
		"min_balance":     func(p *ledger.AccountParams) { p.MinBalance = ledgertest.Amount("0") },
		"display_name":    func(p *ledger.AccountParams) { p.DisplayName = "Bob" },
		"image_url":       func(p *ledger.AccountParams) { p.ImageURL = "" },
		"metadata":        func(p *ledger.AccountParams) { p.Metadata = map[string]string{"a": "<1>"} },
	} {
		other := params
		change(&other)
		var conflict *ledger.ConflictError
		if got, _, err := l.CreateAccount(ctx, other); !errors.As(err, &conflict) || conflict.Kind != "account" || conflict.ID != params.ID.String() {
			t.Errorf("another %s: %+v, %v", field, got, err)
		}
	}
}

func TestCreateAccountInvalid(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{})
	for field, params := range map[string]ledger.AccountParams{
		"currency":        {Currency: "\x00"},
		"display_name":    {DisplayName: "\xff"},
		"image_url":       {ImageURL: "a\x00"},
		"metadata":        {Metadata: map[string]string{"a": "\x00"}},
		"initial_balance": {InitialBalance: decimal.New(1, 1_000_000_000)},
		"min_balance":     {MinBalance: decimal.New(-1, -1_000_000_000)},
	} {
		params.ID = uuid.New()
		_, _, err := l.CreateAccount(context.Background(), params)
		if got := errorText(err); got != "invalid "+field {
			t.Errorf("%s: got %q", field, got)
		}
		if _, err := l.GetAccount(context.Background(), params.ID); errorText(err) != "missing" {
			t.Errorf("%s: recorded all the same: %v", field, err)
		}
	}
}

// TestCreateAccountConcurrently: of many callers that open an account under one id, one opens it.
func TestCreateAccountConcurrently(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{BatchMax: 3, BatchesInFlight: 4})
	params := ledger.AccountParams{ID: uuid.New(), InitialBalance: ledgertest.Amount("7")}
	type answer struct {
		account  ledger.Account
		replayed bool
		err      error
	}
	const callers = 32
	answers := make(chan answer, callers)
	for range callers {
		go func() {
			a, replayed, err := l.CreateAccount(context.Background(), params)
			answers <- answer{a, replayed, err}
		}()
	}
	opened := 0
	for range callers {
		a := <-answers
		if a.err != nil || !a.account.Balance.Equal(ledgertest.Amount("7")) || a.account.Version != 2 {
			t.Errorf("result: %+v", a)
		}
		if !a.replayed {
			opened++
		}
	}
	if opened != 1 {
		t.Errorf("%d callers opened the account, want 1", opened)
	}
	entries, _, err := l.ListEntries(context.Background(), postgres.EntryFilter{AccountID: params.ID}, paging.Page{})
	if err != nil || len(entries) != 1 || entries[0].Sequence != 1 || !entries[0].Balance.Equal(ledgertest.Amount("7")) {
		t.Errorf("entries: %+v, %v", entries, err)
	}
}

func TestUpdateAccountFields(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{})
	want := ledgertest.OpenAccount(t, l, ledger.AccountParams{
		InitialBalance: ledgertest.Amount("10"), DisplayName: "Ann", ImageURL: "u", Metadata: map[string]string{"k": "v"},
	})
	// Each changes one thing and leaves the others, whose new values are in want.
	for _, c := range []struct {
		name   string
		change ledger.AccountChange
		apply  func()
	}{
		{"nothing", ledger.AccountChange{}, func() {}},
		{"name", ledger.AccountChange{DisplayName: new("Bob")}, func() { want.DisplayName = "Bob" }},
		{"no name", ledger.AccountChange{DisplayName: new("")}, func() { want.DisplayName = "" }},
		{"image", ledger.AccountChange{ImageURL: new("w")}, func() { want.ImageURL = "w" }},
		{"metadata", ledger.AccountChange{Metadata: map[string]string{"l": "w"}}, func() { want.Metadata = map[string]string{"l": "w"} }},
		{"no metadata", ledger.AccountChange{Metadata: map[string]string{}}, func() { want.Metadata = nil }},
		{"floor below zero", ledger.AccountChange{MinBalance: new(ledgertest.Amount("-3.5"))}, func() { want.MinBalance.Decimal = ledgertest.Amount("-3.5") }},
		{"floor at the balance", ledger.AccountChange{MinBalance: new(ledgertest.Amount("10"))}, func() { want.MinBalance.Decimal = ledgertest.Amount("10") }},
		{"freeze", ledger.AccountChange{Status: new(ledger.AccountFrozen)}, func() { want.Status = ledger.AccountFrozen }},
		{"freeze again", ledger.AccountChange{Status: new(ledger.AccountFrozen)}, func() {}},
		{"floor while frozen", ledger.AccountChange{MinBalance: new(ledgertest.Amount("0"))}, func() { want.MinBalance.Decimal = ledgertest.Amount("0") }},
		{"thaw", ledger.AccountChange{Status: new(ledger.AccountOpen)}, func() { want.Status = ledger.AccountOpen }},
		{"all", ledger.AccountChange{
			DisplayName: new("C"), ImageURL: new("i"), Metadata: map[string]string{"x": ""}, MinBalance: new(ledgertest.Amount("1")),
			Status: new(ledger.AccountFrozen),
		}, func() {
			want.DisplayName, want.ImageURL, want.Metadata = "C", "i", map[string]string{"x": ""}
			want.MinBalance.Decimal, want.Status = ledgertest.Amount("1"), ledger.AccountFrozen
		}},
	} {
		c.change.ID, c.change.ExpectedVersion = want.ID, new(want.Version)
		before := want.UpdateTime
		got, err := l.UpdateAccount(context.Background(), c.change)
		c.apply()
		want.Version++
		want.UpdateTime = got.UpdateTime
		if err != nil || !sameAccount(&got, &want) || !got.UpdateTime.After(before) {
			t.Fatalf("%s: got %+v, %v, want %+v", c.name, got, err, want)
		}
		if stored, err := l.GetAccount(context.Background(), want.ID); err != nil || !sameAccount(&stored, &want) {
			t.Fatalf("%s: stored %+v, %v, want %+v", c.name, stored, err, want)
		}
	}
}

func TestUpdateAccountRefused(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{})
	a := ledgertest.OpenAccount(t, l, ledger.AccountParams{InitialBalance: ledgertest.Amount("10")})
	empty := ledgertest.OpenAccount(t, l, ledger.AccountParams{})
	gone := ledgertest.OpenAccount(t, l, ledger.AccountParams{})
	if _, err := l.UpdateAccount(context.Background(), ledger.AccountChange{ID: gone.ID, Status: new(ledger.AccountClosed)}); err != nil {
		t.Fatalf("close an account: %v", err)
	}
	usd, _, err := l.CreateCurrency(context.Background(), "USD", 2, false)
	if err != nil {
		t.Fatalf("read USD: %v", err)
	}
	for _, c := range []struct {
		change ledger.AccountChange
		want   string
	}{
		{ledger.AccountChange{ID: uuid.New()}, "missing"},
		{ledger.AccountChange{ID: a.ID, ExpectedVersion: new(int64(1))}, "version"},
		{ledger.AccountChange{ID: a.ID, ExpectedVersion: new(int64(3))}, "version"},
		{ledger.AccountChange{ID: a.ID, DisplayName: new("\x00")}, "invalid account.display_name"},
		{ledger.AccountChange{ID: a.ID, ImageURL: new("\xff")}, "invalid account.image_url"},
		{ledger.AccountChange{ID: a.ID, Metadata: map[string]string{"\x00": ""}}, "invalid metadata"},
		{ledger.AccountChange{ID: a.ID, Status: new(ledger.AccountStatus("HAPPY"))}, "invalid account.status"},
		{ledger.AccountChange{ID: a.ID, MinBalance: new(ledgertest.Amount("0.001"))}, "invalid account.min_balance"},
		{ledger.AccountChange{ID: a.ID, MinBalance: new(decimal.New(1, 2_000_000_000))}, "invalid account.min_balance"},
		{ledger.AccountChange{ID: a.ID, MinBalance: new(ledgertest.Amount("10.01"))}, "refused INSUFFICIENT_FUNDS"},
		{ledger.AccountChange{ID: a.ID, Status: new(ledger.AccountClosed)}, "refused ACCOUNT_NOT_EMPTY"},
		{ledger.AccountChange{ID: empty.ID, MinBalance: new(ledgertest.Amount("1"))}, "refused INSUFFICIENT_FUNDS"},
		{ledger.AccountChange{ID: gone.ID}, "refused ACCOUNT_CLOSED"},
		{ledger.AccountChange{ID: gone.ID, DisplayName: new("")}, "refused ACCOUNT_CLOSED"},
		{ledger.AccountChange{ID: gone.ID, Status: new(ledger.AccountOpen)}, "refused ACCOUNT_CLOSED"},
		{ledger.AccountChange{ID: usd.EquityAccountID, Status: new(ledger.AccountFrozen)}, "refused EQUITY_ACCOUNT"},
		{ledger.AccountChange{ID: usd.EquityAccountID, MinBalance: new(ledgertest.Amount("-100"))}, "refused EQUITY_ACCOUNT"},
	} {
		before, _ := l.GetAccount(context.Background(), c.change.ID)
		_, err := l.UpdateAccount(context.Background(), c.change)
		if got := errorText(err); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.change, got, c.want)
		}
		if after, _ := l.GetAccount(context.Background(), c.change.ID); !sameAccount(&before, &after) {
			t.Errorf("%+v: refused, but %+v became %+v", c.change, before, after)
		}
	}
	if got, err := l.UpdateAccount(context.Background(), ledger.AccountChange{ID: usd.EquityAccountID, DisplayName: new("Bank")}); err != nil || got.DisplayName != "Bank" || got.MinBalance.Valid {
		t.Errorf("name an equity account: %+v, %v", got, err)
	}
}

// TestUpdateAccountExpectedVersionConcurrently: of callers that expect the same version, one is
// served.
func TestUpdateAccountExpectedVersionConcurrently(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{})
	a := ledgertest.OpenAccount(t, l, ledger.AccountParams{})
	const callers = 16
	answers := make(chan error, callers)
	for range callers {
		go func() {
			_, err := l.UpdateAccount(context.Background(), ledger.AccountChange{ID: a.ID, ExpectedVersion: new(a.Version)})
			answers <- err
		}()
	}
	served := 0
	for range callers {
		switch got := errorText(<-answers); {
		case got == "ok":
			served++
		case got != "version":
			t.Errorf("result: %s", got)
		}
	}
	if served != 1 {
		t.Errorf("%d callers were served, want 1", served)
	}
}
