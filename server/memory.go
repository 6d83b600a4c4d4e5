package server

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
)

// A budget is the memory that all requests in flight may take together, in bytes. What does not fit
// is refused at once: to wait would keep what came already.
type budget struct {
	size int64
	used atomic.Int64
}

// A share is the part of a budget that one request has. Only its own goroutine touches it.
type share struct {
	of    *budget
	bytes int64
}

var errMemoryBusy = errors.New("requests in flight take all memory that there is for them; repeat the call")

// busyRetry is when a refused caller may try again: most calls take milliseconds.
const busyRetry = time.Second

// memoryBusy returns the error for a request that the budget has no room for.
func memoryBusy() *restError {
	err := newError(connect.CodeResourceExhausted, errMemoryBusy, info("MEMORY_BUSY", nil), retry(busyRetry))
	err.Meta().Set("Retry-After", "1")
	return &restError{status: http.StatusTooManyRequests, err: err}
}

// resize makes the share another size, and fails when that is not free. One request may always have
// the whole budget, if it is alone.
func (s *share) resize(bytes int64) error {
	more := min(bytes, s.of.size) - s.bytes
	if used := s.of.used.Add(more); more > 0 && used > s.of.size {
		s.of.used.Add(-more)
		return errMemoryBusy
	}
	s.bytes += more
	return nil
}

// release gives the share back. It is for the end of the call.
func (s *share) release() {
	s.of.used.Add(-s.bytes)
	s.bytes = 0
}

// A readError says that a body did not come whole.
type readError struct{ cause error }

func (e *readError) Error() string { return e.cause.Error() }
func (e *readError) Unwrap() error { return e.cause }

var errTooLarge = errors.New("more bytes than are allowed")

// readFirst is how much memory is taken before anything has come.
const readFirst = 512

// read reads all that comes, at most limit bytes, into memory that grows with it and is part of the
// share. besides is the size of what else the share has. With an error it returns what came before.
func (s *share) read(r io.Reader, limit int, besides int64) ([]byte, error) {
	data := make([]byte, 0, min(limit+1, readFirst))
	for {
		if len(data) == cap(data) {
			size := min(2*cap(data), limit+1) // one more, to see that there is more
			if err := s.resize(besides + int64(size)); err != nil {
				return nil, err
			}
			data = append(make([]byte, 0, size), data...)
		}
		n, err := r.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case len(data) > limit:
			return nil, errTooLarge
		case errors.Is(err, io.EOF):
			return data, nil
		case err != nil:
			return data, &readError{err}
		}
	}
}
