package bench

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"internaltransfers/gen/db"
	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/pgtest"
)

var variantRounds = flag.Int("variants.rounds", 0, "rounds of BenchmarkVariants; 0: one, tiny, to see that it works")
var variantOut = flag.String("variants.out", "", "a file for the figures of BenchmarkVariants, written after every round")

// A variant is a form, or another schema, or several batches in flight.
type variant struct {
	name     string
	write    form
	schema   string // what to change in a database of its own first; empty: the common one
	workers  int    // on connections of their own, which share the batch; 0: one
	disjoint bool   // each worker has accounts of its own
	knows    bool   // gets the accounts' balances and versions
}

const (
	notExists = "NOT EXISTS (SELECT FROM transfer AS t WHERE t.transfer_id = ANY ($1::uuid[]))"
	byTime    = "DROP INDEX transfer_by_time"
	bySide    = "DROP INDEX transfer_by_from; DROP INDEX transfer_by_to"
)

var variants = []variant{
	{name: "0 present, against itself", write: present},
	{name: "1 COPY", write: copied},
	{name: "2 lock, then update", write: lockedFirst},
	{name: "3a one statement, windows", write: windowed},
	{name: "3b one statement, arrays", write: indexed(variantsSQL["one_statement_arrays"])},
	{name: "4 plpgsql function", write: indexed("SELECT balances, entries, at FROM transfers_apply($1, $2, $3, $4, " +
		"$5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)")},
	{name: "5 optimistic, cached versions", write: optimistic, knows: true},
	{name: "6 2 in flight", write: present, workers: 2},
	{name: "6 4 in flight", write: present, workers: 4},
	{name: "6 2 in flight, disjoint", write: present, workers: 2, disjoint: true},
	{name: "6 4 in flight, disjoint", write: present, workers: 4, disjoint: true},
	{name: "7 same schema, other database", write: present, schema: "SELECT"},
	{name: "7 no CHECKs", write: present, schema: variantsSQL["without_checks"]},
	{name: "7 no index by time", write: present, schema: byTime},
	{name: "7 no index by from, to", write: present, schema: bySide},
	{name: "7 no secondary index", write: present, schema: byTime + "; " + bySide},
	{name: "7 fillfactor 100", write: present, schema: "ALTER TABLE account SET (fillfactor = 100)"},
	{name: "7 fillfactor 50", write: present, schema: "ALTER TABLE account SET (fillfactor = 50)"},
	{name: "7 no ORDER BY", write: twoTrips(same, replaced("\nORDER BY n.transfer_id", ""))},
	{name: "7 no NOT EXISTS", write: twoTrips(replaced(notExists, "$1::uuid[] IS NOT NULL"), same)},
}

// A variantDB is a database with some accounts, and connections to write batches.
type variantDB struct {
	conns    []*pgx.Conn
	accounts []uuid.UUID
}

// openVariantDB opens the accounts and, for indexes of some size, writes that many batches of a
// thousand.
func openVariantDB(t testing.TB, schema string, accounts, batches int) *variantDB {
	t.Helper()
	database, err := pgdb.Open(t.Context(), pgdb.Target{URL: pgtest.Superuser(pgtest.NewDatabase(t))}, pgdb.Writing)
	if err != nil {
		t.Fatal(err)
	}
	d := &variantDB{}
	for range 4 {
		conn, err := database.Connect(t.Context(), pgdb.Writing)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		d.conns = append(d.conns, conn)
	}
	d.exec(t, schema)
	d.exec(t, variantsSQL["function"])
	// Autovacuum, which comes at random times, is off.
	d.exec(t, "ALTER TABLE account SET (autovacuum_enabled = off)")
	d.exec(t, "ALTER TABLE transfer SET (autovacuum_enabled = off)")
	for range accounts {
		d.accounts = append(d.accounts, uuid.New())
	}
	if _, err := d.conns[0].Exec(t.Context(), variantsSQL["seed"], d.accounts); err != nil {
		t.Fatal(err)
	}
	// The log then has each page whole already, when the measurement begins.
	d.exec(t, "CHECKPOINT")
	for range batches {
		if err := present(t.Context(), d.conns[0], newMoves(d.accounts, 1000, false)); err != nil {
			t.Fatal(err)
		}
	}
	d.exec(t, "ANALYZE account, transfer")
	return d
}

