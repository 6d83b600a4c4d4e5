package postgres_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

var searchNames = []string{
	0: "Anna-Maria O'Brien", 1: "Öztürk & Söhne GmbH", 2: "MÜLLER, Hans", 3: "Мария Иванова", 4: "corner.shop@example.com",
	5: "東京 商店", 6: "Fish 🐟 and 🍟 Chips", 7: `back\slash 'quoted' "double"`, 8: "it's 100% a:* & b | !c <-> (d)", 9: "",
	10: "Mu\u0308ller, Decomposed", 11: "हिन्दी दुकान", 12: "dead beef",
}

// searchID is the id of the account with searchNames[i].
func searchID(i int) uuid.UUID {
	return uuid.MustParse(fmt.Sprintf("c0ffee%02d-5d70-4c3e-9d3f-6f2f8c1f7a01", i))
}

func TestSearch(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{})
	for i, name := range searchNames {
		ledgertest.OpenAccount(t, l, ledger.AccountParams{ID: searchID(i), DisplayName: name})
	}
	all := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	for _, test := range []struct {
		search string
		want   []int
	}{
		{"anna", []int{0}}, {"ANNA", []int{0}}, {"mari", []int{0}}, {"brien anna", []int{0}}, {"O'Brien", []int{0}}, {"nna", nil},
		{"anna bob", nil}, {"o", []int{0}}, {"öz", []int{1}}, {"SÖHNE", []int{1}}, {"gmbh söhne öztürk", []int{1}},
		{"müller", []int{2, 10}}, {"Müll", []int{2, 10}}, {"mu\u0308ller", []int{2, 10}}, {"МАРИЯ", []int{3}}, {"ива мар", []int{3}},
		{"example", []int{4}}, {"com shop", []int{4}}, {"corner.shop@exa", []int{4}}, {"東", []int{5}}, {"商店", []int{5}},
		{"🐟", []int{6}}, {"🍟 fish", []int{6}}, {`back\sl`, []int{7}}, {`'quo`, []int{7}}, {"100%", []int{8}}, {"a:*", []int{0, 6, 8}},
		{"a b c d", []int{8}}, {"हिन्दी", []int{11}}, {"दुक", []int{11}}, {"हन", nil}, {"dead", []int{12}},
		{"c0ffee", all}, {"C0FFEE", all}, {"c0ff", all}, {"c0f", nil}, {" c0ffee03 ", []int{3}}, {"c0ffee03-", []int{3}},
		{"c0ffee03-5d70-4c3e-9d3f-6f2f8c1f7a01", []int{3}}, {"c0ffee035d704c3e9d3f6f2f8c1f7a01", []int{3}},
		{"c0ffee03-5d70-4c3e-9d3f-6f2f8c1f7a010", nil}, {"c0ff-ee", nil}, {"c0ffee03-5d71", nil}, {"c0ffeg", nil},
		{"' & | ! ( ) : * \\", nil}, {"':*", nil}, {"''", nil}, {"\\", nil}, {"   ", nil}, {"\u00a0", nil}, {"!", nil}, {"<->", nil},
		{"&&", nil}, {"a & !b", []int{0, 8}}, {"a:*B", []int{0, 8}}, {"anna—maria", []int{0}}, {"“öztürk”", []int{1}}, {strings.Repeat("x ", 50), nil}, {strings.Repeat("🐟", 100), nil},
		{strings.Repeat("'", 100), nil}, {"\u200b", nil}, {"\u0301", nil}, {"\r\n\t", nil}, {"%", nil}, {"_", nil}, {"$1", []int{8}}, {"--", nil},
	} {
		for _, filter := range []postgres.AccountFilter{
			{Search: test.search}, {Search: test.search, Currency: "USD"}, {Search: test.search, Status: ledger.AccountOpen},
		} {
			requireSearch(t, l, filter, test.want)
		}
		requireSearch(t, l, postgres.AccountFilter{Search: test.search, Currency: "EUR"}, nil)
		requireSearch(t, l, postgres.AccountFilter{Search: test.search, Status: ledger.AccountFrozen}, nil)
	}
	// Equity accounts have names too.
	accounts, _, err := l.ListAccounts(t.Context(), postgres.AccountFilter{Search: "equity usd"}, paging.Page{})
	if err != nil || len(accounts) != 1 || accounts[0].DisplayName != "USD equity" {
		t.Errorf("got %v, %v, want the equity account", accounts, err)
	}
	for _, text := range []string{"\x00", "a\x00b", "\xff"} {
		_, _, err := l.ListAccounts(t.Context(), postgres.AccountFilter{Search: text}, paging.Page{})
		if invalid, ok := errors.AsType[*ledger.InvalidError](err); !ok || invalid.Field != "search" {
			t.Errorf("%q: got %v, want an InvalidError of search", text, err)
		}
	}
}

func requireSearch(t *testing.T, l *postgres.Ledger, filter postgres.AccountFilter, want []int) {
	t.Helper()
	accounts, token, err := l.ListAccounts(t.Context(), filter, paging.Page{})
	if err != nil || token != "" {
		t.Fatalf("%+v: token %q, %v", filter, token, err)
	}
	ids := make([]string, 0, len(accounts))
	for i := range accounts {
		ids = append(ids, accounts[i].ID.String())
	}
	wanted := make([]string, 0, len(want))
	for _, i := range want {
		wanted = append(wanted, searchID(i).String())
	}
	slices.Sort(ids)
	if !slices.Equal(ids, wanted) {
		t.Errorf("%+v: got %v, want %v", filter, ids, wanted)
	}
}

