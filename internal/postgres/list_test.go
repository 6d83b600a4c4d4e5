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

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// A listed is a ledger with some rows of every kind, and the rows as the database has them, newest
// first.
type listed struct {
	l        *postgres.Ledger
	accounts []uuid.UUID // with two equity accounts first
	rows     []listedRow
	unlisted uuid.UUID // an account that does not exist, but that refused transfers name
}

type listedRow struct {
	id, from, to                uuid.UUID
	status, currency, reference string
	created                     time.Time
}

// newListed makes the rows: single transfers, whose times differ, and batches, whose rows have one
// time.
func newListed(t *testing.T) *listed {
	t.Helper()
	ctx := context.Background()
	url := pgtest.NewDatabase(t)
	s := &listed{l: ledgertest.Open(t, postgres.Config{DatabaseURL: url}), unlisted: uuid.New()}
	for _, code := range []string{"USD", "EUR"} {
		c, _, err := s.l.CreateCurrency(ctx, code, 2, false)
		if err != nil {
			t.Fatalf("read %s: %v", code, err)
		}
		s.accounts = append(s.accounts, c.EquityAccountID)
	}
	for _, currency := range []string{"USD", "USD", "USD", "EUR", "EUR"} {
		s.accounts = append(s.accounts, ledgertest.OpenAccount(t, s.l, ledger.AccountParams{Currency: currency, InitialBalance: ledgertest.Amount("20")}).ID)
	}
	all := append(slices.Clone(s.accounts[2:]), s.unlisted)
	var batch []ledger.TransferParams
	for i := range 60 {
		p := ledger.TransferParams{
			From: all[i%len(all)], To: all[(i+1+i/7%3)%len(all)], Amount: ledgertest.Amount(fmt.Sprint(1 + i%9)),
			Reference: []string{"", "order-1", "order-2", ""}[i%4],
		}
		if i%8 == 7 {
			p.From, p.To = s.unlisted, uuid.New()
			p.Currency = []string{"USD", "", "NONE"}[i%3]
		}
		if i%5 > 1 {
			batch = append(batch, p)
			continue
		}
		if _, _, err := s.l.Transfer(ctx, p); err != nil {
			t.Fatalf("transfer: %v", err)
		}
		if len(batch) > 0 {
			if _, err := s.l.TransferBatch(ctx, batch, ledger.BatchOptions{}); err != nil {
				t.Fatalf("batch: %v", err)
			}
			batch = nil
		}
	}
	rows, err := ledgertest.Connect(t, url).Query(ctx, `SELECT transfer_id, from_account_id, to_account_id, status, currency, reference,
		create_time FROM transfer ORDER BY create_time DESC, position DESC`)
	if err != nil {
		t.Fatalf("read the rows: %v", err)
	}
	s.rows, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r listedRow, err error) {
		err = row.Scan(&r.id, &r.from, &r.to, &r.status, &r.currency, &r.reference, &r.created)
		return r, err
	})
	if err != nil || len(s.rows) < 50 {
		t.Fatalf("%d rows, %v", len(s.rows), err)
	}
	return s
}

// ranges are time ranges at, and a hair beside, the times of rows.
func (s *listed) ranges() [][2]time.Time {
	early, late := s.rows[len(s.rows)*3/4].created, s.rows[len(s.rows)/4].created
	var none time.Time
	return [][2]time.Time{
		{none, none},
		{early, none},
		{early.Add(time.Nanosecond), none},
		{early.Add(time.Microsecond), none},
		{none, late},
		{none, late.Add(time.Nanosecond)},
		{none, late.Add(time.Microsecond)},
		{early.In(time.FixedZone("east", 5*3600)), late},
		{late, late},
		{late, early},
	}
}

func within(created, start, end time.Time) bool {
	return !created.Before(start) && (end.IsZero() || created.Before(end))
}

// collect reads all pages of a list and returns the items' ids.
func collect(t *testing.T, size int32, list func(paging.Page) (ids []string, next string, err error)) []string {
	t.Helper()
	var all []string
	page := paging.Page{Size: size}
	for {
		ids, next, err := list(page)
		if err != nil {
			t.Fatalf("list a page: %v", err)
		}
		if len(ids) > int(size) || len(ids) < int(size) && next != "" {
			t.Fatalf("a page of %d has %d items, the next page is %q", size, len(ids), next)
		}
		all = append(all, ids...)
		if next == "" {
			return all
		}
		page.Token = next
	}
}

