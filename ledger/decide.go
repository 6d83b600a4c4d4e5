package ledger

import (
	"bytes"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"internaltransfers/gen/db"
)

// A command is one transfer to decide, valid in itself.
type command struct {
	TransferParams
	made  bool // the id was made by this server, for this command: no stored transfer has it
	group int  // commands with the same number, one after another, happen all or none; 0: stands alone
}

// A state is what a decision knows of an account: first as it was before the batch, then as decided so far.
type state struct {
	currency Currency
	status   AccountStatus
	balance  decimal.Decimal
	held     decimal.Decimal
	floor    decimal.NullDecimal
	entries  int64
	start    decimal.Decimal // the balance before the batch
	moves    int64           // decided so far
}

// A decision is the outcome of a batch, exactly as if its commands had been executed one after another.
type decision struct {
	outcomes []Outcome // by index of commands
	accounts map[uuid.UUID]*state
	rows     db.TransfersInsertParams // the ledger rows to write, in order
	recorded []int                    // the index of the command of each row
}

// A decider walks through a batch. It is the only place where an outcome is made.
type decider struct {
	decision
	commands []command
	stored   map[uuid.UUID]storedTransfer // transfers that were there before, by id
	earlier  map[uuid.UUID]int            // commands of this batch whose outcome is on record, by id
}

// decide decides the commands in order. accounts holds every account that exists among those named, and is changed;
// stored holds every transfer that was there before under one of the ids.
func decide(commands []command, accounts map[uuid.UUID]*state, stored []storedTransfer) decision {
	d := decider{
		decision: decision{
			outcomes: make([]Outcome, len(commands)),
			accounts: accounts,
			rows:     newRows(len(commands)),
			recorded: make([]int, 0, len(commands)),
		},
		commands: commands,
		stored:   make(map[uuid.UUID]storedTransfer, len(stored)),
		earlier:  make(map[uuid.UUID]int, len(commands)),
	}
	for _, s := range stored {
		d.stored[s.ID] = s
	}
	for i := 0; i < len(commands); {
		end := i + 1
		if g := commands[i].group; g != 0 {
			for end < len(commands) && commands[end].group == g {
				end++
			}
			d.decideGroup(i, end)
		} else {
			d.decideOne(i)
		}
		i = end
	}
	return d.decision
}

// decideOne decides a command that stands alone.
func (d *decider) decideOne(i int) {
	if d.replay(i) {
		return
	}
	if err := d.invalid(&d.commands[i]); err != nil {
		d.outcomes[i].Err = err
	} else if reason := d.refusal(&d.commands[i]); reason != "" {
		d.record(i, reason)
	} else {
		d.move(i)
	}
}

// decideGroup decides commands that happen all or none.
func (d *decider) decideGroup(begin, end int) {
	if d.replayGroup(begin, end) {
		return
	}
	for i := begin; i < end; i++ {
		if err := d.invalid(&d.commands[i]); err != nil {
			for j := begin; j < end; j++ {
				d.outcomes[j] = Outcome{Err: inGroup(err, i-begin)}
			}
			return
		}
	}
	before := make(map[uuid.UUID]state)
	for i := begin; i < end; i++ {
		for _, id := range [...]uuid.UUID{d.commands[i].From, d.commands[i].To} {
			if s := d.accounts[id]; s != nil {
				before[id] = *s
			}
		}
	}
	rows := len(d.recorded)
	for i := begin; i < end; i++ {
		reason := d.refusal(&d.commands[i])
		if reason == "" {
			d.move(i)
			continue
		}
		for id, s := range before {
			*d.accounts[id] = s
		}
		d.truncate(rows)
		for j := begin; j < end; j++ {
			if j == i {
				d.record(j, reason)
			} else {
				d.record(j, GroupFailed)
			}
		}
		return
	}
}

// replayGroup answers a group that was decided before. A group of which only some ids are known is another group.
func (d *decider) replayGroup(begin, end int) bool {
	known := 0
	for i := begin; i < end; i++ {
		if d.replay(i) {
			known++
		}
	}
	if known == 0 {
		return false
	}
	var conflict error
	for i := begin; i < end && conflict == nil; i++ {
		if o := &d.outcomes[i]; o.Err != nil || (o.Replayed && known < end-begin) {
			conflict = &ConflictError{Kind: "transfer", ID: d.commands[i].ID.String()}
		}
	}
	if conflict != nil {
		for i := begin; i < end; i++ {
			d.outcomes[i] = Outcome{Err: conflict}
		}
	}
	return true
}

// replay answers a command whose id has an outcome already, and reports whether it has.
func (d *decider) replay(i int) bool {
	c := &d.commands[i]
	if s, ok := d.stored[c.ID]; ok {
		d.outcomes[i] = c.repeat(&s)
		return true
	}
	if j, ok := d.earlier[c.ID]; ok {
		d.outcomes[i] = c.repeat(&storedTransfer{d.outcomes[j].Transfer, d.commands[j].Currency})
		return true
	}
	return false
}

// repeat answers a command whose id is that of s: with s again when it asks for just the same, else with a conflict.
func (c *command) repeat(s *storedTransfer) Outcome {
	if c.From == s.From && c.To == s.To && c.Amount.Equal(s.Amount) && c.Currency == s.asked &&
		c.Reference == s.Reference && maps.Equal(c.Metadata, s.Metadata) {
		return Outcome{Transfer: s.Transfer, Replayed: true}
	}
	return Outcome{Err: &ConflictError{Kind: "transfer", ID: c.ID.String()}}
}

