package postgres

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/ledger"
)

// relocksMax is how often the set of accounts to lock may turn out too small, in one attempt: holds
// expire meanwhile.
const relocksMax = 4

// dueMax is how many expired holds of an account a batch ends together with what it decides. What
// is more is ended in commits of their own before, so that no backlog is ever too long to be worked
// off.
const dueMax = 1000

// errRelock: more accounts must be locked than there was time to find out.
var errRelock = fmt.Errorf("expiring holds touch more and more accounts: %w", durable.ErrRepeat)

// lockSnapshot locks the accounts that the commands need and reads what a decision about them
// needs. tx begins the transaction.
//
// An expired hold is ended by the first decision about one of its accounts, which needs the lock of
// the other one too. Locks are taken in one order, so when a hold turns up whose other account is
// not locked, all locks are given back and taken again with that account among them.
func (l *Ledger) lockSnapshot(ctx context.Context, tx durable.Pipe, commands []ledger.Command) (*ledger.Snapshot, error) {
	ids := chosenIDs(commands)
	if err := l.aimCommands(ctx, &tx, commands); err != nil {
		return nil, err
	}
	named := namedAccounts(commands)
	lock := maps.Clone(named)
	for range relocksMax {
		k := &ledger.Snapshot{}
		rows, err := l.queries.AccountsLock(ctx, tx, slices.SortedFunc(maps.Keys(lock), ledger.CompareIDs))
		if err != nil {
			return nil, fmt.Errorf("lock the accounts: %w", err)
		}
		if k.Clock, err = l.queries.Clock(ctx, tx.Conn); err != nil {
			return nil, fmt.Errorf("read the clock: %w", err)
		}
		k.Now = k.Clock
		k.Accounts = make(map[uuid.UUID]*ledger.AccountState, len(rows))
		for i := range rows {
			if err := l.addAccount(ctx, tx.Conn, k, (*db.AccountsPeekRow)(&rows[i])); err != nil {
				return nil, err
			}
		}
		complete, err := l.addDueHolds(ctx, tx.Conn, k, named, lock, dueMax)
		if err != nil {
			return nil, err
		}
		if complete {
			return k, l.addStored(ctx, tx.Conn, k, commands, ids)
		}
		tx.Before = durable.BeginAgain
	}
	return nil, errRelock
}

// readSnapshot reads what a decision needs without locks, for a dry run. conn is in a transaction
// that sees one moment.
func (l *Ledger) readSnapshot(ctx context.Context, conn db.DBTX, commands []ledger.Command) (*ledger.Snapshot, error) {
	ids := chosenIDs(commands)
	if err := l.aimCommandsIn(ctx, conn, commands); err != nil {
		return nil, err
	}
	named := namedAccounts(commands)
	all := maps.Clone(named)
	k := &ledger.Snapshot{Accounts: make(map[uuid.UUID]*ledger.AccountState)}
	var err error
	if k.Clock, err = l.queries.Clock(ctx, conn); err != nil {
		return nil, fmt.Errorf("read the clock: %w", err)
	}
	k.Now = k.Clock
	for complete := false; !complete; {
		rows, err := l.queries.AccountsPeek(ctx, conn, slices.SortedFunc(maps.Keys(all), ledger.CompareIDs))
		if err != nil {
			return nil, fmt.Errorf("read the accounts: %w", err)
		}
		for i := range rows {
			if err := l.addAccount(ctx, conn, k, &rows[i]); err != nil {
				return nil, err
			}
		}
		if complete, err = l.addDueHolds(ctx, conn, k, named, all, math.MaxInt32); err != nil {
			return nil, err
		}
	}
	return k, l.addStored(ctx, conn, k, commands, ids)
}

// namedAccounts are the accounts that the commands name, whether or not they exist.
func namedAccounts(commands []ledger.Command) map[uuid.UUID]struct{} {
	named := make(map[uuid.UUID]struct{}, 2*len(commands))
	for i := range commands {
		named[commands[i].From], named[commands[i].To] = struct{}{}, struct{}{}
	}
	delete(named, uuid.Nil) // of commands whose target is not there
	return named
}

