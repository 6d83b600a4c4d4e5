// Package ledger holds the rules of the ledger: what accounts and transfers are, what a command may
// do, and what becomes of it. It is pure. It knows no database, no network, no clock and no
// goroutine; Decide takes everything that a decision depends on as a Snapshot, and returns a
// Decision.
//
// # The states of a transfer
//
//	INIT ──► SUCCESS   a plain transfer's money moved, a hold was posted, a scheduled transfer
//	  │                was executed
//	  └────► FAILED    refused, voided or expired, with its reason; no money moved by it
//
// A plain transfer is made in one of the two final states. Refused transfers are recorded too. The
// transfer's id is its idempotency key, for ever.
//
// A hold and a scheduled transfer begin as INIT. They never move money themselves: captures and
// executions do, transfers of their own that name them as their parent. So the row of a transfer
// that moved money never changes, and an account's entries are in the order in which they were
// made.
//
// # How a batch is decided
//
// A Command is one request of a caller, valid in itself (command.go). Decide takes a batch of them
// and decides each in order, exactly as if it were alone (decide.go): whether it may be done
// (rules.go), what it does to its accounts (effect.go), and what to its target (lifecycle.go).
// NetOf returns the net change of each account if all plain transfers of a batch succeed (net.go).
//
// # Time
//
// The time is an input. A hold that has expired is ended by the first decision about one of its
// accounts, before anything else is decided. No movement is older than one before it on the same
// account, even if the clock was set back.
package ledger
