package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

var (
	// ErrUnavailable: the database is away. The call can be repeated; with the same id it is
	// applied at most once.
	ErrUnavailable = errors.New("the database is not available")
	// ErrMayNotIssue: an equity account would pay, and the caller must not let it. Nothing was
	// recorded.
	ErrMayNotIssue = errors.New("an equity account pays only for callers that may issue money")
	// ErrClosed: the ledger is shutting down.
	ErrClosed = errors.New("the ledger is shutting down")
	// ErrPageToken: a page token was not made by this ledger, or for other filters.
	ErrPageToken = errors.New("page_token is not one that this ledger gave for these filters")
)

// An UnavailableError is an ErrUnavailable that says what is wrong.
type UnavailableError struct {
	Reason string // in plain words for every caller, such as "it is read-only"; empty: unknown
	Cause  error  // for the log only, since it has the driver's text; nil: there is no more to say
}

func (e *UnavailableError) Error() string {
	text := ErrUnavailable.Error()
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Unwrap makes it an ErrUnavailable.
func (e *UnavailableError) Unwrap() []error {
	if e.Cause == nil {
		return []error{ErrUnavailable}
	}
	return []error{ErrUnavailable, e.Cause}
}

// An InvalidError says that a request can never be accepted. Nothing was recorded.
type InvalidError struct {
	Field  string // the field's name in the API, such as amount
	Reason string // what is wrong with it
}

func (e *InvalidError) Error() string { return e.Field + ": " + e.Reason }

// A NotFoundError says that the thing to read or change does not exist.
type NotFoundError struct {
	Kind string // account, transfer, schedule, endpoint, api_key
	ID   uuid.UUID
}

func (e *NotFoundError) Error() string { return fmt.Sprintf("there is no %s %s", e.Kind, e.ID) }

// A ConflictError says that the id is taken by something with other fields.
type ConflictError struct {
	Kind string // account, transfer, group, currency, schedule, endpoint
	ID   string
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s %s already exists with other fields", e.Kind, e.ID)
}

// A VersionError says that something changed since the caller saw it.
type VersionError struct {
	Kind             string // account, which empty means too, or api_key
	ID               uuid.UUID
	Expected, Actual int64
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%s %s has version %d, not %d", cmp.Or(e.Kind, "account"), e.ID, e.Actual, e.Expected)
}

// A StateError says that the present state of an account, schedule, endpoint or key does not allow
// a change.
type StateError struct {
	Kind   string // account, which empty means too, schedule, endpoint or api_key
	ID     uuid.UUID
	Reason string // the name of the rule, such as BALANCE_NOT_ZERO
	Detail string
}

func (e *StateError) Error() string {
	return fmt.Sprintf("%s %s: %s", cmp.Or(e.Kind, "account"), e.ID, e.Detail)
}

// An OverloadedError says that there are too many followers, or that the queue is full, or half
// full of transfers of one account that the call names. Nothing was recorded.
type OverloadedError struct {
	RetryAfter time.Duration
	What       string // of which there are too many; empty: transfers that wait
}

func (e *OverloadedError) Error() string {
	return fmt.Sprintf("there are too many %s; retry in %s", cmp.Or(e.What, "transfers waiting"), e.RetryAfter)
}

// InGroup names the field of an invalid command by its place in the group.
func InGroup(err error, index int) error {
	var invalid *InvalidError
	if errors.As(err, &invalid) {
		return &InvalidError{Field: fmt.Sprintf("transfers[%d].%s", index, invalid.Field), Reason: invalid.Reason}
	}
	return err
}
