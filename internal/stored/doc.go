// Package stored converts what is stored, the rows of gen/db, into what package ledger calls it:
// accounts, transfers, entries and currencies.
package stored