// aimCommands gives commands that are about other transfers their accounts, in the transaction that
// tx begins if need be.
func (l *Ledger) aimCommands(ctx context.Context, tx *durable.Pipe, commands []ledger.Command) error {
	if len(targetIDs(commands)) == 0 {
		return nil
	}
	if _, err := tx.Conn.Exec(ctx, tx.Before); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	tx.Before = ""
	return l.aimCommandsIn(ctx, tx.Conn, commands)
}

func (l *Ledger) aimCommandsIn(ctx context.Context, conn db.DBTX, commands []ledger.Command) error {
	// What is read here of a target, its accounts and its reference, never changes.
	targets, err := l.storedTransfers(ctx, conn, targetIDs(commands))
	if err != nil {
		return err
	}
	byID := make(map[uuid.UUID]*ledger.Transfer, len(targets))
	for i := range targets {
		byID[targets[i].ID] = &targets[i].Transfer
	}
	for i := range commands {
		if t := byID[commands[i].Target]; t != nil {
			commands[i].Aim(t)
		}
	}
	return nil
}

// targetIDs returns the transfers that the commands are about.
func targetIDs(commands []ledger.Command) []uuid.UUID {
	var ids []uuid.UUID
	for i := range commands {
		if t := commands[i].Target; t != uuid.Nil {
			ids = append(ids, t)
		}
	}
	return ids
}

// addAccount adds an account as it was before the batch.
func (l *Ledger) addAccount(ctx context.Context, conn db.DBTX, k *ledger.Snapshot, r *db.AccountsPeekRow) error {
	currency, err := l.currencies.Get(ctx, conn, r.Currency)
	if err != nil {
		return err
	}
	s := &ledger.AccountState{
		Currency: currency, Status: ledger.AccountStatus(r.Status), Balance: r.Balance, Held: r.Held, Incoming: r.Incoming,
		Floor: r.MinBalance, Ceiling: r.MaxBalance, Entries: r.EntryCount,
		Version: r.Version,
	}
	if s.Policy, err = ledger.DecodePolicy(r.Policy); err != nil {
		return fmt.Errorf("account %s: %w", r.AccountID, err)
	}
	before := *s
	s.Before = &before
	k.Accounts[r.AccountID] = s
	// No movement of a batch is older than one before it on the same account, even when the clock
	// was set back. What is due goes by the clock all the same: an account that is ahead of it
	// would end the holds of all accounts in its batch.
	if r.UpdateTime.After(k.Now) {
		k.Now = r.UpdateTime
	}
	return nil
}

// addDueHolds adds the expired holds from and to the named accounts, or if there are more than
// limit, the first of them. When one has an account that was not read, it adds that account to the
// named ones and returns false.
func (l *Ledger) addDueHolds(
	ctx context.Context, conn db.DBTX, k *ledger.Snapshot, named, read map[uuid.UUID]struct{}, limit int32,
) (bool, error) {
	holding := make([]uuid.UUID, 0, len(named))
	for id := range named {
		if s := k.Accounts[id]; s != nil && (!s.Held.IsZero() || !s.Incoming.IsZero()) {
			holding = append(holding, id)
		}
	}
	if len(holding) == 0 {
		return true, nil
	}
	rows, err := l.queries.HoldsDue(ctx, conn, db.HoldsDueParams{AccountIDs: holding, Now: k.Clock, RowLimit: limit})
	if err != nil {
		return false, fmt.Errorf("look for expired holds: %w", err)
	}
	n := len(read)
	k.Due, k.MoreDue = make([]uuid.UUID, 0, len(rows)), len(rows) >= int(limit)
	for i := range rows {
		k.Due = append(k.Due, rows[i].TransferID)
		read[rows[i].FromAccountID.UUID], read[rows[i].ToAccountID.UUID] = struct{}{}, struct{}{}
	}
	if len(read) == n {
		return true, nil
	}
	// What expires while the locks are taken again is locked then, too.
	rows, err = l.queries.HoldsDue(ctx, conn, db.HoldsDueParams{AccountIDs: holding, Now: k.Clock.Add(time.Second), RowLimit: limit})
	if err != nil {
		return false, fmt.Errorf("look for expiring holds: %w", err)
	}
	for i := range rows {
		read[rows[i].FromAccountID.UUID], read[rows[i].ToAccountID.UUID] = struct{}{}, struct{}{}
	}
	return false, nil
}

