package ledger

import (
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

// AccountStatus says what an account may do.
type AccountStatus string

// The statuses of an account. CLOSED is final.
const (
	AccountOpen   AccountStatus = "OPEN"
	AccountFrozen AccountStatus = "FROZEN"
	AccountClosed AccountStatus = "CLOSED"
)

// TransferStatus is where a transfer is in its life: INIT becomes SUCCESS or FAILED, which are
// final.
type TransferStatus string

// The states of a transfer.
const (
	TransferInit    TransferStatus = "INIT"
	TransferSuccess TransferStatus = "SUCCESS"
	TransferFailed  TransferStatus = "FAILED"
)

// ErrorReason says why a transfer was refused. The names are those of
// transfers.v1.Transfer.ErrorReason.
type ErrorReason string

// The reasons, in the order in which they are checked: when several apply, the first is given.
const (
	FromAccountNotFound    ErrorReason = "FROM_ACCOUNT_NOT_FOUND"
	ToAccountNotFound      ErrorReason = "TO_ACCOUNT_NOT_FOUND"
	CurrencyMismatch       ErrorReason = "CURRENCY_MISMATCH"
	NotReversible          ErrorReason = "NOT_REVERSIBLE"
	NotPending             ErrorReason = "NOT_PENDING"
	AlreadyPosted          ErrorReason = "ALREADY_POSTED"
	AlreadyVoided          ErrorReason = "ALREADY_VOIDED"
	HoldExpired            ErrorReason = "HOLD_EXPIRED"
	HoldAmountExceeded     ErrorReason = "HOLD_AMOUNT_EXCEEDED"
	AlreadyReversed        ErrorReason = "ALREADY_REVERSED"
	ReasonAccountClosed    ErrorReason = "ACCOUNT_CLOSED"
	ReasonAccountFrozen    ErrorReason = "ACCOUNT_FROZEN"
	DebitsBlocked          ErrorReason = "DEBITS_BLOCKED"
	CreditsBlocked         ErrorReason = "CREDITS_BLOCKED"
	VersionMismatch        ErrorReason = "VERSION_MISMATCH"
	BalanceConditionFailed ErrorReason = "BALANCE_CONDITION_FAILED"
	TransferCapExceeded    ErrorReason = "TRANSFER_CAP_EXCEEDED"
	InsufficientFunds      ErrorReason = "INSUFFICIENT_FUNDS"
	MaxBalanceExceeded     ErrorReason = "MAX_BALANCE_EXCEEDED"
	AmountLimitExceeded    ErrorReason = "AMOUNT_LIMIT_EXCEEDED"
	CountLimitExceeded     ErrorReason = "COUNT_LIMIT_EXCEEDED"
	GroupFailed            ErrorReason = "GROUP_FAILED"
	Voided                 ErrorReason = "VOIDED"
)

// TransferKind says what a transfer is for. The names are those of transfers.v1.Transfer.Kind.
type TransferKind string

// The kinds of transfers.
const (
	KindTransfer  TransferKind = "TRANSFER"
	KindHold      TransferKind = "HOLD"      // reserves money until it is posted, voided or expires
	KindScheduled TransferKind = "SCHEDULED" // waits for its time
	KindCapture   TransferKind = "CAPTURE"   // moves money of a hold
	KindExecution TransferKind = "EXECUTION" // moves the money of a scheduled transfer
	KindReversal  TransferKind = "REVERSAL"  // moves money of another transfer back
)

// A Currency is a code and the number of decimals of its amounts. Neither ever changes.
type Currency struct {
	Code            string
	Scale           int32 // decimals, 0 to 18
	EquityAccountID uuid.UUID
	CreateTime      time.Time
}

// An Account holds a balance in one currency.
type Account struct {
	ID          uuid.UUID
	Currency    string
	Scale       int32 // of the currency, so that amounts can be printed
	Balance     decimal.Decimal
	Held        decimal.Decimal     // the sum of open holds on the account
	Incoming    decimal.Decimal     // the sum of open holds towards the account
	MinBalance  decimal.NullDecimal // the floor of Balance - Held; not valid: none
	MaxBalance  decimal.NullDecimal // the ceiling of Balance + Incoming; not valid: none
	Policy      Policy
	Status      AccountStatus
	DisplayName string
	ImageURL    string
	Metadata    map[string]string
	Version     int64
	CreateTime  time.Time
	UpdateTime  time.Time
}

// Available is the balance less the holds on it.
func (a *Account) Available() decimal.Decimal { return a.Balance.Sub(a.Held) }

// AccountParams is what an account is opened with.
type AccountParams struct {
	ID             uuid.UUID // the idempotency key; uuid.Nil: a version 7 id is made
	Currency       string    // empty: USD
	InitialBalance decimal.Decimal
	MinBalance     decimal.Decimal
	MaxBalance     decimal.NullDecimal // not valid: none
	Policy         Policy
	DisplayName    string
	ImageURL       string
	Metadata       map[string]string
	DryRun         bool // report what would happen, change nothing
}

// TransferParams are the parameters of a transfer.
type TransferParams struct {
	ID        uuid.UUID // the idempotency key; uuid.Nil: a version 7 id is made
	From, To  uuid.UUID // must differ
	Amount    decimal.Decimal
	Currency  string // empty: whatever both accounts have
	Reference string
	Metadata  map[string]string
	Options   *TransferOptions // nil: a plain transfer, now, on no condition
	NoIssue   bool             // the caller must not pay from an equity account
}

// TransferOptions are the parameters that only some transfers have.
type TransferOptions struct {
	Hold          bool
	ExpireTime    time.Time     // of a hold; zero: never, unless HoldTTL is given
	HoldTTL       time.Duration // of a hold, from when it is made; zero: see ExpireTime
	ExecuteTime   time.Time     // when to move the money; zero: now
	EffectiveTime time.Time     // when the transfer counts; zero: when it is made
	UpTo          bool          // Amount is an upper bound: as much of it as can be
	// UpToFloor is how low that may bring what the payer has available; not valid: to zero. The
	// account's own floor holds all the same.
	UpToFloor decimal.NullDecimal

	// Conditions, evaluated in the commit that decides: versions of the accounts, and balances
	// before the transfer.
	FromVersion, ToVersion  *int64
	FromAtLeast, FromAtMost decimal.NullDecimal
	ToAtLeast, ToAtMost     decimal.NullDecimal

	DryRun bool // report what would happen, change nothing
}

// PostParams are the parameters of a capture of a hold.
type PostParams struct {
	HoldID    uuid.UUID
	ID        uuid.UUID           // the capture's idempotency key; uuid.Nil: made
	Amount    decimal.NullDecimal // not valid: all that the hold still reserves
	Final     bool                // release what is left
	Reference string              // empty: the hold's
	Metadata  map[string]string
	DryRun    bool
	NoIssue   bool // as of a transfer
}

// ReverseParams are the parameters of a reversal.
type ReverseParams struct {
	TransferID uuid.UUID
	ID         uuid.UUID           // the reversal's idempotency key; uuid.Nil: made
	Amount     decimal.NullDecimal // not valid: all that was not reversed yet
	Force      bool                // the payer's floor does not count
	Reference  string              // empty: the transfer's
	Metadata   map[string]string
	DryRun     bool
	NoIssue    bool // as of a transfer
}

// BatchOptions say how a batch of transfers is made.
type BatchOptions struct {
	Atomic  bool      // all or none
	GroupID uuid.UUID // of an atomic batch; uuid.Nil: a version 7 id is made
	DryRun  bool      // report what would happen, change nothing
}

// A Transfer is the record of money moved, or of a refusal.
type Transfer struct {
	ID          uuid.UUID
	From, To    uuid.UUID
	Amount      decimal.Decimal
	Currency    string // empty when it was refused for want of both accounts and named none
	Scale       int32  // of the currency, to print amounts; a refused amount may have more decimals
	Status      TransferStatus
	Reason      ErrorReason         // empty unless FAILED
	FromBalance decimal.NullDecimal // right after the decision; not valid: no such account
	ToBalance   decimal.NullDecimal
	Reference   string
	Metadata    map[string]string
	CreateTime  time.Time
	UpdateTime  time.Time
	Version     int64
	Detail      *TransferDetail // nil: a plain transfer
}

// TransferDetail is what only some transfers have.
type TransferDetail struct {
	Kind          TransferKind
	ParentID      uuid.UUID           // what a CAPTURE, EXECUTION or REVERSAL is made of
	GroupID       uuid.UUID           // uuid.Nil: none
	DueTime       *time.Time          // when a HOLD expires (nil: never), or a SCHEDULED executes
	EffectiveTime *time.Time          // nil: CreateTime
	Open          decimal.NullDecimal // reserved by a HOLD; 0: expired, SCHEDULED; not valid: final
	Posted        decimal.NullDecimal // what was captured of a HOLD
	Reversed      decimal.NullDecimal // not valid: nothing
	Requested     decimal.NullDecimal // the upper bound of the request
	Floor         decimal.NullDecimal // and how low it may bring the payer; not valid: to zero
	Refusal       map[string]string   // why it was refused, in figures
}

// Kind says what the transfer is for.
func (t *Transfer) Kind() TransferKind {
	if t.Detail == nil {
		return KindTransfer
	}
	return t.Detail.Kind
}

// Group is the group that the transfer is of; uuid.Nil: none.
func (t *Transfer) Group() uuid.UUID {
	if t.Detail == nil {
		return uuid.Nil
	}
	return t.Detail.GroupID
}

// detail returns the transfer's detail, made if there was none.
func (t *Transfer) detail() *TransferDetail {
	if t.Detail == nil {
		t.Detail = &TransferDetail{Kind: KindTransfer}
	}
	return t.Detail
}

// snapshot is the transfer as it is now, whatever is done to t later.
func (t *Transfer) snapshot() Transfer {
	c := *t
	if t.Detail != nil {
		d := *t.Detail
		c.Detail = &d
	}
	return c
}

// An Outcome is what became of one transfer of a batch: either Err is nil and Transfer is the
// record, SUCCESS or FAILED (or INIT, of a hold or a scheduled transfer), or Err says why it never
// became a transfer.
type Outcome struct {
	Transfer Transfer
	Parent   *Transfer // what a capture or reversal was made of, as it is after it
	Replayed bool      // the stored outcome of an earlier call
	Err      error
}

// IsNew reports whether the command made the transfer. What was changed, not made, has a later
// version.
func (o *Outcome) IsNew() bool { return o.Err == nil && !o.Replayed && o.Transfer.Version == 1 }

// An Entry is one side of a transfer that succeeded.
type Entry struct {
	AccountID    uuid.UUID
	Sequence     int64 // 1, 2, 3, … within the account
	TransferID   uuid.UUID
	Counterparty uuid.UUID
	Amount       decimal.Decimal // negative: money left the account
	Balance      decimal.Decimal // right after
	Currency     string
	Scale        int32
	Reference    string
	CreateTime   time.Time
	Effective    *time.Time // when it counts; nil: CreateTime
}
