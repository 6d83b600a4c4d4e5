package ledger_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/pgtest"
	"internaltransfers/ledger"
)

// A proven is a ledger that has some of everything, all of it proved, beside a session for hand-typed SQL that nothing
// stops. What is named {old …} was there at its checkpoint, the rest came after. The accounts {A} and {B} have entries of
// both times, {C} only old ones.
type proven struct {
	corruptible
	l     *ledger.Ledger
	clock *testClock
	ids   map[string]uuid.UUID
}

func newProven(t *testing.T) *proven {
	t.Helper()
	url := pgtest.NewDatabase(t)
	p := &proven{clock: stopClock(t, url), l: openLedger(t, ledger.Config{DatabaseURL: url, Logger: silent})}
	p.ids = map[string]uuid.UUID{
		"{new}": uuid.New(), "{other}": uuid.New(), "{equity}": uuid.MustParse("fcc612ef-05c7-51eb-9f2a-022abd238d80"),
	}
	p.open(t, "{A}", ledger.AccountParams{InitialBalance: amount("1000")})
	p.open(t, "{B}", ledger.AccountParams{MaxBalance: nullAmount("5000")})
	p.open(t, "{C}", ledger.AccountParams{InitialBalance: amount("20")})
	p.open(t, "{E}", ledger.AccountParams{Currency: "EUR", InitialBalance: amount("7")})
	p.add(t, "old ")
	p.clock.step(time.Second)
	requireProof(t, p.check(t, false), true)
	p.conn = connect(t, url)
	execute(t, p.conn, "CREATE TABLE saved_checkpoint AS TABLE checkpoint")
	execute(t, p.conn, "CREATE TABLE saved_account_checkpoint AS TABLE account_checkpoint")
	p.clock.step(time.Second)
	p.add(t, "")
	requireProof(t, p.check(t, true), true)
	var quoted, plain []string
	for name, id := range p.ids {
		quoted = append(quoted, name, "'"+id.String()+"'")
		plain = append(plain, name, id.String())
	}
	p.names, p.plain = strings.NewReplacer(quoted...), strings.NewReplacer(plain...)
	p.exec(t, unguard)
	p.exec(t, goBack)
	return p
}

// unguard takes the constraints and triggers away, as only somebody who wants to can, and keeps a copy of the rows.
const unguard = `SET session_replication_role = replica;
	DO $$ DECLARE c record; BEGIN
		FOR c IN SELECT conname, conrelid::regclass AS name FROM pg_constraint
			WHERE contype = 'c' AND conrelid IN ('account'::regclass, 'transfer'::regclass, 'transfer_detail'::regclass)
		LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.name, c.conname); END LOOP;
	END $$;
	ALTER TABLE transfer ALTER position DROP IDENTITY, ALTER position SET DEFAULT 1000000;
	CREATE TABLE saved_account AS TABLE account;
	CREATE TABLE saved_transfer AS TABLE transfer;
	CREATE TABLE saved_transfer_detail AS TABLE transfer_detail`

const restore = `DELETE FROM account; INSERT INTO account SELECT * FROM saved_account;
	DELETE FROM transfer; INSERT INTO transfer SELECT * FROM saved_transfer;
	DELETE FROM transfer_detail; INSERT INTO transfer_detail SELECT * FROM saved_transfer_detail;` + goBack

// goBack brings the checkpoint back that a proof has moved on or taken away.
const goBack = `DELETE FROM checkpoint; INSERT INTO checkpoint SELECT * FROM saved_checkpoint;
	DELETE FROM account_checkpoint; INSERT INTO account_checkpoint SELECT * FROM saved_account_checkpoint`

func (p *proven) open(t *testing.T, name string, params ledger.AccountParams) {
	t.Helper()
	p.ids[name] = openAccount(t, p.l, params).ID
}

// add makes some of each kind of transfers from {A} to {B}.
func (p *proven) add(t *testing.T, age string) {
	t.Helper()
	ctx := context.Background()
	ask := func(name, value string, o *ledger.TransferOptions) ledger.TransferParams {
		id := uuid.New()
		p.ids["{"+age+name+"}"] = id
		return ledger.TransferParams{ID: id, From: p.ids["{A}"], To: p.ids["{B}"], Amount: amount(value), Options: o}
	}
	pay := func(name, value string, o *ledger.TransferOptions) uuid.UUID {
		return must(first(p.l.Transfer(ctx, ask(name, value, o)))).ID
	}
	hold := &ledger.TransferOptions{Hold: true}
	pay("first", "10", nil)
	pay("paid", "40", nil)
	pay("failed", "100000", nil)
	pay("refused hold", "100000", hold)
	capture := func(name, hold, value string, final bool) {
		params := ledger.PostParams{HoldID: p.ids["{"+age+hold+"}"], ID: uuid.New(), Amount: nullAmount(value), Final: final}
		_, _, _, err := p.l.Post(ctx, params)
		p.ids["{"+age+name+"}"] = must(params.ID, err)
	}
	pay("hold", "20", hold)
	capture("capture", "hold", "5", false)
	pay("spent", "6", hold)
	capture("last capture", "spent", "4", true)
	voided := pay("voided", "7", hold)
	capture("lost capture", "voided", "2", false)
	must(first(p.l.Void(ctx, voided, false)))
	executed := pay("executed", "3", &ledger.TransferOptions{ExecuteTime: p.clock.now().Add(time.Second)})
	pay("later", "4", &ledger.TransferOptions{ExecuteTime: p.clock.now().Add(time.Hour)})
	p.clock.step(time.Second)
	o := p.l.Settle(ctx, executed)
	p.ids["{"+age+"execution}"] = must(o.Transfer.ID, o.Err)
	returned := pay("returned", "8", nil)
	_, _, _, err := p.l.Reverse(ctx, ledger.ReverseParams{TransferID: returned, ID: p.named("{" + age + "reversal}"), Amount: nullAmount("3")})
	must(0, err)

	group := func(name string, params ...ledger.TransferParams) {
		_, err := p.l.TransferBatch(ctx, params, ledger.BatchOptions{Atomic: true, GroupID: p.named("{" + age + name + "}")})
		must(0, err)
	}
	group("group", ask("one", "1", nil), ask("two", "2", nil), ask("grouped hold", "1", hold))
	must(first(p.l.Void(ctx, p.ids["{"+age+"grouped hold}"], false)))
	group("refused group", ask("refused one", "1", nil), ask("refused two", "100000", nil))

	// Below its floor by force: {D} has spent what is taken back from it.
	p.open(t, "{"+age+"D}", ledger.AccountParams{})
	gift := ask("gift", "10", nil)
	gift.To = p.ids["{"+age+"D}"]
	spend := ask("spend", "10", nil)
	spend.From = gift.To
	must(first(p.l.Transfer(ctx, gift)))
	must(first(p.l.Transfer(ctx, spend)))
	_, _, _, err = p.l.Reverse(ctx, ledger.ReverseParams{TransferID: gift.ID, Force: true})
	must(0, err)
}

// named makes an id and gives it a name.
func (p *proven) named(name string) uuid.UUID {
	p.ids[name] = uuid.New()
	return p.ids[name]
}

// exec runs hand-typed SQL.
func (p *proven) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := p.conn.Exec(context.Background(), p.names.Replace(sql)); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func (p *proven) check(t *testing.T, incremental bool) ledger.Report {
	t.Helper()
	report, err := p.l.Check(context.Background(), ledger.CheckOptions{Incremental: incremental})
	if err != nil || report.Time.IsZero() {
		t.Fatalf("check the ledger: %+v, %v", report, err)
	}
	if incremental == report.CheckpointTime.IsZero() {
		t.Fatalf("asked for an incremental proof: %v, but it went on from %v", incremental, report.CheckpointTime)
	}
	return report
}

// requireProof fails the test unless the report says so.
func requireProof(t *testing.T, r ledger.Report, sound bool) {
	t.Helper()
	if r.OK() != sound {
		t.Errorf("the ledger is found sound: %v, want %v", r.OK(), sound)
		for i := range r.Invariants {
			if r.Invariants[i].ViolationCount > 0 {
				t.Error(&r.Invariants[i])
			}
		}
	}
}

// first drops what else a call answers.
func first[T, U any](v T, _ U, err error) (T, error) { return v, err }

func nullAmount(text string) decimal.NullDecimal { return decimal.NewNullDecimal(amount(text)) }
