// Package pgdb makes every session that the program has with a ledger's database: those of the
// pools, the workers, the listeners, the migrations, the proofs and the benchmarks.
//
// The database may be run by others. Its settings, its schemas, its roles and any pooler are their
// decision, so a session assumes nothing. Open looks once at the server and finds the schema of the
// ledger. Each session then pins what it needs (see settings) and verifies what it cannot set. What
// cannot be had is a RefusedError, which says what was found, what is wanted, and what changes it.
package pgdb
