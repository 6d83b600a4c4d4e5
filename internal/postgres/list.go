package postgres

import (
	"time"

	"github.com/google/uuid"

	"internaltransfers/gen/db"
	"internaltransfers/ledger"
)

// AccountFilter narrows ListAccounts; zero fields match everything.
type AccountFilter struct {
	Currency string
	Status   ledger.AccountStatus
	// Search is words: each begins a word of the name, in any order and case. Or it begins the id,
	// with at least 4 digits of it.
	Search string `json:",omitempty"`
}

// TransferFilter narrows ListTransfers; zero fields match everything.
type TransferFilter struct {
	AccountID uuid.UUID // as payer or payee
	Status    ledger.TransferStatus
	Currency  string
	Reference string
	Start     time.Time // inclusive
	End       time.Time // exclusive
	GroupID   uuid.UUID // alone or with Status
	ParentID  uuid.UUID // likewise
}

// EntryFilter chooses the entries of ListEntries.
type EntryFilter struct {
	AccountID   uuid.UUID
	OldestFirst bool
	Start       time.Time // inclusive; zero: from the beginning
	End         time.Time // exclusive; zero: to the end
}

// About how many bytes the fields of an item take that are not texts of the caller's: ids, amounts
// and times.
const (
	transferBytes = 512
	accountBytes  = 512
	limitBytes    = 64
	entryBytes    = 256
	scheduleBytes = 512
	currencyBytes = 128
)

// transferSize is about how many bytes a transfer takes when it is sent.
func transferSize(r *db.TransferFull) int {
	return transferBytes + len(r.Reference) + len(r.Metadata) + len(r.Refusal)
}

// accountSize is about how many bytes an account takes when it is sent.
func accountSize(a *ledger.Account) int {
	size := accountBytes + len(a.DisplayName) + len(a.ImageURL) + metadataSize(a.Metadata)
	for _, block := range []*ledger.Block{a.Policy.DebitBlock, a.Policy.CreditBlock} {
		if block != nil {
			size += len(block.Reason)
		}
	}
	return size + len(a.Policy.Limits)*limitBytes
}

// metadataSize is about how many bytes metadata takes when it is sent.
func metadataSize(metadata map[string]string) int {
	size := 0
	for key, value := range metadata {
		size += len(key) + len(value) + 16
	}
	return size
}

// bounds returns a time range with both ends, in UTC and in whole microseconds as the database
// keeps them. Both are rounded up: a row is at or after a moment just when it is at or after the
// next microsecond.
func bounds(start, end time.Time) (time.Time, time.Time, error) {
	if start.IsZero() {
		start = ledger.TimeMin
	}
	if end.IsZero() {
		end = ledger.TimeMax
	}
	for _, t := range []struct {
		field string
		time  time.Time
	}{{"start_time", start}, {"end_time", end}} {
		if t.time.Before(ledger.TimeMin) || t.time.After(ledger.TimeMax) {
			return start, end, &ledger.InvalidError{Field: t.field, Reason: "must be within the years 1 to 9999"}
		}
	}
	return ledger.CeilMicrosecond(start.UTC()), ledger.CeilMicrosecond(end.UTC()), nil
}