func (s *listed) transfers(f postgres.TransferFilter) func(paging.Page) ([]string, string, error) {
	return func(page paging.Page) (ids []string, next string, err error) {
		list, next, err := s.l.ListTransfers(context.Background(), f, page)
		for i := range list {
			ids = append(ids, list[i].ID.String())
		}
		return ids, next, err
	}
}

func (s *listed) entries(f postgres.EntryFilter) func(paging.Page) ([]string, string, error) {
	return func(page paging.Page) (ids []string, next string, err error) {
		list, next, err := s.l.ListEntries(context.Background(), f, page)
		for i := range list {
			ids = append(ids, list[i].TransferID.String())
		}
		return ids, next, err
	}
}

func (s *listed) accountList(f postgres.AccountFilter) func(paging.Page) ([]string, string, error) {
	return func(page paging.Page) (ids []string, next string, err error) {
		list, next, err := s.l.ListAccounts(context.Background(), f, page)
		for i := range list {
			ids = append(ids, list[i].ID.String())
		}
		return ids, next, err
	}
}

var pageSizes = []int32{1, 2, 3, 5, 8, 13, 1000}

// TestListTransfers: every filter, and every combination of them, returns what a naive filter of
// all rows does.
func TestListTransfers(t *testing.T) {
	t.Parallel()
	s := newListed(t)
	n, found := 0, 0
	for _, account := range []uuid.UUID{uuid.Nil, s.accounts[0], s.accounts[2], s.accounts[6], s.unlisted} {
		for _, status := range []ledger.TransferStatus{"", ledger.TransferSuccess, ledger.TransferFailed, ledger.TransferInit} {
			for _, currency := range []string{"", "USD", "EUR", "NONE"} {
				for _, reference := range []string{"", "order-1", "order-3"} {
					for _, r := range s.ranges() {
						f := postgres.TransferFilter{
							AccountID: account, Status: status, Currency: currency, Reference: reference, Start: r[0], End: r[1],
						}
						var want []string
						for _, row := range s.rows {
							if (account == uuid.Nil || row.from == account || row.to == account) &&
								(status == "" || row.status == string(status)) && (currency == "" || row.currency == currency) &&
								(reference == "" || row.reference == reference) && within(row.created, r[0], r[1]) {
								want = append(want, row.id.String())
							}
						}
						n++
						found += len(want)
						size := pageSizes[n%len(pageSizes)]
						if got := collect(t, max(size, int32(len(want)/4)), s.transfers(f)); !slices.Equal(got, want) {
							t.Fatalf("%+v by %d: got %v, want %v", f, size, got, want)
						}
					}
				}
			}
		}
	}
	if found < n {
		t.Errorf("%d filters found %d transfers: they say little", n, found)
	}
	var all []string
	for _, row := range s.rows {
		all = append(all, row.id.String())
	}
	for _, size := range pageSizes {
		if got := collect(t, size, s.transfers(postgres.TransferFilter{})); !slices.Equal(got, all) {
			t.Errorf("pages of %d: got %v, want %v", size, got, all)
		}
	}
}

// TestListEntries: the entries of each account are its successful transfers, in both directions.
func TestListEntries(t *testing.T) {
	t.Parallel()
	s := newListed(t)
	for _, account := range s.accounts {
		for _, r := range s.ranges() {
			var want []string
			for _, row := range s.rows {
				if (row.from == account || row.to == account) && row.status == "SUCCESS" && within(row.created, r[0], r[1]) {
					want = append(want, row.id.String())
				}
			}
			for _, oldest := range []bool{false, true} {
				f := postgres.EntryFilter{AccountID: account, OldestFirst: oldest, Start: r[0], End: r[1]}
				for _, size := range pageSizes {
					if got := collect(t, size, s.entries(f)); !slices.Equal(got, want) {
						t.Fatalf("%+v by %d: got %v, want %v", f, size, got, want)
					}
				}
				slices.Reverse(want)
			}
		}
		all, _, err := s.l.ListEntries(context.Background(), postgres.EntryFilter{AccountID: account, OldestFirst: true}, paging.Page{Size: 1000})
		if err != nil {
			t.Fatalf("list entries: %v", err)
		}
		balance := ledgertest.Amount("0")
		for i, e := range all {
			balance = balance.Add(e.Amount)
			if e.AccountID != account || e.Sequence != int64(i+1) || !e.Balance.Equal(balance) || e.Counterparty == account || e.Scale != 2 {
				t.Errorf("entry %d of %s: %+v, want balance %s", i+1, account, e, balance)
			}
		}
	}
	_, _, err := s.l.ListEntries(context.Background(), postgres.EntryFilter{AccountID: s.unlisted}, paging.Page{})
	if got := errorText(err); got != "missing" {
		t.Errorf("entries of no account: %s", got)
	}
}

