package ledger

import (
	"crypto/sha256"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

// notNil is the reason of an InvalidError for an id that is not given, or the nil UUID.
const notNil = "must be a UUID, and not the nil one"

// holdTTLMax is the longest that a hold lasts by its TTL: 100 years.
const holdTTLMax = 100 * 365.25 * 24 * time.Hour

// NewCommand checks the parameters and gives them an id.
func NewCommand(p TransferParams) (Command, error) {
	c := Command{TransferParams: p}
	c.Options = nil
	if c.ID == uuid.Nil {
		c.ID, c.Made = uuid.Must(uuid.NewV7()), true
	}
	if err := checkAccounts(c.From, c.To); err != nil {
		return c, err
	}
	if err := checkNewAmount(c.Amount); err != nil {
		return c, err
	}
	if err := CheckText("currency", c.Currency); err != nil {
		return c, err
	}
	if err := checkTexts(c.Reference, c.Metadata); err != nil {
		return c, err
	}
	if p.Options == nil {
		return c, nil
	}
	return c, c.setOptions(*p.Options)
}

// checkAccounts returns an InvalidError for a payer and a payee that can never be: the nil UUID is
// no account's.
func checkAccounts(from, to uuid.UUID) error {
	switch {
	case from == uuid.Nil:
		return &InvalidError{Field: "from_account_id", Reason: notNil}
	case to == uuid.Nil:
		return &InvalidError{Field: "to_account_id", Reason: notNil}
	case from == to:
		return &InvalidError{Field: "to_account_id", Reason: "must differ from from_account_id"}
	}
	return nil
}

func checkNewAmount(amount decimal.Decimal) error {
	if err := checkSize("amount", amount); err != nil {
		return err
	}
	if !amount.IsPositive() {
		return &InvalidError{Field: "amount", Reason: "must be greater than zero"}
	}
	return nil
}

func checkTexts(reference string, metadata map[string]string) error {
	if err := CheckText("reference", reference); err != nil {
		return err
	}
	return CheckMetadata(metadata)
}

// setOptions checks the options that only some transfers have, and sets the verb.
func (c *Command) setOptions(o TransferOptions) error {
	o.DryRun = false
	for _, t := range [...]struct {
		field string
		time  *time.Time
	}{{"expire_time", &o.ExpireTime}, {"execute_time", &o.ExecuteTime}, {"effective_time", &o.EffectiveTime}} {
		*t.time = t.time.UTC().Truncate(time.Microsecond) // as they are stored
		if t.time.Year() > 9999 || t.time.Year() < 1 {
			return &InvalidError{Field: t.field, Reason: "must be in the years 1 to 9999"}
		}
	}
	switch {
	case o.Hold && !o.ExecuteTime.IsZero():
		return &InvalidError{Field: "execute_time", Reason: "must not be set with hold"}
	case !o.Hold && !o.ExpireTime.IsZero():
		return &InvalidError{Field: "expire_time", Reason: "is for holds only"}
	case !o.Hold && o.HoldTTL != 0:
		return &InvalidError{Field: "hold_ttl", Reason: "is for holds only"}
	case !o.ExpireTime.IsZero() && o.HoldTTL != 0:
		return &InvalidError{Field: "hold_ttl", Reason: "must not be set with expire_time"}
	case o.HoldTTL < 0 || (o.HoldTTL > 0 && o.HoldTTL < time.Millisecond) || o.HoldTTL > holdTTLMax:
		return &InvalidError{Field: "hold_ttl", Reason: "must be 1 ms to 100 years"}
	case !o.EffectiveTime.IsZero() && (o.Hold || !o.ExecuteTime.IsZero()):
		return &InvalidError{Field: "effective_time", Reason: "is for transfers that move money now"}
	case o.UpToFloor.Valid && !o.UpTo:
		return &InvalidError{Field: "up_to_floor", Reason: "is for sweeps (up_to) only"}
	case !o.ExecuteTime.IsZero() && o.conditional():
		return &InvalidError{Field: "execute_time", Reason: "must not be set with conditions, which are about now"}
	}
	for _, v := range [...]struct {
		field   string
		version *int64
	}{{"expected_from_version", o.FromVersion}, {"expected_to_version", o.ToVersion}} {
		if v.version != nil && *v.version < 1 {
			return &InvalidError{Field: v.field, Reason: "must be 1 or more"}
		}
	}
	for _, b := range [...]struct {
		field  string
		amount decimal.NullDecimal
	}{
		{"from_balance_at_least", o.FromAtLeast}, {"from_balance_at_most", o.FromAtMost},
		{"to_balance_at_least", o.ToAtLeast}, {"to_balance_at_most", o.ToAtMost}, {"up_to_floor", o.UpToFloor},
	} {
		if err := checkSize(b.field, b.amount.Decimal); err != nil {
			return err
		}
	}
	switch {
	case o.Hold:
		c.Verb = verbHold
	case !o.ExecuteTime.IsZero():
		c.Verb = verbSchedule
	}
	if o != (TransferOptions{}) {
		c.Options, c.Fingerprint = &o, o.fingerprint()
	}
	return nil
}

// conditional reports whether there is any condition.
func (o *TransferOptions) conditional() bool {
	return o.FromVersion != nil || o.ToVersion != nil || o.FromAtLeast.Valid || o.FromAtMost.Valid || o.ToAtLeast.Valid ||
		o.ToAtMost.Valid
}

// fingerprint hashes the options in one spelling, so that a replay differs from a conflict.
func (o *TransferOptions) fingerprint() []byte {
	fields := []any{
		o.Hold, o.ExpireTime, o.HoldTTL, o.ExecuteTime, o.EffectiveTime, o.UpTo, o.FromVersion, o.ToVersion,
		CanonicalAmount(o.FromAtLeast), CanonicalAmount(o.FromAtMost), CanonicalAmount(o.ToAtLeast), CanonicalAmount(o.ToAtMost),
	}
	if o.UpToFloor.Valid {
		// Transfers without one are as they were hashed before there was any.
		fields = append(fields, CanonicalAmount(o.UpToFloor))
	}
	return FingerprintOf(fields)
}

// CanonicalAmount is the one text of all spellings of an amount; empty: there is none.
func CanonicalAmount(d decimal.NullDecimal) string {
	if !d.Valid {
		return ""
	}
	return d.Decimal.String() // without trailing zeros
}

func FingerprintOf(fields []any) []byte {
	b, err := json.Marshal(fields)
	if err != nil {
		panic(err) // texts, numbers and times always encode
	}
	sum := sha256.Sum256(b)
	return sum[:]
}

// about makes a command that makes a new transfer of another.
func about(v verb, target, id uuid.UUID, amount decimal.NullDecimal, purpose string) (Command, error) {
	c := Command{Verb: v, Target: target, all: !amount.Valid}
	if target == uuid.Nil {
		return c, &InvalidError{Field: "transfer_id", Reason: notNil}
	}
	switch c.Amount = amount.Decimal; {
	case id != uuid.Nil:
		c.ID = id
	case c.all:
		c.ID = DerivedID(target, purpose)
	default:
		c.ID, c.Made = uuid.Must(uuid.NewV7()), true
	}
	c.derived = c.all && c.ID == DerivedID(target, purpose)
	if c.all {
		return c, nil
	}
	return c, checkNewAmount(c.Amount)
}

// NewPost makes the command that captures a hold.
func NewPost(p PostParams) (Command, error) {
	c, err := about(verbPost, p.HoldID, p.ID, p.Amount, purposePost)
	if err == nil {
		err = checkTexts(p.Reference, p.Metadata)
	}
	c.final, c.Reference, c.Metadata, c.NoIssue = p.Final, p.Reference, p.Metadata, p.NoIssue
	c.Fingerprint = FingerprintOf([]any{purposePost, p.HoldID, c.all, p.Final || c.all})
	return c, err
}

// NewReverse makes the command that moves money of a transfer back.
func NewReverse(p ReverseParams) (Command, error) {
	c, err := about(verbReverse, p.TransferID, p.ID, p.Amount, purposeReverse)
	if err == nil {
		err = checkTexts(p.Reference, p.Metadata)
	}
	c.force, c.Reference, c.Metadata, c.NoIssue = p.Force, p.Reference, p.Metadata, p.NoIssue
	// A success that any caller may repeat without an id is the same with and without force.
	c.Fingerprint = FingerprintOf([]any{purposeReverse, p.TransferID, c.all, p.Force && !c.derived})
	return c, err
}

// NewVoid makes the command that ends a hold or cancels a scheduled transfer.
func NewVoid(id uuid.UUID) (Command, error) {
	if id == uuid.Nil {
		return Command{}, &InvalidError{Field: "transfer_id", Reason: notNil}
	}
	return Command{Verb: verbVoid, Target: id, Made: true}, nil
}

// NewExecuteDue makes the command that ends an expired hold or executes a due transfer.
func NewExecuteDue(id uuid.UUID) Command {
	return Command{Verb: verbExecuteDue, Target: id, Made: true}
}
