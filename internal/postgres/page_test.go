package postgres_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// TestPagesWhileRowsArrive: paging through a list while transfers go on skips none of the rows that
// were there at the start, and returns none twice.
func TestPagesWhileRowsArrive(t *testing.T) {
	t.Parallel()
	s := newListed(t)
	ctx := context.Background()
	payer, payee := s.accounts[0], s.accounts[2] // equity has no floor: none is refused
	var writers sync.WaitGroup
	stop := make(chan struct{})
	defer func() {
		close(stop)
		writers.Wait()
	}()
	arrived := make(chan struct{}) // one message for each row, when the test listens
	for range 2 {
		writers.Go(func() {
			for {
				if _, _, err := s.l.Transfer(ctx, ledger.TransferParams{From: payer, To: payee, Amount: ledgertest.Amount("1")}); err != nil {
					t.Errorf("transfer: %v", err)
				}
				select {
				case arrived <- struct{}{}:
				case <-stop:
					return
				}
			}
		})
	}
	var there []string
	for _, row := range s.rows {
		there = append(there, row.id.String())
	}
	for _, size := range []int32{1, 3, 10} {
		got := collect(t, size, func(page paging.Page) ([]string, string, error) {
			<-arrived // at least one row between two pages
			return s.transfers(postgres.TransferFilter{})(page)
		})
		if unique := slices.Compact(slices.Sorted(slices.Values(got))); len(unique) != len(got) {
			t.Errorf("pages of %d: %d items, %d different", size, len(got), len(unique))
		}
		if len(got) < len(there) || !slices.Equal(got[len(got)-len(there):], there) {
			t.Errorf("pages of %d: the last %d of %v are not %v", size, len(there), got, there)
		}
		s.readForward(t, payee, size, arrived)
	}
}

// readForward reads an account's entries, oldest first, until it has seen ten more than were there
// when it began.
func (s *listed) readForward(t *testing.T, account uuid.UUID, size int32, arrived <-chan struct{}) {
	t.Helper()
	a, err := s.l.GetAccount(context.Background(), account)
	if err != nil {
		t.Fatalf("read the account: %v", err)
	}
	seen := int64(0)
	page := paging.Page{Size: size}
	for seen < a.Version-1+10 { // the version counts the entries
		<-arrived
		entries, next, err := s.l.ListEntries(context.Background(), postgres.EntryFilter{AccountID: account, OldestFirst: true}, page)
		if err != nil {
			t.Fatalf("list entries: %v", err)
		}
		for i := range entries {
			if seen++; entries[i].Sequence != seen {
				t.Fatalf("pages of %d: entry %d comes where %d should", size, entries[i].Sequence, seen)
			}
		}
		if next == "" {
			if seen < a.Version-1 {
				t.Errorf("pages of %d: the list ends after %d of %d entries", size, seen, a.Version-1)
			}
			return
		}
		page.Token = next
	}
}

// TestPagesEndByBytes: a page ends where it would become too large, has one item at least, and the
// pages together are the list.
func TestPagesEndByBytes(t *testing.T) {
	t.Parallel()
	s := newListed(t)
	account := s.accounts[2]
	for name, list := range map[string]func(paging.Page) ([]string, string, error){
		"transfers":       s.transfers(postgres.TransferFilter{}),
		"accounts":        s.accountList(postgres.AccountFilter{}),
		"entries":         s.entries(postgres.EntryFilter{AccountID: account}),
		"entries, oldest": s.entries(postgres.EntryFilter{AccountID: account, OldestFirst: true}),
		"statement":       s.statement(postgres.StatementFilter{AccountID: account, Start: s.rows[len(s.rows)-1].created}),
		"statement by effective time": s.statement(postgres.StatementFilter{
			AccountID: account, Start: s.rows[len(s.rows)-1].created, Effective: true,
		}),
	} {
		whole, _, err := list(paging.Page{Size: 1000})
		if err != nil || len(whole) < 5 {
			t.Fatalf("%s: %d items, %v", name, len(whole), err)
		}
		for _, bytes := range []int{1, 1200, 1 << 20} {
			var got []string
			page, pages := paging.Page{Size: 1000, Bytes: bytes}, 0
			for next := "more"; next != ""; pages++ {
				var ids []string
				if ids, next, err = list(page); err != nil || len(ids) == 0 {
					t.Fatalf("%s, %d bytes: page %d: %d items, %v", name, bytes, pages, len(ids), err)
				}
				got, page.Token = append(got, ids...), next
			}
			if !slices.Equal(got, whole) {
				t.Errorf("%s, %d bytes: the pages have %v, the list %v", name, bytes, got, whole)
			}
			switch {
			case bytes == 1 && pages != len(whole), bytes == 1200 && (pages == 1 || pages == len(whole)), bytes == 1<<20 && pages != 1:
				t.Errorf("%s, %d bytes: %d pages of %d items", name, bytes, pages, len(whole))
			}
		}
	}
}

// statement lists the entries of a statement by their transfers.
func (s *listed) statement(f postgres.StatementFilter) func(paging.Page) ([]string, string, error) {
	return func(page paging.Page) (ids []string, next string, err error) {
		_, list, next, err := s.l.GetStatement(context.Background(), f, page)
		for i := range list {
			ids = append(ids, list[i].TransferID.String())
		}
		return ids, next, err
	}
}

