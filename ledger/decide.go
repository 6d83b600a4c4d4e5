package ledger

import (
	"bytes"
	"maps"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

// A verb is what a command asks for.
type verb int

const (
	verbMove     verb = iota // a plain transfer, now
	verbHold                 // reserve money
	verbSchedule             // move money at a later time
	verbPost                 // capture a hold
	verbVoid                 // end a hold, or cancel a scheduled transfer
	verbReverse              // move money of a transfer back
	verbSettle               // do what is due: end an expired hold, execute a scheduled transfer
)

// A command is one transfer to decide, valid in itself. One that is about another transfer, its target, gets its
// accounts from that.
type command struct {
	TransferParams
	verb        verb
	made        bool // the id was made by this server, for this command: no stored transfer has it
	group       int  // commands with the same number, one after another, happen all or none; 0: stands alone
	groupID     uuid.UUID
	groupMade   bool      // the group's id was made by this server, for this group
	target      uuid.UUID // of verbPost, verbVoid, verbReverse, verbSettle
	all         bool      // of verbPost, verbReverse: whatever is left, whatever Amount is
	final       bool      // of verbPost: release what is left
	force       bool      // of verbReverse: the payer's floor does not count
	derived     bool      // the id follows from the target's: only a success has it
	fingerprint []byte    // of what the fields of a plain transfer do not say; nil: nothing
}

// plain reports whether nothing but a transfer, now, is asked for.
func (c *command) plain() bool { return c.verb == verbMove && c.Options == nil }

// groupNamed is the id that the caller has chosen for the command's group; uuid.Nil: none.
func (c *command) groupNamed() uuid.UUID {
	if c.groupMade {
		return uuid.Nil
	}
	return c.groupID
}

// sides are the two accounts, as far as they are known: a command about another transfer learns them from that, later.
func (c *command) sides() []uuid.UUID {
	if c.From == uuid.Nil {
		return nil
	}
	return []uuid.UUID{c.From, c.To}
}

// A state is what a decision knows of an account: first as it was before the batch, then as decided so far. The short way
// knows neither incoming nor version, and only meets accounts with no ceiling and no policy.
type state struct {
	currency Currency
	status   AccountStatus
	balance  decimal.Decimal
	held     decimal.Decimal
	incoming decimal.Decimal
	floor    decimal.NullDecimal
	ceiling  decimal.NullDecimal
	policy   *Policy // nil: none
	usage    []usage // by index of the policy's limits
	entries  int64
	version  int64

	before  *state // before the batch; nil on the short way
	moves   int64  // decided so far
	changes int64  // of the version, decided so far: moves and whatever else
}

// A usage is what an account has paid within the window of a limit.
type usage struct {
	amount decimal.Decimal
	count  int64
}

func (s *state) available() decimal.Decimal { return s.balance.Sub(s.held) }

// copied is the state as it is now, whatever is decided later.
func (s *state) copied() state {
	c := *s
	c.usage = append([]usage(nil), s.usage...)
	return c
}

// A storedTransfer is a transfer with what it was asked for with, beyond what it became, which a repeated call must match.
type storedTransfer struct {
	Transfer
	asked       string // currency
	fingerprint []byte // nil: of a plain transfer
}

// A knowledge is what a decision is made from.
type knowledge struct {
	clock    time.Time            // the database's; zero on the short way, which decides nothing that depends on it
	now      time.Time            // when it is decided: the clock, or the last change of an account if that is later
	accounts map[uuid.UUID]*state // every account that exists among those named; changed by the decision
	stored   []storedTransfer     // every transfer that was there before under an id or as a target
	groups   map[uuid.UUID]int    // the sizes of the groups that commands name and stored transfers are of
	due      []uuid.UUID          // holds among stored that have expired, on any of the accounts
	moreDue  bool                 // there are more of these: nothing can be decided yet but to end them
}

// A decision is the outcome of a batch, exactly as if its commands had been executed one after another.
type decision struct {
	outcomes []Outcome // by index of commands
	accounts map[uuid.UUID]*state
	recorded []recorded            // the ledger rows to write, in order
	targets  map[uuid.UUID]*target // transfers that commands are about
	changes  []change              // of these, in order
	groups   []group               // that were decided
}

// A recorded command has a ledger row: the transfer of its outcome.
type recorded struct {
	command      int   // its index
	fromSequence int64 // of the payer's entry; 0: there is none
	toSequence   int64 // of the payee's
}

// A group is one that was decided in the batch.
type group struct {
	id   uuid.UUID
	size int
}

// A target is a transfer that commands are about, as decided so far.
type target struct {
	Transfer
	plain    bool // it had no details before
	changed  bool // its details, at least
	advanced bool // also its row, which was INIT before
}

// A change is a target as it was right after one of its changes.
type change struct {
	Transfer
	after int // how many of the batch's rows came before it
}

// A decider walks through a batch. It is the only place where an outcome is made.
type decider struct {
	decision
	clock    time.Time // what is due, blocked, in the future or within a window goes by it
	now      time.Time // what is recorded has it
	commands []command
	stored   map[uuid.UUID]*storedTransfer // transfers that were there before, by id
	earlier  map[uuid.UUID]int             // commands of this batch whose outcome is on record, by id
	sizes    map[uuid.UUID]int             // of groups that are known, or were decided in this batch
}

// decide decides the commands in order.
func decide(commands []command, k *knowledge) decision {
	d := decider{
		decision: decision{
			outcomes: make([]Outcome, len(commands)),
			accounts: k.accounts,
			recorded: make([]recorded, 0, len(commands)),
		},
		clock:    k.clock,
		now:      k.now,
		commands: commands,
		earlier:  make(map[uuid.UUID]int, len(commands)),
		sizes:    k.groups,
	}
	if len(k.stored) > 0 {
		d.stored = make(map[uuid.UUID]*storedTransfer, len(k.stored))
		d.targets = make(map[uuid.UUID]*target)
		for i := range k.stored {
			d.stored[k.stored[i].ID] = &k.stored[i]
		}
	}
	for _, id := range k.due {
		d.end(d.targetOf(id), &refusal{reason: HoldExpired})
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
	c := &d.commands[i]
	switch c.verb {
	case verbVoid:
		d.void(i)
		return
	case verbSettle:
		d.settle(i)
		return
	default:
	}
	if d.replay(i) {
		return
	}
	if c.verb == verbPost || c.verb == verbReverse {
		d.follow(i)
		return
	}
	if err := d.invalid(c); err != nil {
		d.outcomes[i].Err = err
		return
	}
	if amount, refused := d.judge(c); refused != nil {
		d.refuse(i, refused)
	} else {
		d.effect(i, amount)
	}
}

// decideGroup decides commands that happen all or none.
func (d *decider) decideGroup(begin, end int) {
	if d.replayGroup(begin, end) || d.groupTaken(begin, end) {
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
	d.keepGroup(begin, end)
	before := make(map[uuid.UUID]state)
	for i := begin; i < end; i++ {
		for _, id := range [...]uuid.UUID{d.commands[i].From, d.commands[i].To} {
			if s := d.accounts[id]; s != nil {
				before[id] = s.copied()
			}
		}
	}
	rows := len(d.recorded)
	for i := begin; i < end; i++ {
		amount, refused := d.judge(&d.commands[i])
		if refused == nil {
			d.effect(i, amount)
			continue
		}
		for id, s := range before {
			*d.accounts[id] = s
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

// groupTaken answers a new group whose id is another one's, and reports whether it is.
func (d *decider) groupTaken(begin, end int) bool {
	id := d.commands[begin].groupID
	if _, taken := d.sizes[id]; !taken {
		return false
	}
	for i := begin; i < end; i++ {
		d.outcomes[i] = Outcome{Err: &ConflictError{Kind: "group", ID: id.String()}}
	}
	return true
}

// keepGroup notes that a group was decided.
func (d *decider) keepGroup(begin, end int) {
	if d.sizes == nil {
		d.sizes = make(map[uuid.UUID]int)
	}
	id := d.commands[begin].groupID
	d.sizes[id] = end - begin
	d.groups = append(d.groups, group{id, end - begin})
}

// replayGroup answers a group that was decided before. One of which only some ids are known is another group, and so are a
// part of one, transfers that were not decided together, and the same ones under another id of the caller's.
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
		o := &d.outcomes[i]
		if o.Err == nil && !o.Replayed {
			continue // not known
		}
		if group == uuid.Nil {
			group = o.Transfer.group()
		}
		named := d.commands[i].groupNamed()
		if o.Err != nil || group == uuid.Nil || o.Transfer.group() != group || d.sizes[group] != end-begin ||
			known < end-begin || (named != uuid.Nil && named != group) {
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
		d.outcomes[i] = c.repeat(s)
	} else if j, ok := d.earlier[c.ID]; ok {
		d.outcomes[i] = c.repeat(&storedTransfer{
			d.outcomes[j].Transfer, d.commands[j].Currency, d.commands[j].fingerprint,
		})
	} else {
		return false
	}
	if o := &d.outcomes[i]; o.Err == nil && c.target != uuid.Nil {
		parent := d.targetOf(c.target).snapshot()
		o.Parent = &parent
	}
	return true
}

// repeat answers a command whose id is that of s: with s again when it asks for just the same, else with a conflict.
func (c *command) repeat(s *storedTransfer) Outcome {
	amount := s.Amount
	if s.Detail != nil && s.Detail.Asked.Valid {
		amount = s.Detail.Asked.Decimal
	}
	if c.From == s.From && c.To == s.To && (c.all || c.Amount.Equal(amount)) && c.Currency == s.asked &&
		c.Reference == s.Reference && maps.Equal(c.Metadata, s.Metadata) &&
		bytes.Equal(c.fingerprint, s.fingerprint) {
		return Outcome{Transfer: s.Transfer, Replayed: true}
	}
	return Outcome{Err: &ConflictError{Kind: "transfer", ID: c.ID.String()}}
}

// invalid says that the command can never be executed, whatever the balances: then it is not recorded.
func (d *decider) invalid(c *command) error {
	if err := c.Options.invalidAt(d.clock, d.now); err != nil {
		return err
	}
	from, to := d.accounts[c.From], d.accounts[c.To]
	if from == nil || to == nil || c.mismatches(from, to) {
		return nil // which is a refusal
	}
	if c.Options != nil && c.Options.UpToFloor.Valid {
		if err := from.currency.checkPrecision("up_to_floor", c.Options.UpToFloor.Decimal); err != nil {
			return err
		}
	}
	return from.currency.checkPrecision("amount", c.Amount)
}

// mismatches reports whether the accounts, or the currency asked for, differ.
func (c *command) mismatches(from, to *state) bool {
	return from.currency.Code != to.currency.Code || (c.Currency != "" && c.Currency != from.currency.Code)
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

// compareIDs orders ids as Postgres does: by their bytes.
func compareIDs(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }
