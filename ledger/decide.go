package ledger

import (
	"bytes"
	"maps"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

// A verb is what a command does.
type verb int

const (
	verbMove       verb = iota // a plain transfer, now
	verbHold                   // reserve money
	verbSchedule               // move money at a later time
	verbPost                   // capture a hold
	verbVoid                   // end a hold, or cancel a scheduled transfer
	verbReverse                // move money of a transfer back
	verbExecuteDue             // do what is due: end an expired hold, execute a scheduled transfer
)

// A Command is one transfer to decide, valid in itself. One that is about another transfer, its
// target, gets its accounts from that.
type Command struct {
	TransferParams
	Verb        verb
	Made        bool // the id was made by this server, for this command: no stored transfer has it
	Group       int  // commands with one number, in sequence, happen all or none; 0: stands alone
	GroupID     uuid.UUID
	GroupMade   bool      // the group's id was made by this server, for this group
	Target      uuid.UUID // of verbPost, verbVoid, verbReverse, verbExecuteDue
	all         bool      // of verbPost, verbReverse: whatever is left, whatever Amount is
	final       bool      // of verbPost: release what is left
	force       bool      // of verbReverse: the payer's floor does not count
	derived     bool      // the id follows from the target's: only a success has it
	Fingerprint []byte    // of what the fields of a plain transfer do not say; nil: nothing
}

// Plain reports whether the command is a transfer, now, and nothing else.
func (c *Command) Plain() bool { return c.Verb == verbMove && c.Options == nil }

// GroupNamed is the id that the caller has chosen for the command's group; uuid.Nil: none.
func (c *Command) GroupNamed() uuid.UUID {
	if c.GroupMade {
		return uuid.Nil
	}
	return c.GroupID
}

// Sides are the two accounts, as far as they are known: a command about another transfer gets them
// from its target, later.
func (c *Command) Sides() []uuid.UUID {
	if c.From == uuid.Nil {
		return nil
	}
	return []uuid.UUID{c.From, c.To}
}

// An AccountState is what a decision sees of an account: first as it was before the batch, then as
// decided so far. The fast path has neither incoming nor version, and only meets accounts with no
// ceiling and no policy.
type AccountState struct {
	Currency Currency
	Status   AccountStatus
	Balance  decimal.Decimal
	Held     decimal.Decimal
	Incoming decimal.Decimal
	Floor    decimal.NullDecimal
	Ceiling  decimal.NullDecimal
	Policy   *Policy // nil: none
	Usage    []Usage // by index of the policy's limits
	Entries  int64
	Version  int64

	Before  *AccountState // before the batch; nil on the fast path
	Moves   int64         // decided so far
	Changes int64         // of the version, decided so far: moves and whatever else
}

// A Usage is what an account has paid within the window of a limit.
type Usage struct {
	Amount decimal.Decimal
	Count  int64
}

func (s *AccountState) Available() decimal.Decimal { return s.Balance.Sub(s.Held) }

// copied is the state as it is now, whatever is decided later.
func (s *AccountState) copied() AccountState {
	c := *s
	c.Usage = append([]Usage(nil), s.Usage...)
	return c
}

// A StoredTransfer is a transfer with the parameters of its call, which a repeated call must match.
type StoredTransfer struct {
	Transfer
	RequestedCurrency string // currency
	Fingerprint       []byte // nil: of a plain transfer
}

// A Snapshot is what a decision is made from.
type Snapshot struct {
	Clock    time.Time                   // the database's; zero on the fast path
	Now      time.Time                   // Clock, or an account's last change if later
	Accounts map[uuid.UUID]*AccountState // each named one that exists; changed by the decision
	Stored   []StoredTransfer            // transfers stored before, under an id or as a target
	Groups   map[uuid.UUID]int           // sizes of the groups of commands and of stored transfers
	Due      []uuid.UUID                 // expired holds in Stored, on any of the accounts
	MoreDue  bool                        // there are more of these: end them before any decision
}

// A Decision is the outcome of a batch, exactly as if its commands had been executed one after
// another.
type Decision struct {
	Outcomes []Outcome // by index of commands
	Accounts map[uuid.UUID]*AccountState
	Recorded []recorded            // the ledger rows to write, in order
	Targets  map[uuid.UUID]*target // transfers that commands are about
	Changes  []change              // of these, in order
	Groups   []group               // that were decided
}

// A recorded command has a ledger row: the transfer of its outcome.
type recorded struct {
	Command      int   // its index
	FromSequence int64 // of the payer's entry; 0: there is none
	ToSequence   int64 // of the payee's
}

// A group is one that was decided in the batch.
type group struct {
	Id   uuid.UUID
	Size int
}

// A target is a transfer that commands are about, as decided so far.
type target struct {
	Transfer
	Plain    bool // it had no details before
	Changed  bool // its details, at least
	Advanced bool // also its row, which was INIT before
}

// A change is a target as it was right after one of its changes.
type change struct {
	Transfer
	After int // how many of the batch's rows came before it
}

// A decider walks through a batch. It is the only place where an outcome is made.
type decider struct {
	Decision
	clock    time.Time // decides what is due, blocked, in the future or in a window
	now      time.Time // of everything that is recorded
	commands []Command
	stored   map[uuid.UUID]*StoredTransfer // transfers that were there before, by id
	earlier  map[uuid.UUID]int             // commands of this batch that are on record, by id
	sizes    map[uuid.UUID]int             // of groups stored before or decided in this batch
}

// Decide decides the commands in order.
func Decide(commands []Command, k *Snapshot) Decision {
	d := decider{
		Decision: Decision{
			Outcomes: make([]Outcome, len(commands)),
			Accounts: k.Accounts,
			Recorded: make([]recorded, 0, len(commands)),
		},
		clock:    k.Clock,
		now:      k.Now,
		commands: commands,
		earlier:  make(map[uuid.UUID]int, len(commands)),
		sizes:    k.Groups,
	}
	if len(k.Stored) > 0 {
		d.stored = make(map[uuid.UUID]*StoredTransfer, len(k.Stored))
		d.Targets = make(map[uuid.UUID]*target)
		for i := range k.Stored {
			d.stored[k.Stored[i].ID] = &k.Stored[i]
		}
	}
	for _, id := range k.Due {
		d.end(d.targetOf(id), &refusal{reason: HoldExpired})
	}
	for i := 0; i < len(commands); {
		end := i + 1
		if g := commands[i].Group; g != 0 {
			for end < len(commands) && commands[end].Group == g {
				end++
			}
			d.decideGroup(i, end)
		} else {
			d.decideOne(i)
		}
		i = end
	}
	return d.Decision
}

// decideOne decides a command that stands alone.
func (d *decider) decideOne(i int) {
	c := &d.commands[i]
	switch c.Verb {
	case verbVoid:
		d.void(i)
		return
	case verbExecuteDue:
		d.executeDue(i)
		return
	default:
	}
	if d.issues(c) {
		d.Outcomes[i].Err = ErrMayNotIssue
		return
	}
	if d.replay(i) {
		return
	}
	if c.Verb == verbPost || c.Verb == verbReverse {
		d.decideChild(i)
		return
	}
	if err := d.invalid(c); err != nil {
		d.Outcomes[i].Err = err
		return
	}
	if amount, refused := d.check(c); refused != nil {
		d.refuse(i, refused)
	} else {
		d.effect(i, amount)
	}
}

// issues reports whether a command pays from an equity account, the only kind without a floor, for
// a caller that must not. It comes before replays, which tell what was paid.
func (d *decider) issues(c *Command) bool {
	from := d.Accounts[c.From]
	return c.NoIssue && from != nil && !from.Floor.Valid
}

// decideGroup decides commands that happen all or none.
func (d *decider) decideGroup(begin, end int) {
	for i := begin; i < end; i++ {
		if d.issues(&d.commands[i]) {
			for j := begin; j < end; j++ {
				d.Outcomes[j].Err = ErrMayNotIssue
			}
			return
		}
	}
	if d.replayGroup(begin, end) || d.groupTaken(begin, end) {
		return
	}
	for i := begin; i < end; i++ {
		if err := d.invalid(&d.commands[i]); err != nil {
			for j := begin; j < end; j++ {
				d.Outcomes[j] = Outcome{Err: InGroup(err, i-begin)}
			}
			return
		}
	}
	d.keepGroup(begin, end)
	before := make(map[uuid.UUID]AccountState)
	for i := begin; i < end; i++ {
		for _, id := range [...]uuid.UUID{d.commands[i].From, d.commands[i].To} {
			if s := d.Accounts[id]; s != nil {
				before[id] = s.copied()
			}
		}
	}
	rows := len(d.Recorded)
	for i := begin; i < end; i++ {
		amount, refused := d.check(&d.commands[i])
		if refused == nil {
			d.effect(i, amount)
			continue
		}
		for id, s := range before {
			*d.Accounts[id] = s
		}
		d.truncate(rows)
		for j := begin; j < end; j++ {
			if j == i {
				d.refuse(j, refused)
			} else {
				d.refuse(j, &refusal{reason: GroupFailed})
			}
		}
		return
	}
}

// groupTaken fails a new group whose id another group has, and reports whether it did.
func (d *decider) groupTaken(begin, end int) bool {
	id := d.commands[begin].GroupID
	if _, taken := d.sizes[id]; !taken {
		return false
	}
	for i := begin; i < end; i++ {
		d.Outcomes[i] = Outcome{Err: &ConflictError{Kind: "group", ID: id.String()}}
	}
	return true
}

// keepGroup notes that a group was decided.
func (d *decider) keepGroup(begin, end int) {
	if d.sizes == nil {
		d.sizes = make(map[uuid.UUID]int)
	}
	id := d.commands[begin].GroupID
	d.sizes[id] = end - begin
	d.Groups = append(d.Groups, group{id, end - begin})
}

// replayGroup replays a group that was decided before, and reports whether it was. It is a conflict
// when only some of the ids are known, when the commands are a part of a group, when their
// transfers were not decided together, and when the caller gave the same ones another group id.
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
	group := uuid.Nil
	for i := begin; i < end && conflict == nil; i++ {
		o := &d.Outcomes[i]
		if o.Err == nil && !o.Replayed {
			continue // not known
		}
		if group == uuid.Nil {
			group = o.Transfer.Group()
		}
		named := d.commands[i].GroupNamed()
		if o.Err != nil || group == uuid.Nil || o.Transfer.Group() != group || d.sizes[group] != end-begin ||
			known < end-begin || (named != uuid.Nil && named != group) {
			conflict = &ConflictError{Kind: "transfer", ID: d.commands[i].ID.String()}
		}
	}
	if conflict != nil {
		for i := begin; i < end; i++ {
			d.Outcomes[i] = Outcome{Err: conflict}
		}
	}
	return true
}

