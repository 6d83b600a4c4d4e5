package postgres

import "time"

// ShortageAfter returns what is known of a shortage some time after the last batch, with the errors
// of the batches.
func ShortageAfter(after time.Duration, batches ...error) error {
	var s shortage
	now := time.Now()
	for _, err := range batches {
		s.note(err, now)
	}
	return s.lately(now.Add(after))
}
