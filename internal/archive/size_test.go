package archive_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"internaltransfers/internal/archive"
	"internaltransfers/ledger"
)

// large makes a ledger of many transfers between two accounts, as if they had been made one by one.
func large(t testing.TB, transfers int) (url string) {
	t.Helper()
	url = newDatabase(t)
	l, closeIt := openLedger(t, url, 0)
	for _, p := range []ledger.AccountParams{{ID: uuidOf("a"), InitialBalance: one}, {ID: uuidOf("b")}} {
		if _, _, err := l.CreateAccount(context.Background(), p); err != nil {
			t.Fatal(err)
		}
	}
	closeIt()
	// There and back: of each two transfers the first is from a to b.
	execute(t, url, fmt.Sprintf(`
INSERT INTO transfer (transfer_id, from_account_id, to_account_id, amount, currency, asked_currency, status, from_balance, to_balance,
                      from_sequence, to_sequence, create_time, update_time, reference, metadata)
SELECT gen_random_uuid(), CASE i %% 2 WHEN 1 THEN '%[1]s' ELSE '%[2]s' END::uuid, CASE i %% 2 WHEN 1 THEN '%[2]s' ELSE '%[1]s' END::uuid,
       1, 'USD', '', 'SUCCESS', 0, 1, i + i %% 2, i + 1 - i %% 2, now() + i * interval '1 microsecond', now() + i * interval '1 microsecond',
       'order ' || i, jsonb_build_object('order', i::text)
FROM generate_series(1, %[3]d) AS i ORDER BY i`, id("a"), id("b"), transfers),
		fmt.Sprintf("UPDATE account SET entry_count = entry_count + %[1]d, version = version + %[1]d WHERE account_id IN ('%[2]s', '%[3]s')",
			transfers, id("a"), id("b")),
		"ANALYZE")
	return url
}

// TestConstantMemory: a copy of 100,000 transfers, from database to database, takes no more memory
// than one of a few.
func TestConstantMemory(t *testing.T) {
	const transfers = 100_000
	original, duplicate := large(t, transfers), newDatabase(t)
	var checksums archive.Checksums
	var took time.Duration
	used := allocated(func() {
		began := time.Now()
		r, w := io.Pipe()
		go func() {
			_, _, err := archive.Export(context.Background(), w, archive.Options{DatabaseURL: original})
			_ = w.CloseWithError(err) // which the reader gets
		}()
		got, err := archive.Import(context.Background(), r, archive.Options{DatabaseURL: duplicate}, silent)
		if err != nil {
			t.Fatal(err)
		}
		checksums, took = got.Checksums, time.Since(began)
	})
	var rows, size int64
	for _, table := range checksums.Tables {
		rows, size = rows+table.Rows, size+table.Bytes
	}
	t.Logf("%d rows of %d bytes in %v, with %d bytes allocated", rows, size, took, used)
	if used > 16<<20 || size < 20_000_000 {
		t.Errorf("%d bytes were allocated for a copy of %d bytes", used, size)
	}
	if got := count(t, duplicate, "transfer"); got != transfers+1 {
		t.Errorf("the copy has %d transfers", got)
	}
}

// BenchmarkExport measures transfers a second into nowhere.
func BenchmarkExport(b *testing.B) {
	const transfers = 100_000
	url := large(b, transfers)
	for b.Loop() {
		_, _, err := archive.Export(context.Background(), io.Discard, archive.Options{DatabaseURL: url})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(transfers)*float64(b.N)/b.Elapsed().Seconds(), "transfers/s")
}

// BenchmarkImport measures transfers a second, with the proof.
func BenchmarkImport(b *testing.B) {
	const transfers = 100_000
	var file bytes.Buffer
	if _, _, err := archive.Export(context.Background(), &file, archive.Options{DatabaseURL: large(b, transfers)}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		url := newDatabase(b)
		_, err := archive.Import(context.Background(), bytes.NewReader(file.Bytes()), archive.Options{DatabaseURL: url}, silent)
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(transfers)*float64(b.N)/b.Elapsed().Seconds(), "transfers/s")
	b.ReportMetric(float64(file.Len())/transfers, "bytes/transfer")
}