// exec runs statements without parameters.
func (d *variantDB) exec(t testing.TB, sql string) {
	t.Helper()
	if sql == "" {
		return
	}
	if err := d.conns[0].PgConn().Exec(t.Context(), sql).Close(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// int64 queries a number.
func (d *variantDB) int64(t testing.TB, sql string) (n int64) {
	t.Helper()
	if err := d.conns[0].QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// prove proves that balances, entries and floors are as they must be, whichever form wrote them.
func (d *variantDB) prove(t testing.TB) {
	t.Helper()
	// Proofs want joins that the writers' connections do not allow.
	conn, err := pgx.Connect(t.Context(), d.conns[0].Config().ConnString())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	q := db.New()
	balances, err := q.CheckBalances(t.Context(), conn, db.CheckBalancesParams{Everything: true})
	if err != nil || balances.ViolationCount > 0 {
		t.Errorf("%v %v", balances, err)
	}
	running, err := q.CheckRunningBalances(t.Context(), conn, db.CheckRunningBalancesParams{Everything: true})
	if err != nil || running.ViolationCount > 0 {
		t.Errorf("%v %v", running, err)
	}
	floors, err := q.CheckFloors(t.Context(), conn)
	if err != nil || floors.ViolationCount > 0 {
		t.Errorf("%v %v", floors, err)
	}
}

// A load is a number of transfers in a batch, from any account or from one payer.
type load struct {
	size int
	hot  bool
}

func (l load) String() string {
	if l.hot {
		return fmt.Sprint(l.size, " hot")
	}
	return fmt.Sprint(l.size)
}

// measure writes batches, and returns the microseconds and the bytes of the log for each transfer.
func (d *variantDB) measure(t testing.TB, v *variant, l load, batches int) (micros, wal float64) {
	t.Helper()
	workers := max(v.workers, 1)
	work := make([][]*moves, workers)
	share := len(d.accounts) / workers
	for w := range work {
		accounts := d.accounts
		if v.disjoint {
			accounts = accounts[w*share : (w+1)*share]
		}
		for range batches {
			work[w] = append(work[w], newMoves(accounts, l.size/workers, l.hot))
		}
		if v.knows {
			if err := expect(t.Context(), d.conns[w], work[w]); err != nil {
				t.Fatal(err)
			}
		}
	}
	const written = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"
	before := d.int64(t, written)
	began := time.Now()
	var all sync.WaitGroup
	for w := range work {
		all.Go(func() {
			for _, m := range work[w] {
				if err := v.write(t.Context(), d.conns[w], m); err != nil {
					t.Errorf("%s, %s: %v", v.name, l, err)
					return
				}
			}
		})
	}
	all.Wait()
	elapsed := time.Since(began)
	transfers := float64(batches * workers * (l.size / workers))
	return float64(elapsed.Nanoseconds()) / 1000 / transfers, float64(d.int64(t, written)-before) / transfers
}

// figures are what the rounds measured of one variant under one load.
type figures struct{ micros, ratio, wal []float64 }

// quantile of the values, which it sorts.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	slices.Sort(values)
	return values[int(q*float64(len(values)-1)+0.5)]
}

// BenchmarkVariants measures each variant in turns with the present form: every slot of some
// batches stands between two halves of one of the present form, so that a machine that gets slower
// or faster changes neither. It reports the median of the ratios.
func BenchmarkVariants(b *testing.B) {
	accounts, rounds, preload, slots := 10_000, *variantRounds, 50, map[int]int{16: 16, 64: 8, 1000: 2}
	if rounds == 0 {
		accounts, rounds, preload, slots = 500, 1, 0, map[int]int{16: 1, 64: 1, 1000: 1}
	}
	databases := map[string]*variantDB{}
	for i := range variants {
		if s := variants[i].schema; databases[s] == nil {
			databases[s] = openVariantDB(b, s, accounts, preload)
		}
	}
	base, results := databases[""], map[string]map[load]*figures{}
	for i := range variants {
		results[variants[i].name] = map[load]*figures{}
		databases[variants[i].schema].measure(b, &variants[i], load{16, false}, 1) // prepares the statements
	}
	// A checkpoint would have the pages written whole to the log again, at the cost of the next
	// form.
	base.exec(b, "ALTER SYSTEM SET checkpoint_timeout = '1h'")
	base.exec(b, "SELECT pg_reload_conf()")
	for round := range rounds {
		for _, l := range []load{{16, false}, {16, true}, {64, false}, {64, true}, {1000, false}, {1000, true}} {
			for _, i := range rand.Perm(len(variants)) {
				v := &variants[i]
				if v.disjoint && l.hot {
					continue
				}
				half := max(slots[l.size]/2, 1)
				before, _ := base.measure(b, &variants[0], l, half)
				micros, wal := databases[v.schema].measure(b, v, l, slots[l.size])
				after, _ := base.measure(b, &variants[0], l, half)
				reference := (before + after) / 2
				f := results[v.name][l]
				if f == nil {
					f = &figures{}
					results[v.name][l] = f
				}
				f.micros, f.ratio, f.wal = append(f.micros, micros), append(f.ratio, micros/reference), append(f.wal, wal)
			}
		}
		report(b, round+1, results)
	}
	for _, d := range databases {
		d.prove(b)
	}
}

// report logs a table, and reports the ratios at 64 uniform transfers a batch.
func report(b *testing.B, rounds int, results map[string]map[load]*figures) {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 1, ' ', 0)
	fmt.Fprintln(table, "| variant\t| batch\t| µs/transfer\t| ratio\t| quartiles\t| WAL bytes\t|")
	fmt.Fprintln(table, "|---\t|---\t|---\t|---\t|---\t|---\t|")
	for i := range variants {
		name := variants[i].name
		var loads []load
		for l := range results[name] {
			loads = append(loads, l)
		}
		slices.SortFunc(loads, func(x, y load) int { return cmp.Or(x.size-y.size, strings.Compare(x.String(), y.String())) })
		for _, l := range loads {
			f := results[name][l]
			fmt.Fprintf(table, "| %s\t| %s\t| %.1f\t| %.3f\t| %.2f to %.2f\t| %.0f\t|\n", name, l, quantile(f.micros, 0.5),
				quantile(f.ratio, 0.5), quantile(f.ratio, 0.25), quantile(f.ratio, 0.75), quantile(f.wal, 0.5))
			if l == (load{64, false}) {
				b.ReportMetric(quantile(f.ratio, 0.5), strings.NewReplacer(" ", "-", ",", "").Replace(name)+"-ratio")
			}
		}
	}
	table.Flush()
	figures := fmt.Sprintf("Medians of %d rounds; the ratio is to the present form just before and after, with its quartiles.\n\n%s", rounds, &text)
	if *variantOut == "" {
		b.Log(figures)
	} else if err := os.WriteFile(*variantOut, []byte(figures), 0o644); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(0, "ns/op")
}

// TestVariantsRefuse: every form refuses a batch that overdraws, names an unknown account or
// repeats an id, as a whole.
func TestVariantsRefuse(t *testing.T) {
	d := openVariantDB(t, "", 20, 0)
	for i := range variants {
		v := &variants[i]
		if v.schema != "" || v.workers > 0 {
			continue
		}
		stored := newMoves(d.accounts, 8, false)
		d.write(t, v, stored, true)
		for name, spoil := range map[string]func(r *db.TransfersInsertParams){
			"overdraft": func(r *db.TransfersInsertParams) { r.Amounts[3] = decimal.New(1, 12) },
			"unknown":   func(r *db.TransfersInsertParams) { r.ToAccountIDs[3] = uuid.New() },
			"replay":    func(r *db.TransfersInsertParams) { r.TransferIDs[3] = stored.rows.TransferIDs[5] },
		} {
			rows, entries := d.int64(t, "SELECT count(*) FROM transfer"), d.int64(t, "SELECT sum(entry_count)::bigint FROM account")
			m := newMoves(d.accounts, 8, false)
			spoil(&m.rows)
			bad := &moves{rows: m.rows}
			bad.fold()
			d.write(t, v, bad, false)
			if d.int64(t, "SELECT count(*) FROM transfer") != rows ||
				d.int64(t, "SELECT sum(entry_count)::bigint FROM account") != entries {
				t.Errorf("%s, %s: something was written", v.name, name)
			}
		}
	}
	d.prove(t)
}

// write writes a batch, which must succeed or be refused.
func (d *variantDB) write(t *testing.T, v *variant, m *moves, ok bool) {
	t.Helper()
	if err := expect(t.Context(), d.conns[0], []*moves{m}); err != nil {
		t.Fatal(err)
	}
	if err := v.write(t.Context(), d.conns[0], m); (err == nil) != ok {
		t.Errorf("%s: %v", v.name, err)
	}
	d.exec(t, "ROLLBACK")
}