// TestPageTokens: a token is good for its own list and filter, on any instance, and for nothing
// else.
func TestPageTokens(t *testing.T) {
	t.Parallel()
	s := newListed(t)
	start := s.rows[len(s.rows)-1].created
	lists := map[string]func(paging.Page) ([]string, string, error){
		"transfers":            s.transfers(postgres.TransferFilter{}),
		"transfers of one":     s.transfers(postgres.TransferFilter{AccountID: s.accounts[2]}),
		"transfers of another": s.transfers(postgres.TransferFilter{AccountID: s.accounts[3]}),
		"transfers by status":  s.transfers(postgres.TransferFilter{Status: ledger.TransferSuccess}),
		"transfers in USD":     s.transfers(postgres.TransferFilter{Currency: "USD"}),
		"transfers for":        s.transfers(postgres.TransferFilter{Reference: "order-1"}),
		"transfers from":       s.transfers(postgres.TransferFilter{Start: start}),
		"transfers until":      s.transfers(postgres.TransferFilter{End: start.Add(time.Hour)}),
		"entries":              s.entries(postgres.EntryFilter{AccountID: s.accounts[2]}),
		"entries of another":   s.entries(postgres.EntryFilter{AccountID: s.accounts[3]}),
		"entries, oldest":      s.entries(postgres.EntryFilter{AccountID: s.accounts[2], OldestFirst: true}),
		"accounts":             s.accountList(postgres.AccountFilter{}),
		"accounts in USD":      s.accountList(postgres.AccountFilter{Currency: "USD"}),
		"currencies": func(page paging.Page) ([]string, string, error) {
			_, next, err := s.l.ListCurrencies(context.Background(), page)
			return nil, next, err
		},
	}
	for name, list := range lists {
		_, token, err := list(paging.Page{Size: 1})
		if err != nil || token == "" {
			t.Fatalf("%s: token %q, %v", name, token, err)
		}
		for other, list := range lists {
			if _, _, err := list(paging.Page{Size: 2, Token: token}); (err == nil) != (name == other) || err != nil && !errors.Is(err, ledger.ErrPageToken) {
				t.Errorf("the token of %s, used for %s: %v", name, other, err)
			}
		}
		for _, bad := range []string{token + "\n", token[1:], strings.ToLower(token), "x", "AAAAAAAAAAAAAAAAAAAAAAAAAAAA", "%%%"} {
			if _, _, err := list(paging.Page{Size: 1, Token: bad}); !errors.Is(err, ledger.ErrPageToken) {
				t.Errorf("%s with token %q: %v", name, bad, err)
			}
		}
	}
	// The same moment in another zone is the same filter.
	_, token, err := lists["transfers from"](paging.Page{Size: 1})
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	elsewhere := s.transfers(postgres.TransferFilter{Start: start.In(time.FixedZone("west", -7*3600))})
	if _, _, err := elsewhere(paging.Page{Size: 1, Token: token}); err != nil {
		t.Errorf("the token in another time zone: %v", err)
	}
}

// TestListsRefuse: what cannot be listed is refused as the caller's mistake, whatever else the call
// says.
func TestListsRefuse(t *testing.T) {
	t.Parallel()
	s := newListed(t)
	late := time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
	early := time.Date(0, 12, 31, 23, 59, 59, 0, time.UTC)
	token := "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	account := s.accounts[2]
	for _, c := range []struct {
		name string
		list func(paging.Page) ([]string, string, error)
		page paging.Page
		want string
	}{
		{"size", s.transfers(postgres.TransferFilter{}), paging.Page{Size: -1}, "invalid page_size"},
		{"size", s.transfers(postgres.TransferFilter{}), paging.Page{Size: 1001}, "invalid page_size"},
		{"size", s.entries(postgres.EntryFilter{AccountID: account}), paging.Page{Size: 1001}, "invalid page_size"},
		{"size", s.accountList(postgres.AccountFilter{}), paging.Page{Size: -1}, "invalid page_size"},
		{"late", s.transfers(postgres.TransferFilter{Start: late}), paging.Page{}, "invalid start_time"},
		{"late, token", s.transfers(postgres.TransferFilter{Start: late}), paging.Page{Token: token}, "invalid start_time"},
		{"early", s.transfers(postgres.TransferFilter{End: early}), paging.Page{}, "invalid end_time"},
		{"late", s.entries(postgres.EntryFilter{AccountID: account, End: late}), paging.Page{}, "invalid end_time"},
		{"late, token", s.entries(postgres.EntryFilter{AccountID: account, End: late}), paging.Page{Token: token}, "invalid end_time"},
		{"NUL", s.transfers(postgres.TransferFilter{Reference: "\x00"}), paging.Page{}, "invalid reference"},
		{"NUL", s.transfers(postgres.TransferFilter{Currency: "\x00"}), paging.Page{}, "invalid currency"},
		{"no UTF-8", s.accountList(postgres.AccountFilter{Currency: "\xff"}), paging.Page{}, "invalid currency"},
	} {
		_, _, err := c.list(c.page)
		if got := errorText(err); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	if ids, next, err := s.transfers(postgres.TransferFilter{})(paging.Page{}); err != nil || len(ids) != 50 || next == "" {
		t.Errorf("a page of the default size: %d items, next %q, %v", len(ids), next, err)
	}
}
