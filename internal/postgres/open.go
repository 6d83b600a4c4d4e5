package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/internal/stored"
	"internaltransfers/ledger"
)

// An opening is an account to open, valid in itself, and what became of it.
type opening struct {
	params      ledger.AccountParams
	currency    ledger.Currency
	fingerprint [sha256.Size]byte // of the fields: a replay differs from a conflict
	transferID  uuid.UUID         // of the opening balance's transfer

	account  ledger.Account
	replayed bool
	err      error
}

// fingerprint hashes the fields that an account is opened with, in one spelling.
func fingerprint(p *ledger.AccountParams, currency ledger.Currency) [sha256.Size]byte {
	fields := []any{
		currency.Code, p.InitialBalance.StringFixed(currency.Scale), p.MinBalance.StringFixed(currency.Scale),
		p.DisplayName, p.ImageURL, stored.EncodeMetadata(p.Metadata),
	}
	if p.MaxBalance.Valid || !p.Policy.Empty() {
		// Accounts without these are as they were hashed before there were any.
		fields = append(fields, ledger.CanonicalAmount(p.MaxBalance), p.Policy.Encode())
	}
	b, err := json.Marshal(fields)
	if err != nil {
		panic(err) // texts always encode
	}
	return sha256.Sum256(b)
}

// openBatch opens accounts in one transaction. Opening balances are transfers from the currencies'
// equity accounts. Openings of accounts that are there already get those, or a conflict. After an
// durable.AmbiguousCommitError, what became of the openings holds if the batch was committed.
func (l *Ledger) openBatch(ctx context.Context, conn *pgx.Conn, openings []*opening) error {
	for _, o := range openings {
		o.account, o.replayed, o.err = ledger.Account{}, false, nil
	}
	firsts, params := firstOfEach(openings)
	inserted, err := l.queries.AccountsInsert(ctx, durable.Pipe{Conn: conn, Before: durable.Begin}, params)
	if err != nil {
		return fmt.Errorf("insert the accounts: %w", err)
	}
	fresh := make([]*opening, 0, len(inserted))
	for _, row := range inserted {
		o := firsts[row.AccountID]
		o.account = o.newAccount()
		o.account.CreateTime, o.account.UpdateTime = row.CreateTime, row.CreateTime
		fresh = append(fresh, o)
	}
	if err := l.answerKnown(ctx, conn, openings, fresh); err != nil {
		return err
	}
	d, err := l.fund(ctx, conn, fresh)
	if err != nil {
		return err
	}
	if d == nil {
		if err := l.database.RequireOwn(ctx, conn); err != nil {
			return err
		}
		return durable.CommitError("commit the accounts", l.queries.Barrier(ctx, durable.Pipe{Conn: conn, After: durable.Commit}))
	}
	for _, o := range fresh {
		if d.advanced && o.params.InitialBalance.IsPositive() {
			o.account.UpdateTime = d.at
		}
	}
	_, err = l.record(ctx, conn, d.commands, &d.Decision, nil, d.at)
	return err
}

// isNew reports whether the account was opened by this very call.
func (o *opening) isNew() bool { return o.err == nil && !o.replayed }

// opened reports whether the batch of these openings, whose COMMIT got no response, was committed,
// as committed does.
func (l *Ledger) opened(ctx context.Context, conn *pgx.Conn, openings []opening) (bool, error) {
	for i := range openings {
		o := &openings[i]
		if !o.isNew() {
			continue
		}
		rows, err := l.queries.AccountsGet(ctx, conn, []uuid.UUID{o.params.ID})
		if err != nil {
			return false, fmt.Errorf("look whether the accounts were opened: %w", err)
		}
		if len(rows) != 1 || !rows[0].Account.CreateTime.Equal(o.account.CreateTime) {
			return false, nil
		}
		return true, l.pool.Barrier(ctx, conn, "")
	}
	return false, nil
}

// firstOfEach returns the first opening of each id, and their rows.
func firstOfEach(openings []*opening) (map[uuid.UUID]*opening, db.AccountsInsertParams) {
	firsts := make(map[uuid.UUID]*opening, len(openings))
	var p db.AccountsInsertParams
	for _, o := range openings {
		if firsts[o.params.ID] != nil {
			continue
		}
		firsts[o.params.ID] = o
		entries := int64(0)
		if o.params.InitialBalance.IsPositive() {
			entries = 1
		}
		p.AccountIDs = append(p.AccountIDs, o.params.ID)
		p.Currencies = append(p.Currencies, o.currency.Code)
		p.Balances = append(p.Balances, o.params.InitialBalance)
		p.MinBalances = append(p.MinBalances, o.params.MinBalance)
		p.MaxBalances = append(p.MaxBalances, nullText(o.params.MaxBalance))
		p.Policies = append(p.Policies, string(o.params.Policy.Encode()))
		p.EntryCounts = append(p.EntryCounts, entries)
		p.DisplayNames = append(p.DisplayNames, o.params.DisplayName)
		p.ImageURLs = append(p.ImageURLs, o.params.ImageURL)
		p.Metadata = append(p.Metadata, stored.EncodeMetadata(o.params.Metadata))
		p.Fingerprints = append(p.Fingerprints, o.fingerprint[:])
	}
	return firsts, p
}

