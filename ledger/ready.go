package ledger

import "context"

// ReadyToRead reports whether what is there can be read now. If not, the error is an
// UnavailableError.
func (l *Ledger) ReadyToRead(ctx context.Context) error {
	_, err := l.queries.ReadyToRead(ctx, l.readers)
	return notReady(err)
}

// ReadyToWrite reports whether a transfer would be taken now: whether the database can be reached,
// is no standby, is not read-only, and has given its role the rights. It changes nothing. If not,
// the error is an UnavailableError.
func (l *Ledger) ReadyToWrite(ctx context.Context) error {
	return notReady(l.queries.ReadyToWrite(ctx, l.writers))
}

// notReady makes any error one that says that the database is not available: nobody's request is to
// blame.
func notReady(err error) error {
	if err == nil {
		return nil
	}
	return unavailable(err)
}
