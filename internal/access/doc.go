// Package access knows who calls and what they may do: permissions, roles and API keys.
//
// The keys are rows of the ledger's database. Every server has all that are usable in memory, so a
// call costs a hash and a comparison. It looks for changes every two seconds.
package access
