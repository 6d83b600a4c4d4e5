// Package durable has the sessions of a server with the database of its ledger, and sees to it that
// what is reported as done, or shown, survives the loss of the database's machine.
//
// Where PostgreSQL has synchronous standbys, all of that is on one of them. A COMMIT is never
// cancelled, even when its caller has given up (session.go). What is found done already is behind a
// barrier, a commit that waits for all before it. What is read passes a gate, which is closed while
// a session may see what no standby has (gate.go, pool.go).
//
// It also knows what the errors of the database mean (errors.go): whether the same may succeed when
// it is tried again, whether a COMMIT may have been applied all the same, and what to tell a
// caller.
package durable
