package archive

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// A reader reads a file that it does not trust: it takes the members that must be there, in their
// order and of limited size, and acts on no name or number of the file. It keeps no more than a
// buffer.
type reader struct {
	source    *bufio.Reader
	gzip      *gzip.Reader
	tar       *tar.Reader
	header    *tar.Header // of the next member, if it was looked at
	manifest  Manifest
	checksums Checksums // of what was read
}

// open reads a file up to its first table.
func open(r io.Reader) (*reader, error) {
	in := &reader{source: bufio.NewReaderSize(r, 64<<10)}
	var err error
	if in.gzip, err = gzip.NewReader(in.source); err != nil {
		return nil, fmt.Errorf("the file does not begin as an export of a ledger: %w", unexpected(err))
	}
	in.gzip.Multistream(false) // what follows is not of this file
	in.tar = tar.NewReader(in.gzip)
	text, err := in.json(manifestName)
	if err != nil {
		return nil, err
	}
	if err := decode(text, &in.manifest); err != nil {
		return nil, fmt.Errorf("%s: %w", manifestName, err)
	}
	sum := sha256.Sum256(text)
	in.checksums.Manifest = hex.EncodeToString(sum[:])
	return in, in.manifest.check()
}

// unexpected is the error of a reader that still expects something.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// peek returns the header of the next member.
func (in *reader) peek() (*tar.Header, error) {
	if in.header != nil {
		return in.header, nil
	}
	h, err := in.tar.Next()
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the file: %w", unexpected(err))
	case h.Typeflag != tar.TypeReg || len(h.PAXRecords) > 0:
		return nil, fmt.Errorf("the file has a member %.100q that is no plain file", h.Name)
	}
	in.header = h
	return h, nil
}

// json reads a member of JSON, which must be the next.
func (in *reader) json(name string) ([]byte, error) {
	h, err := in.peek()
	switch {
	case err != nil:
		return nil, err
	case h.Name != name:
		return nil, fmt.Errorf("the file has a member %.100q where %s must be", h.Name, name)
	case h.Size > jsonBytesMax:
		return nil, fmt.Errorf("%s has %d bytes, more than %d", name, h.Size, jsonBytesMax)
	}
	in.header = nil
	text, err := io.ReadAll(in.tar)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, unexpected(err))
	}
	return text, nil
}

// end reads what comes after the tables. Then nothing may follow, and what was read must be what
// was written.
func (in *reader) end() error {
	text, err := in.json(checksumsName)
	if err != nil {
		return err
	}
	var written Checksums
	if err := decode(text, &written); err != nil {
		return fmt.Errorf("%s: %w", checksumsName, err)
	}
	if _, err := in.tar.Next(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("something follows %s in the file", checksumsName)
	}
	// The end of the compressed stream has a checksum of its own.
	if n, err := io.ReadFull(in.gzip, make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		return fmt.Errorf("the file does not end after %s: %w", checksumsName, unexpected(err))
	}
	if _, err := in.source.Peek(1); !errors.Is(err, io.EOF) {
		return errors.New("something follows the end of the file")
	}
	if written.Manifest != in.checksums.Manifest {
		return fmt.Errorf("%s is not as it was written: its SHA-256 is %s, not %.64q", manifestName,
			in.checksums.Manifest, written.Manifest)
	}
	if len(written.Tables) != len(in.checksums.Tables) {
		return fmt.Errorf("%s has %d tables, and the file %d", checksumsName, len(written.Tables), len(in.checksums.Tables))
	}
	for i, read := range in.checksums.Tables {
		if wrote := written.Tables[i]; read != wrote {
			return fmt.Errorf("table %s is not as it was written: there are %d rows, %d bytes with SHA-256 %s, "+
				"and %s says %.64q, %d rows, %d bytes, %.64q", read.Name, read.Rows, read.Bytes, read.SHA256, checksumsName,
				wrote.Name, wrote.Rows, wrote.Bytes, wrote.SHA256)
		}
	}
	return nil
}

// A tableReader reads the rows of a table, part after part.
type tableReader struct {
	in     *reader
	tally  *tally
	number int  // of the present part
	inside bool // of that part
	failed atomic.Pointer[error]
}

func (in *reader) table(t *tally) *tableReader { return &tableReader{in: in, tally: t} }

// Read implements io.Reader. The database's driver does not return its errors, but err does.
func (r *tableReader) Read(p []byte) (int, error) {
	n, err := r.read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.failed.Store(&err)
	}
	return n, err
}

func (r *tableReader) err() error {
	if err := r.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (r *tableReader) read(p []byte) (int, error) {
	for {
		if !r.inside {
			more, err := r.next()
			if err != nil {
				return 0, err
			}
			if !more {
				return 0, io.EOF
			}
		}
		n, err := r.in.tar.Read(p)
		switch {
		case errors.Is(err, io.EOF):
			r.inside = false
		case err != nil:
			return 0, fmt.Errorf("%s: %w", partName(r.tally.table.name, r.number), err)
		}
		if n > 0 {
			return n, r.tally.add(p[:n])
		}
	}
}

// next goes on to the next part, and reports whether there is one.
func (r *tableReader) next() (bool, error) {
	h, err := r.in.peek()
	if err != nil {
		return false, err
	}
	name := partName(r.tally.table.name, r.number+1)
	if h.Name != name {
		return false, nil
	}
	if h.Size > partBytesMax {
		return false, fmt.Errorf("%s has %d bytes, more than %d", name, h.Size, partBytesMax)
	}
	r.number++
	r.inside, r.in.header = true, nil
	return true, nil
}

// end ends a table.
func (r *tableReader) end() error {
	sum, err := r.tally.sum()
	if err != nil {
		return err
	}
	r.in.checksums.Tables = append(r.in.checksums.Tables, sum)
	return nil
}