// A name that changes is found by its new words, and a page's token is for its search only.
func TestSearchPages(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{})
	var want []uuid.UUID // newest first
	for i := range 7 {
		a := ledgertest.OpenAccount(t, l, ledger.AccountParams{DisplayName: fmt.Sprintf("Person %d", i)})
		want = slices.Insert(want, 0, a.ID)
	}
	renamed := want[3]
	if _, err := l.UpdateAccount(t.Context(), ledger.AccountChange{ID: renamed, DisplayName: new("Somebody else")}); err != nil {
		t.Fatal(err)
	}
	want = slices.Delete(want, 3, 4)
	filter := postgres.AccountFilter{Search: "pers"}
	var got []uuid.UUID
	var token string
	for page := 0; page == 0 || token != ""; page++ {
		accounts, next, err := l.ListAccounts(t.Context(), filter, paging.Page{Size: 4, Token: token})
		if err != nil {
			t.Fatal(err)
		}
		for i := range accounts {
			got = append(got, accounts[i].ID)
		}
		if page == 0 {
			for _, other := range []postgres.AccountFilter{{}, {Search: "perso"}, {Search: "PERS"}, {Search: "pers", Currency: "USD"}} {
				_, _, err := l.ListAccounts(t.Context(), other, paging.Page{Size: 4, Token: next})
				if !errors.Is(err, ledger.ErrPageToken) {
					t.Errorf("the token with %+v: %v", other, err)
				}
			}
		}
		token = next
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	accounts, _, err := l.ListAccounts(t.Context(), postgres.AccountFilter{Search: "else"}, paging.Page{})
	if err != nil || len(accounts) != 1 || accounts[0].ID != renamed {
		t.Errorf("the new name: got %v, %v", accounts, err)
	}
}

// A search reads its indexes, not all accounts; and a movement of an account that has a name
// touches neither of them.
func TestSearchIndexes(t *testing.T) {
	t.Parallel()
	url := pgtest.NewServer(t).URL() // transactions of other databases keep old versions
	l := ledgertest.OpenPrivate(t, url, postgres.Config{Logger: ledgertest.Silent})
	ids := make([]uuid.UUID, 0, 20)
	for i := range cap(ids) {
		ids = append(ids, ledgertest.OpenAccount(t, l, ledger.AccountParams{DisplayName: fmt.Sprintf("Mover %d", i), InitialBalance: ledgertest.Amount("1000")}).ID)
	}
	const transfers = 400
	for i := range transfers {
		_, _, err := l.Transfer(t.Context(), ledger.TransferParams{From: ids[0], To: ids[1+i%19], Amount: ledgertest.Amount("1")})
		if err != nil {
			t.Fatal(err)
		}
	}
	conn := ledgertest.Connect(t, url)
	ledgertest.Execute(t, conn, `WITH opened AS (INSERT INTO account (account_id, currency, min_balance, create_fingerprint, create_time, display_name)
		SELECT gen_random_uuid(), 'USD', 0, '', now() - i * interval '1 second', 'person ' || i || ' of street' || i % 1000
		FROM generate_series(1, 20000) AS i RETURNING account_id, create_time, display_name)
		INSERT INTO account_change (account_id, opened, balance, held, incoming, min_balance, status, version, update_time, display_name,
			image_url, metadata)
		SELECT account_id, true, 0, 0, 0, 0, 'OPEN', 1, create_time, display_name, '', '{}' FROM opened`)
	ledgertest.Execute(t, conn, "VACUUM ANALYZE account, account_change")
	searches := map[string][]string{ // with the first two that are found
		"street17 12017": {"person 12017 of street17"},
		"12017":          {"person 12017 of street17"},
		"street999":      {"person 999 of street999", "person 1999 of street999"},
		"street":         {"person 1 of street1", "person 2 of street2"}, // which many have
		"bad5eed5":       {},
	}
	for search, want := range searches {
		accounts, _, err := l.ListAccounts(t.Context(), postgres.AccountFilter{Search: search}, paging.Page{})
		if err != nil {
			t.Fatal(err)
		}
		names := []string{}
		for i := range min(2, len(accounts)) {
			names = append(names, accounts[i].DisplayName)
		}
		if !slices.Equal(names, want) {
			t.Errorf("%s: got %q, want %q", search, names, want)
		}
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitAlone(t.Context(), t, conn)
	var used, updates, hot int
	err := conn.QueryRow(t.Context(), `SELECT i.idx_scan, t.n_tup_upd, t.n_tup_hot_upd FROM pg_stat_user_indexes AS i
		CROSS JOIN pg_stat_user_tables AS t WHERE i.indexrelname = 'account_change_by_words' AND t.relname = 'account'`).Scan(&used, &updates, &hot)
	if err != nil {
		t.Fatal(err)
	}
	if used < len(searches) {
		t.Errorf("%d of %d searches used the index", used, len(searches))
	}
	if updates < 2*transfers || hot*4 < updates*3 {
		t.Errorf("%d of %d updates were heap-only", hot, updates)
	}
}
