package proof

import (
	"fmt"
	"time"
)

// A Report is what Check found.
type Report struct {
	Time           time.Time // of the snapshot, by the database's clock
	CheckpointTime time.Time // of the checkpoint that it went on from; zero: it proved everything
	Invariants     []Invariant
}

// OK reports whether every invariant holds.
func (r *Report) OK() bool {
	for i := range r.Invariants {
		if r.Invariants[i].ViolationCount > 0 {
			return false
		}
	}
	return true
}

// An Invariant is a sentence that is true of every ledger, and the result of its check.
type Invariant struct {
	Name           string
	Description    string
	Examined       int64    // rows
	ViolationCount int64    // rows that break it
	Violations     []string // the first of them, at most 10
}

// String is one line with the invariant's figures.
func (i *Invariant) String() string {
	return fmt.Sprintf("%s: %d examined, %d violations %v", i.Name, i.Examined, i.ViolationCount, i.Violations)
}
