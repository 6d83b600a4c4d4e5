package archive

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
)

// partBytesMax is the greatest size of a part. The size of a member comes before it in a tar
// archive, and so a part is kept in memory until it is complete.
const partBytesMax = 4 << 20

// partName is the name of a part of a table; the first has the number 1.
func partName(table string, number int) string { return fmt.Sprintf("%s/%06d.tsv", table, number) }

// A writer makes a file.
type writer struct {
	gzip      *gzip.Writer
	tar       *tar.Writer
	part      []byte // of the present table
	number    int    // of parts that were written of it
	tally     *tally
	checksums Checksums
}

func newWriter(w io.Writer) *writer {
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed) // ids hardly compress, and the database waits
	if err != nil {
		panic(err) // the level is a constant, and right
	}
	return &writer{gzip: z, tar: tar.NewWriter(z), part: make([]byte, 0, partBytesMax)}
}

// member writes a member at once. Its header is the same in every export.
func (w *writer) member(name string, text []byte) error {
	header := &tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: int64(len(text)), Mode: 0o600, Format: tar.FormatUSTAR,
	}
	if err := w.tar.WriteHeader(header); err != nil {
		return err
	}
	_, err := w.tar.Write(text)
	return err
}

func (w *writer) manifest(m *Manifest) error {
	text, err := encode(m)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	w.checksums.Manifest = hex.EncodeToString(sum[:])
	return w.member(manifestName, text)
}

// begin begins a table, whose rows are written next.
func (w *writer) begin(t *tally) { w.tally, w.number = t, 0 }

// Write takes rows of the present table, in pieces of any size.
func (w *writer) Write(text []byte) (int, error) {
	if err := w.tally.add(text); err != nil {
		return 0, err
	}
	for rest := text; len(rest) > 0; {
		n := min(len(rest), partBytesMax-len(w.part))
		w.part = append(w.part, rest[:n]...)
		rest = rest[n:]
		if len(w.part) == partBytesMax {
			if err := w.flush(); err != nil {
				return 0, err
			}
		}
	}
	return len(text), nil
}

func (w *writer) flush() error {
	w.number++
	err := w.member(partName(w.tally.table.name, w.number), w.part)
	w.part = w.part[:0]
	return err
}

// end ends a table, of which the database says that it gave so many rows.
func (w *writer) end(rows int64) error {
	if len(w.part) > 0 {
		if err := w.flush(); err != nil {
			return err
		}
	}
	sum, err := w.tally.sum()
	if err != nil {
		return err
	}
	if sum.Rows != rows {
		return fmt.Errorf("table %s: the database gave %d rows, and %d came", sum.Name, rows, sum.Rows)
	}
	w.checksums.Tables = append(w.checksums.Tables, sum)
	return nil
}

// close completes the file.
func (w *writer) close() error {
	text, err := encode(&w.checksums)
	if err != nil {
		return err
	}
	if err := w.member(checksumsName, text); err != nil {
		return err
	}
	if err := w.tar.Close(); err != nil {
		return err
	}
	return w.gzip.Close()
}