// newAccount is the account as it is right after it was opened, but for the times.
func (o *opening) newAccount() ledger.Account {
	a := ledger.Account{
		ID: o.params.ID, Currency: o.currency.Code, Scale: o.currency.Scale, Balance: o.params.InitialBalance,
		Status: ledger.AccountOpen, DisplayName: o.params.DisplayName, ImageURL: o.params.ImageURL,
		Metadata: o.params.Metadata, MaxBalance: o.params.MaxBalance, Policy: o.params.Policy, Version: 1,
	}
	a.MinBalance.Decimal, a.MinBalance.Valid = o.params.MinBalance, true
	if o.params.InitialBalance.IsPositive() {
		a.Version = 2
	}
	return a
}

// answerKnown sets the results of openings of accounts that this batch did not make, or made for an
// earlier opening.
func (l *Ledger) answerKnown(ctx context.Context, conn *pgx.Conn, openings, fresh []*opening) error {
	var ids []uuid.UUID
	var known []*opening
	for _, o := range openings {
		if !slices.Contains(fresh, o) {
			ids = append(ids, o.params.ID)
			known = append(known, o)
		}
	}
	if len(known) == 0 {
		return nil
	}
	rows, err := l.queries.AccountsGet(ctx, conn, ids)
	if err != nil {
		return fmt.Errorf("read known accounts: %w", err)
	}
	byID := make(map[uuid.UUID]*db.AccountsGetRow, len(rows))
	for i := range rows {
		byID[rows[i].Account.AccountID] = &rows[i]
	}
	for _, o := range known {
		row := byID[o.params.ID]
		if row == nil {
			return fmt.Errorf("%w: account %s is neither new nor there", durable.ErrInvariant, o.params.ID)
		}
		if err := l.answerStored(ctx, conn, o, row); err != nil {
			return err
		}
	}
	return nil
}

// answerStored sets the result of an opening whose account exists already.
func (l *Ledger) answerStored(ctx context.Context, conn db.DBTX, o *opening, row *db.AccountsGetRow) (err error) {
	if string(row.Account.CreateFingerprint) != string(o.fingerprint[:]) {
		o.err = &ledger.ConflictError{Kind: "account", ID: o.params.ID.String()}
		return nil
	}
	o.replayed = true
	o.account, err = l.currencies.Account(ctx, conn, &row.Account, row.ExpiredHeld, row.ExpiredIncoming)
	return err
}

// previewOpening sets what would become of an opening, and changes nothing. A new account can
// always be opened: its fields are valid, and a currency's equity account pays any amount.
func (l *Ledger) previewOpening(ctx context.Context, o *opening) error {
	rows, err := l.queries.AccountsGet(ctx, l.pool, []uuid.UUID{o.params.ID})
	if err != nil {
		return durable.ReadError(ctx, "look for the account", err)
	}
	if len(rows) > 0 {
		if err := l.answerStored(ctx, l.pool, o, &rows[0]); err != nil {
			return err
		}
		return o.err
	}
	now, err := l.queries.Clock(ctx, l.pool)
	if err != nil {
		return durable.ReadError(ctx, "read the clock", err)
	}
	o.account = o.newAccount()
	o.account.CreateTime, o.account.UpdateTime = now, now
	return nil
}

// fund moves the opening balances. The new accounts' rows have theirs already; here the equity
// accounts pay, and the ledger rows are made. It returns nil when no account has an opening
// balance.
func (l *Ledger) fund(ctx context.Context, conn *pgx.Conn, fresh []*opening) (*optimisticResult, error) {
	var commands []ledger.Command
	accounts := make(map[uuid.UUID]*ledger.AccountState)
	payers := make(ledger.NetChanges)
	var opened []uuid.UUID
	for _, o := range fresh {
		amount := o.params.InitialBalance
		if !amount.IsPositive() {
			continue
		}
		equity := o.currency.EquityAccountID
		commands = append(commands, ledger.Command{
			TransferParams: ledger.TransferParams{ID: o.transferID, From: equity, To: o.params.ID, Amount: amount},
			Made:           true,
		})
		accounts[o.params.ID] = &ledger.AccountState{Currency: o.currency, Status: ledger.AccountOpen}
		opened = append(opened, o.params.ID)
		payer := payers.At(equity)
		payer.Delta = payer.Delta.Sub(amount)
		payer.Debits = payer.Debits.Add(amount)
		payer.Moves++
	}
	if len(commands) == 0 {
		return nil, nil
	}
	rows, err := l.queries.AccountsApply(ctx, conn, applyParams(payers))
	if err != nil {
		return nil, fmt.Errorf("take opening balances from equity: %w", err)
	}
	for i := range rows {
		if accounts[rows[i].AccountID], err = l.stateBefore(ctx, conn, &rows[i], payers[rows[i].AccountID]); err != nil {
			return nil, err
		}
	}
	d := ledger.Decide(commands, &ledger.Snapshot{Accounts: accounts})
	if !d.AllMove() {
		return nil, fmt.Errorf("%w: an opening balance was refused: %+v", durable.ErrInvariant, d.Outcomes)
	}
	at, advanced, err := l.decidedAt(ctx, conn, rows, opened...)
	return &optimisticResult{d, at, advanced, commands}, err
}