func TestListAccounts(t *testing.T) {
	t.Parallel()
	s := newListed(t)
	for i, status := range []ledger.AccountStatus{ledger.AccountFrozen, ledger.AccountFrozen, ledger.AccountClosed} {
		id := ledgertest.OpenAccount(t, s.l, ledger.AccountParams{Currency: []string{"USD", "EUR", "JPY"}[i]}).ID
		if _, err := s.l.UpdateAccount(context.Background(), ledger.AccountChange{ID: id, Status: &status}); err != nil {
			t.Fatalf("update: %v", err)
		}
	}
	all, next, err := s.l.ListAccounts(context.Background(), postgres.AccountFilter{}, paging.Page{})
	if err != nil || next != "" || len(all) != 6+5+3 { // equity, opened, opened here
		t.Fatalf("%d accounts, %q, %v", len(all), next, err)
	}
	for i := 1; i < len(all); i++ {
		if a, b := &all[i-1], &all[i]; a.CreateTime.Before(b.CreateTime) {
			t.Errorf("account %s of %s is listed before %s of %s", a.ID, a.CreateTime, b.ID, b.CreateTime)
		}
	}
	for _, currency := range []string{"", "USD", "EUR", "JPY", "NONE"} {
		for _, status := range []ledger.AccountStatus{"", ledger.AccountOpen, ledger.AccountFrozen, ledger.AccountClosed} {
			var want []string
			for i := range all {
				if (currency == "" || all[i].Currency == currency) && (status == "" || all[i].Status == status) {
					want = append(want, all[i].ID.String())
				}
			}
			for _, size := range pageSizes {
				f := postgres.AccountFilter{Currency: currency, Status: status}
				if got := collect(t, size, s.accountList(f)); !slices.Equal(got, want) {
					t.Errorf("%+v by %d: got %v, want %v", f, size, got, want)
				}
			}
		}
	}
}

func TestCurrencies(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{})
	ctx := context.Background()
	for _, c := range []struct {
		code  string
		scale int32
		want  string
	}{
		{"USD", 2, "ok true"}, {"USD", 3, "conflict"}, {"XAU", 4, "ok false"}, {"XAU", 4, "ok true"}, {"XAU", 0, "conflict"},
		{"A12345678901", 18, "ok false"}, {"usd", 2, "invalid code"}, {"US", 2, "invalid code"}, {"1US", 2, "invalid code"},
		{"USD\n", 2, "invalid code"}, {"A123456789012", 2, "invalid code"}, {"", 2, "invalid code"}, {"XAG", -1, "invalid scale"},
		{"XAG", 19, "invalid scale"}, {"XAG", 0, "ok false"},
	} {
		got, replayed, err := l.CreateCurrency(ctx, c.code, c.scale, false)
		text := errorText(err)
		if err == nil {
			text = fmt.Sprintf("ok %t", replayed)
		}
		if text != c.want || err == nil && (got.Code != c.code || got.Scale != c.scale) {
			t.Errorf("add %q with %d decimals: got %+v, %s, want %s", c.code, c.scale, got, text, c.want)
		}
	}
	want := strings.Fields("A12345678901 BTC ETH EUR GBP JPY USD XAG XAU")
	for _, size := range pageSizes {
		got := collect(t, size, func(page paging.Page) (codes []string, next string, err error) {
			list, next, err := l.ListCurrencies(ctx, page)
			for i := range list {
				codes = append(codes, list[i].Code)
			}
			return codes, next, err
		})
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: got %v, want %v", size, got, want)
		}
	}
	equity, err := l.GetAccount(ctx, uuid.MustParse("fcc612ef-05c7-51eb-9f2a-022abd238d80"))
	if err != nil || equity.Currency != "USD" || equity.MinBalance.Valid {
		t.Errorf("equity of USD: %+v, %v", equity, err)
	}
}
