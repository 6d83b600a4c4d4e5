// Package ledger moves money between accounts: nothing is lost, created, overdrawn or applied twice, at any
// concurrency, through any fault. It knows Postgres; it knows neither HTTP nor protobuf.
//
// # The states of a transfer
//
//	INIT ──► SUCCESS   the money moved
//	  └────► FAILED    refused, with its reason; no money moved
//
// A plain transfer is born in one of the two final states, in the commit that decides it. Refused transfers are rows
// too. The transfer's id is its idempotency key, for ever.
//
// # The way of a transfer
//
// Transfer (transfer.go) queues a command and waits; a worker of the batcher (batcher.go) takes whatever has queued
// while the last batch committed; applyBatch (apply.go) takes the money with one conditional UPDATE (queries/account.sql),
// decides each transfer in order (decide.go), writes the ledger rows and commits; the worker then wakes each caller with
// its own outcome. A single call is a batch of one, through the same code. Opening accounts (open.go) goes the same way.
package ledger
