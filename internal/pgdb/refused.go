package pgdb

import "fmt"

// A RefusedError says why a database cannot be used as it is.
type RefusedError struct {
	Found  string // such as "server_encoding is LATIN1"
	Wanted string // such as "UTF8"
	Fix    string // what changes it: a command, or where to look
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the database cannot be used: %s, wanted is %s. %s", e.Found, e.Wanted, e.Fix)
}
