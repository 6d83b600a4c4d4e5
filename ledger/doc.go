// Package ledger moves money between accounts: nothing is lost, created, overdrawn or applied twice, at any
// concurrency, through any fault. It knows Postgres; it knows neither HTTP nor protobuf.
//
// # The states of a transfer
//
//	INIT ──► SUCCESS   a plain transfer's money moved; a hold was posted; a scheduled transfer was executed
//	  └────► FAILED    refused, voided or expired, with its reason; no money moved by it
//
// A plain transfer is born in one of the two final states, in the commit that decides it. Refused transfers are rows
// too. The transfer's id is its idempotency key, for ever.
//
// A hold and a scheduled transfer are born INIT. They never move money themselves: captures and executions do, transfers
// of their own that name them as their parent. So a row of a transfer that moved money never changes, and an account's
// entries are in the order in which they were made.
//
// # The way of a transfer
//
// Transfer (transfer.go) queues a command (command.go) and waits; a worker of the batcher (batcher.go) takes whatever has
// queued while the last batch committed; applyBatch (apply.go) takes the money with one conditional UPDATE
// (queries/account.sql), decides each transfer in order (decide.go), writes the ledger rows and commits; the worker then
// wakes each caller with its own outcome. A single call is a batch of one, through the same code. Opening accounts
// (open.go) goes the same way.
//
// That is the short way, for batches of plain transfers between accounts without policies, of which all succeed. All
// others go the long way: the accounts are locked and read, with whatever else the decision depends on (know.go); each
// command is judged (judge.go) and has its effect (effect.go, lifecycle.go); and what was decided is written (fold.go).
//
// # Synchronous standbys
//
// Where PostgreSQL has synchronous standbys, what is said to be done or shown is on one of them. A COMMIT is never
// cancelled, whoever has lost patience (session.go). What is found done already is behind a barrier, a commit that waits
// for all before it. What is read passes a gate, which is closed while somebody may see what no standby has (gate.go,
// readers.go).
//
// # Time
//
// The database's clock decides, for all servers: the function ledger_now of the schema. A hold that has expired is ended
// by the first decision about one of its accounts, before anything else is decided, whether or not a worker has run; and
// reading an account leaves it out.
package ledger