// replay sets the outcome of a command whose id has one already, and reports whether it has.
func (d *decider) replay(i int) bool {
	c := &d.commands[i]
	if s, ok := d.stored[c.ID]; ok {
		d.Outcomes[i] = c.repeat(s)
	} else if j, ok := d.earlier[c.ID]; ok {
		d.Outcomes[i] = c.repeat(&StoredTransfer{
			d.Outcomes[j].Transfer, d.commands[j].Currency, d.commands[j].Fingerprint,
		})
	} else {
		return false
	}
	if o := &d.Outcomes[i]; o.Err == nil && c.Target != uuid.Nil {
		parent := d.targetOf(c.Target).snapshot()
		o.Parent = &parent
	}
	return true
}

// repeat returns the outcome of a command whose id is that of s: s replayed when all fields are the
// same, else a conflict.
func (c *Command) repeat(s *StoredTransfer) Outcome {
	amount := s.Amount
	if s.Detail != nil && s.Detail.Requested.Valid {
		amount = s.Detail.Requested.Decimal
	}
	if c.From == s.From && c.To == s.To && (c.all || c.Amount.Equal(amount)) && c.Currency == s.RequestedCurrency &&
		c.Reference == s.Reference && maps.Equal(c.Metadata, s.Metadata) &&
		bytes.Equal(c.Fingerprint, s.Fingerprint) {
		return Outcome{Transfer: s.Transfer, Replayed: true}
	}
	return Outcome{Err: &ConflictError{Kind: "transfer", ID: c.ID.String()}}
}