// invalid says that the command can never be executed, whatever the balances: then it is not recorded.
func (d *decider) invalid(c *command) error {
	from, to := d.accounts[c.From], d.accounts[c.To]
	if from == nil || to == nil || c.mismatches(from, to) {
		return nil // which is a refusal
	}
	return from.currency.checkPrecision("amount", c.Amount)
}

// mismatches reports whether the accounts, or the currency asked for, differ.
func (c *command) mismatches(from, to *state) bool {
	return from.currency.Code != to.currency.Code || (c.Currency != "" && c.Currency != from.currency.Code)
}

// refusal says why a valid command cannot be executed now; empty: it can. The order of the checks is that of the
// reasons' declaration.
func (d *decider) refusal(c *command) ErrorReason {
	from, to := d.accounts[c.From], d.accounts[c.To]
	switch {
	case from == nil:
		return FromAccountNotFound
	case to == nil:
		return ToAccountNotFound
	case c.mismatches(from, to):
		return CurrencyMismatch
	case from.status == AccountClosed, to.status == AccountClosed:
		return ReasonAccountClosed
	case from.status == AccountFrozen, to.status == AccountFrozen:
		return ReasonAccountFrozen
	case from.floor.Valid && from.balance.Sub(from.held).Sub(c.Amount).LessThan(from.floor.Decimal):
		return InsufficientFunds
	}
	return ""
}

// move executes the command on the states and records its success.
func (d *decider) move(i int) {
	c := &d.commands[i]
	from, to := d.accounts[c.From], d.accounts[c.To]
	from.balance = from.balance.Sub(c.Amount)
	from.entries++
	from.moves++
	to.balance = to.balance.Add(c.Amount)
	to.entries++
	to.moves++
	d.record(i, "")
}

// record adds the ledger row of a command that was decided, refused when there is a reason.
func (d *decider) record(i int, reason ErrorReason) {
	c := &d.commands[i]
	t := Transfer{
		ID: c.ID, From: c.From, To: c.To, Amount: c.Amount, Currency: c.Currency, Status: TransferSuccess,
		Reason: reason, Reference: c.Reference, Metadata: c.Metadata, Version: 1,
	}
	if reason != "" {
		t.Status = TransferFailed
	}
	from, to := d.accounts[c.From], d.accounts[c.To]
	// The currency is the payer's; a refused transfer has that of whichever account there is, or what was asked for.
	switch {
	case from != nil:
		t.Currency, t.Scale = from.currency.Code, from.currency.Scale
	case to != nil:
		t.Currency, t.Scale = to.currency.Code, to.currency.Scale
	}
	var fromSequence, toSequence int64
	if from != nil {
		t.FromBalance = decimal.NewNullDecimal(from.balance)
	}
	if to != nil {
		t.ToBalance = decimal.NewNullDecimal(to.balance)
	}
	if reason == "" {
		fromSequence, toSequence = from.entries, to.entries
	}
	d.outcomes[i] = Outcome{Transfer: t}
	d.earlier[c.ID] = i
	d.recorded = append(d.recorded, i)
	appendRow(&d.rows, &t, c.Currency, fromSequence, toSequence)
}

// truncate takes back the rows from n on.
func (d *decider) truncate(n int) {
	for _, i := range d.recorded[n:] {
		delete(d.earlier, d.commands[i].ID)
		d.outcomes[i] = Outcome{}
	}
	d.recorded = d.recorded[:n]
	truncateRows(&d.rows, n)
}

// allMove reports whether every command is a success, as the conditional UPDATE assumed.
func (d *decision) allMove() bool {
	for i := range d.outcomes {
		if o := &d.outcomes[i]; o.Err != nil || o.Replayed || o.Transfer.Status != TransferSuccess {
			return false
		}
	}
	return true
}

// fold answers what the decision changes, one row an account, in the order of ids.
func (d *decision) fold() db.AccountsApplyParams {
	f := make(folded)
	for id, s := range d.accounts {
		if s.moves > 0 {
			delta := s.balance.Sub(s.start)
			// The order is decided, so the end result is what must stand above the floor.
			f[id] = &fold{delta: delta, debits: delta.Neg(), moves: s.moves}
		}
	}
	return f.params()
}

// A fold is what a batch does to one account.
type fold struct {
	delta  decimal.Decimal
	debits decimal.Decimal // what must be there for it
	moves  int64
}

type folded map[uuid.UUID]*fold

// foldAll answers what the commands would do together if each succeeded, with the worst case as debits.
func foldAll(commands []command) folded {
	f := make(folded, 2*len(commands))
	for i := range commands {
		c := &commands[i]
		from, to := f.at(c.From), f.at(c.To)
		from.delta = from.delta.Sub(c.Amount)
		from.debits = from.debits.Add(c.Amount)
		from.moves++
		to.delta = to.delta.Add(c.Amount)
		to.moves++
	}
	return f
}

func (f folded) at(id uuid.UUID) *fold {
	a := f[id]
	if a == nil {
		a = &fold{}
		f[id] = a
	}
	return a
}

// params answers the fold as rows in the order of ids, the order in which rows are locked.
func (f folded) params() db.AccountsApplyParams {
	n := len(f)
	p := db.AccountsApplyParams{
		AccountIDs: slices.SortedFunc(maps.Keys(f), compareIDs),
		Deltas:     make([]decimal.Decimal, 0, n),
		Debits:     make([]decimal.Decimal, 0, n),
		Moves:      make([]int64, 0, n),
		KnownIDs:   []uuid.UUID{},
	}
	for _, id := range p.AccountIDs {
		a := f[id]
		p.Deltas = append(p.Deltas, a.delta)
		p.Debits = append(p.Debits, a.debits)
		p.Moves = append(p.Moves, a.moves)
	}
	return p
}

// compareIDs orders ids as Postgres does: by their bytes.
func compareIDs(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }
