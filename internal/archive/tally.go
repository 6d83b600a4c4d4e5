package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"time"
)

// progressEvery is how often the progress of a table is reported.
const progressEvery = 5 * time.Second

// A tally counts the rows of a table while they pass.
type tally struct {
	table *table
	hash  hash.Hash
	rows  int64
	bytes int64
	row   int // the length of the row that has not ended yet

	progress    func(string)
	began, told time.Time
}

func newTally(t *table, progress func(string)) *tally {
	now := time.Now()
	return &tally{table: t, hash: sha256.New(), progress: progress, began: now, told: now}
}

// add counts text. In the text format of COPY a line feed always ends a row: one in a value is
// spelled \n. Rows that are within text are as long as text at most, which is far less than a row
// may be.
func (t *tally) add(text []byte) error {
	t.hash.Write(text)
	t.bytes += int64(len(text))
	rest := text
	if first := bytes.IndexByte(text, '\n'); first >= 0 {
		if err := t.lengthen(first); err != nil {
			return err
		}
		t.rows += int64(bytes.Count(text, []byte{'\n'}))
		t.row = 0
		rest = text[bytes.LastIndexByte(text, '\n')+1:]
	}
	if err := t.lengthen(len(rest)); err != nil {
		return err
	}
	if time.Since(t.told) >= progressEvery {
		t.tell("so far")
	}
	return nil
}

func (t *tally) lengthen(n int) error {
	if t.row += n; t.row > t.table.longestRow() {
		return fmt.Errorf("table %s, line %d: the row has more than %d bytes", t.table.name, t.rows+1, t.table.longestRow())
	}
	return nil
}

// sum returns the count, when all rows have passed.
func (t *tally) sum() (TableChecksum, error) {
	if t.row > 0 {
		return TableChecksum{}, fmt.Errorf("table %s, line %d: the row does not end", t.table.name, t.rows+1)
	}
	t.tell("done")
	return TableChecksum{Name: t.table.name, Rows: t.rows, Bytes: t.bytes, SHA256: hex.EncodeToString(t.hash.Sum(nil))}, nil
}

func (t *tally) tell(how string) {
	t.told = time.Now()
	if t.progress == nil {
		return
	}
	seconds := max(t.told.Sub(t.began).Seconds(), 0.001)
	t.progress(fmt.Sprintf("%-18s  %12d rows  %9.1f MB  %9.0f rows/s  %s",
		t.table.name, t.rows, float64(t.bytes)/1e6, float64(t.rows)/seconds, how))
}