// invalid returns an error when the command can never be executed, whatever the balances: then it
// is not recorded.
func (d *decider) invalid(c *Command) error {
	if err := c.Options.invalidAt(d.clock, d.now); err != nil {
		return err
	}
	from, to := d.Accounts[c.From], d.Accounts[c.To]
	if from == nil || to == nil || c.mismatches(from, to) {
		return nil // which is a refusal
	}
	if c.Options != nil && c.Options.UpToFloor.Valid {
		if err := from.Currency.CheckPrecision("up_to_floor", c.Options.UpToFloor.Decimal); err != nil {
			return err
		}
	}
	return from.Currency.CheckPrecision("amount", c.Amount)
}

// mismatches reports whether the accounts differ in currency, or from the one requested.
func (c *Command) mismatches(from, to *AccountState) bool {
	return from.Currency.Code != to.Currency.Code || (c.Currency != "" && c.Currency != from.Currency.Code)
}

// AllMove reports whether every command is a success, as the conditional UPDATE assumed.
func (d *Decision) AllMove() bool {
	for i := range d.Outcomes {
		if o := &d.Outcomes[i]; o.Err != nil || o.Replayed || o.Transfer.Status != TransferSuccess {
			return false
		}
	}
	return true
}

// CompareIDs orders ids as Postgres does: by their bytes.
func CompareIDs(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }
