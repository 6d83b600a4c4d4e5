// Package bench is a load generator for the ledger. It speaks only the public API, through the
// generated client, to a server that runs or that it starts itself, and ends by proving that no
// money was lost.
//
// A contender is something that can make transfers: the service, the SQL that a good engineer would
// write by hand (baseline.sql), or the service's own SQL without the service (sql-direct). A leg is
// one contender under one load for a while: a warm-up, then a window that counts. Contenders that
// are compared take turns, leg by leg, so that the machine's other load affects all of them.
//
// With a rate (open loop) latencies are measured from the time at which a call was due, not from
// the time at which a caller became free to make it: a stall of the server is felt by every call
// that was due meanwhile (no coordinated omission). Without a rate (closed loop) each caller makes
// its next call when the last one has returned.
package bench
