package postgres

import (
	"time"

	"internaltransfers/ledger"

	"github.com/google/uuid"
)

// A Page says which part of a list to return.
type Page struct {
	Size  int32  // 1 to 1,000; 0: 50
	Token string // of the page before; empty: the first page
	// Bytes is about how many bytes the items of the page may take when they are sent. The first
	// item is on the page whatever it takes. 0: any number.
	Bytes int
}

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
