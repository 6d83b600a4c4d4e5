package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

var (
	// ErrMissing: the call has no credentials.
	ErrMissing = errors.New("the call has no API key; send one as Authorization: Bearer itk_…")
	// ErrInvalid: the credentials are malformed, unknown, wrong or revoked. It does not say which.
	ErrInvalid = errors.New("the API key is not valid")
	// ErrExpired: the time of the credentials, which are right, is over.
	ErrExpired = errors.New("the API key has expired")
	// ErrUnavailable: who calls cannot be told while the database is away.
	ErrUnavailable = errors.New("API keys cannot be read from the database")
)

// A NetworkError says that a key, which is right, must not be used from an address.
type NetworkError struct{ Address netip.Addr }

func (e *NetworkError) Error() string {
	return "the API key must not be used from the address " + e.Address.String()
}

// A PermissionError says what a caller may not do.
type PermissionError struct {
	Missing Permissions
	What    string // that needs it, as the end of a sentence; empty: the call
}

func (e *PermissionError) Error() string {
	text := "the API key lacks the permission " + e.Missing.Names()[0]
	if e.What != "" {
		text += ", which is needed " + e.What
	}
	return text
}

// A Caller is a key as it is at a call.
type Caller struct {
	KeyID       uuid.UUID
	Name        string
	Role        string
	Permissions Permissions
	ExpireTime  *time.Time // nil: never

	networks   []netip.Prefix
	hash       [sha256.Size]byte
	old        []byte // the hash before the last rotation, until oldExpires; nil: none
	oldExpires time.Time
	version    int64

	ended   chan struct{} // closed: the key has changed or was revoked
	lastUse atomic.Pointer[use]
	flushed *use // the last use that is in the database; only the keyring's loop uses it
}

// A use is when a key was used, to the second, and from where.
type use struct {
	second  int64 // since 1970
	address netip.Addr
}

// Ended is closed when the key is changed or revoked: then its streams end.
func (c *Caller) Ended() <-chan struct{} { return c.ended }

// Require returns a PermissionError unless the caller has all of these permissions.
func (c *Caller) Require(needed Permissions, what string) error {
	if missing := needed &^ c.Permissions; missing != 0 {
		return &PermissionError{Missing: missing, What: what}
	}
	return nil
}

// verify checks the hash of a secret, then what goes with the key. A wrong secret is told nothing.
func (c *Caller) verify(hash [sha256.Size]byte, address netip.Addr, now time.Time) error {
	matches := subtle.ConstantTimeCompare(c.hash[:], hash[:])
	if c.old != nil && now.Before(c.oldExpires) {
		matches |= subtle.ConstantTimeCompare(c.old, hash[:])
	}
	switch {
	case matches == 0:
		return ErrInvalid
	case c.ExpireTime != nil && !now.Before(*c.ExpireTime):
		return ErrExpired
	case len(c.networks) > 0 && !slices.ContainsFunc(c.networks, func(n netip.Prefix) bool { return n.Contains(address) }):
		return &NetworkError{Address: address}
	}
	if last := c.lastUse.Load(); last == nil || last.second < now.Unix() {
		c.lastUse.Store(&use{now.Unix(), address})
	}
	return nil
}
