// Package postgres keeps a ledger in PostgreSQL: nothing is lost, created, overdrawn or applied
// twice, at any concurrency, through any fault. Package ledger decides what may happen; this
// package makes it happen, durably. It uses neither HTTP nor protobuf.
//
// # The path of a transfer
//
// Transfer (transfer.go) queues a command and waits. A worker of the batcher (batcher.go) takes
// what has queued while the last batch committed, and runs it (batch.go). applyBatch (apply.go)
// takes the money with one conditional UPDATE (queries/account.sql), has each transfer decided in
// order (ledger.Decide), writes the ledger rows and commits. The worker then wakes each caller with
// its own outcome. A single call is a batch of one, through the same code. Opening accounts
// (open.go) goes the same way.
//
// That is the fast path, for batches of plain transfers between accounts without policies, of which
// all succeed. All others take the slow path: the accounts are locked and read, with whatever else
// the decision depends on (snapshot.go); and what was decided is written (params.go).
//
// # Synchronous standbys
//
// Everything that is reported as done, or shown, is on a synchronous standby where PostgreSQL has
// one. Package durable sees to that.
//
// # Time
//
// The database's clock decides, for all servers: the function ledger_now of the schema. Reading an
// account leaves out the holds that have expired, whether or not a worker has ended them yet.
package postgres
