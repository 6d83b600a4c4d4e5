package postgres

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"internaltransfers/gen/db"
	"internaltransfers/internal/paging"
)

const (
	// idPrefixMin is the least number of hexadecimal digits that find an account by its id.
	idPrefixMin = 4
	// fewNames is up to how many names with the words are all read and sorted. When there are more,
	// the newest accounts are read until the page is full.
	fewNames = 5000
)

// searchesMax is how many searches there are at a time, each with one of ReadConns; others wait.
const searchesMax = 2

// accountRows reads a page of ListAccounts with its filter, before a page key.
func (l *Ledger) accountRows(ctx context.Context, f AccountFilter, before *paging.Key, limit int32) ([]db.AccountListRow, error) {
	if f.Search == "" {
		return l.queries.AccountList(ctx, l.pool, db.AccountListParams{
			BeforeTime: before.Time, BeforeID: before.ID, Currency: f.Currency, Status: string(f.Status), RowLimit: limit,
		})
	}
	// Some words make the database look at many names, and other readers must not wait for that.
	select {
	case l.searches <- struct{}{}:
		defer func() { <-l.searches }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	words, err := l.queries.SearchWords(ctx, l.pool, f.Search)
	if err != nil {
		return nil, err
	}
	first, last := idRange(f.Search)
	if len(words) == 0 && last == uuid.Nil {
		return nil, nil // nothing that a name or an id begins with
	}
	search := db.AccountSearchParams{
		Words: prefixQuery(words), FirstID: first, LastID: last,
		BeforeTime: before.Time, BeforeID: before.ID, Currency: f.Currency, Status: string(f.Status), RowLimit: limit,
	}
	n, err := l.queries.SearchCount(ctx, l.pool, db.SearchCountParams{Words: search.Words, RowLimit: fewNames + 1})
	if err != nil {
		return nil, err
	}
	var rows []db.AccountListRow
	if n > fewNames {
		found, err := l.queries.AccountScan(ctx, l.pool, db.AccountScanParams(search))
		for i := range found {
			rows = append(rows, db.AccountListRow(found[i]))
		}
		return rows, err
	}
	found, err := l.queries.AccountSearch(ctx, l.pool, search)
	for i := range found {
		rows = append(rows, db.AccountListRow(found[i]))
	}
	return rows, err
}

// prefixQuery is the tsquery for texts that have a word that begins with each of these. Each is
// quoted, so that it is a word whatever is in it.
func prefixQuery(words []string) string {
	quote := strings.NewReplacer(`'`, `''`, `\`, `\\`)
	terms := make([]string, 0, len(words))
	for _, word := range words {
		terms = append(terms, "'"+quote.Replace(word)+"':*")
	}
	return strings.Join(terms, " & ")
}

// idRange returns the ids that begin with the text, which is written as an id is, with hyphens or
// without. For a text that no id begins with, or that is too short, it returns uuid.Nil, which no
// account has, twice.
func idRange(text string) (first, last uuid.UUID) {
	text = strings.ToLower(strings.TrimSpace(text))
	digits := strings.ReplaceAll(text, "-", "")
	if len(digits) < idPrefixMin || len(digits) > 32 || strings.Trim(digits, "0123456789abcdef") != "" {
		return uuid.Nil, uuid.Nil
	}
	first = uuid.MustParse(digits + strings.Repeat("0", 32-len(digits)))
	last = uuid.MustParse(digits + strings.Repeat("f", 32-len(digits)))
	if len(digits) < len(text) && !strings.HasPrefix(last.String(), text) {
		return uuid.Nil, uuid.Nil // the hyphens are elsewhere
	}
	return first, last
}