// addStored adds the transfers that were there before, and what payers with limits have paid.
func (l *Ledger) addStored(ctx context.Context, conn db.DBTX, k *ledger.Snapshot, commands []ledger.Command, ids []uuid.UUID) error {
	// Read after the locks: another writer of one of these with the same accounts has committed by
	// now.
	ids = append(append(ids, targetIDs(commands)...), k.Due...)
	var err error
	if k.Stored, err = l.storedTransfers(ctx, conn, ids); err != nil {
		return err
	}
	if err := l.addGroups(ctx, conn, k, commands); err != nil {
		return err
	}
	return l.addUsage(ctx, conn, k, commands)
}

// addGroups adds the groups that commands name, and those of the transfers that were there before.
func (l *Ledger) addGroups(ctx context.Context, conn db.DBTX, k *ledger.Snapshot, commands []ledger.Command) error {
	groups := make(map[uuid.UUID]struct{})
	for i := range commands {
		groups[commands[i].GroupNamed()] = struct{}{}
	}
	for i := range k.Stored {
		groups[k.Stored[i].Group()] = struct{}{}
	}
	delete(groups, uuid.Nil)
	if len(groups) == 0 {
		return nil
	}
	rows, err := l.queries.GroupsGet(ctx, conn, slices.Collect(maps.Keys(groups)))
	if err != nil {
		return fmt.Errorf("look for earlier groups: %w", err)
	}
	k.Groups = make(map[uuid.UUID]int, len(rows))
	for i := range rows {
		k.Groups[rows[i].TransferGroup.GroupID] = int(rows[i].TransferGroup.Size)
	}
	return nil
}

// addUsage adds what payers with limits have paid within the windows of these.
func (l *Ledger) addUsage(ctx context.Context, conn db.DBTX, k *ledger.Snapshot, commands []ledger.Command) error {
	var p db.UsageGetParams
	var usages []*ledger.Usage
	for i := range commands {
		s := k.Accounts[commands[i].From]
		if s == nil || s.Policy == nil || s.Usage != nil || !commands[i].Verb.CountsForLimits() {
			continue
		}
		s.Usage = make([]ledger.Usage, len(s.Policy.Limits))
		for j := range s.Usage {
			p.Ordinals = append(p.Ordinals, int64(len(usages)))
			p.AccountIDs = append(p.AccountIDs, commands[i].From)
			p.Since = append(p.Since, k.Clock.Add(-s.Policy.Limits[j].Window))
			usages = append(usages, &s.Usage[j])
		}
	}
	if len(usages) == 0 {
		return nil
	}
	rows, err := l.queries.UsageGet(ctx, conn, p)
	if err != nil {
		return fmt.Errorf("sum what was paid: %w", err)
	}
	for i := range rows {
		*usages[rows[i].Ordinal] = ledger.Usage{Amount: rows[i].Amount, Count: rows[i].Count}
	}
	return nil
}

// preview returns what would become of the commands, and changes nothing.
func (l *Ledger) preview(ctx context.Context, commands []ledger.Command) ([]ledger.Outcome, error) {
	var outcomes []ledger.Outcome
	err := l.pool.View(ctx, func(tx pgx.Tx) error {
		k, err := l.readSnapshot(ctx, tx, commands)
		if err != nil {
			return err
		}
		d := ledger.Decide(commands, k)
		outcomes = d.Outcomes
		return l.scale(ctx, tx, &d)
	})
	if err != nil {
		return nil, durable.ReadError(ctx, "look what would happen", err)
	}
	return outcomes, nil
}
