package server

import (
	"bytes"
	"encoding/csv"
	"strconv"
	"time"

	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

const csvType = "text/csv; charset=utf-8"

// csvTime is RFC 3339 with all of the microseconds, so that times sort as texts do.
const csvTime = "2006-01-02T15:04:05.000000Z07:00"

// statementColumns are described in the comment on ExportStatement.
var statementColumns = []string{
	"type", "time", "sequence", "transfer_id", "counterparty_account_id", "amount", "balance", "currency", "reference",
	"create_time", "effective_time",
}

// A statementFile writes a statement as CSV, line by line.
type statementFile struct {
	buffer    bytes.Buffer
	statement *postgres.Statement
}

// take returns what was written since the last time.
func (f *statementFile) take() []byte {
	text := bytes.Clone(f.buffer.Bytes())
	f.buffer.Reset()
	return text
}

func (f *statementFile) begin(statement *postgres.Statement) {
	f.statement = statement
	f.line(statementColumns...)
	f.line("opening_balance", csvMoment(statement.Start), "", "", "", "", amountText(statement.Opening, statement.Scale),
		statement.Currency, "", "", "")
}

func (f *statementFile) add(entries []ledger.Entry) {
	for i := range entries {
		e := &entries[i]
		effective := ""
		if e.Effective != nil {
			effective = csvMoment(*e.Effective)
		}
		at := e.CreateTime
		if f.statement.Effective && e.Effective != nil {
			at = *e.Effective
		}
		f.line("entry", csvMoment(at), strconv.FormatInt(e.Sequence, 10), e.TransferID.String(), e.Counterparty.String(),
			amountText(e.Amount, e.Scale), amountText(e.Balance, e.Scale), e.Currency, inertText(e.Reference),
			csvMoment(e.CreateTime), effective)
	}
}

func (f *statementFile) end() {
	s := f.statement
	f.line("closing_balance", csvMoment(s.End), "", "", "", "", amountText(s.Closing, s.Scale), s.Currency, "", "", "")
}

// line writes one line, which RFC 4180 wants to end in CR LF. The library can do that, but then
// changes the line breaks within fields too.
func (f *statementFile) line(fields ...string) {
	w := csv.NewWriter(&f.buffer)
	err := w.Write(fields)
	w.Flush()
	if err != nil || w.Error() != nil {
		panic("a buffer takes everything")
	}
	f.buffer.Truncate(f.buffer.Len() - 1)
	f.buffer.WriteString("\r\n")
}

func csvMoment(t time.Time) string { return t.UTC().Format(csvTime) }
