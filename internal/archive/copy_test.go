package archive_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"internaltransfers/internal/archive"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/postgres"
)

// TestCopyOfEverything: a copy has the same rows, returns the same, is sound, exports the same
// file, and goes on as the original does. The original's workers, of which the copy has no trace,
// have made what was due.
func TestCopyOfEverything(t *testing.T) {
	t.Parallel()
	original, start, now := everything(t)
	want := contents(t, original)
	file := exported(t, original, true)
	requireSameRows(t, contents(t, original), want)

	duplicate := bare(t)
	if err := tryImport(file, duplicate, true); err != nil {
		t.Fatal(err)
	}
	requireSameRows(t, contents(t, duplicate), want)
	if again := exported(t, duplicate, true); !bytes.Equal(withoutTime(t, again), withoutTime(t, file)) {
		t.Error("the copy exports another file than the original")
	}
	stopClock(t, duplicate, now)
	theirs, closeTheirs := openLedger(t, original, 0)
	ours, closeOurs := openLedger(t, duplicate, 0)
	requireSameAnswers(t, newAPI(t, ours, start), newAPI(t, theirs, start), slices.Concat(lists, each(t, theirs)))
	for _, line := range strings.Split(strings.TrimSpace(life), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		_, got := newAPI(t, ours, start).call(line)
		_, want := newAPI(t, theirs, start).call(line)
		if got != want {
			t.Errorf("%s: got %s, want %s", line, got, want)
		}
	}
	requireSameAnswers(t, newAPI(t, ours, start), newAPI(t, theirs, start), lists)
	closeTheirs()
	closeOurs()
	requireSameRows(t, contents(t, duplicate), contents(t, original))
	requireSound(t, duplicate, true)
	requireSound(t, duplicate, false)
	requireSameFuture(t, start, now.Add(4*time.Second), duplicate, original)
}

// life is a script for both ledgers. Each call returns, and many are refused: what the original has
// the copy has too.
const life = `
# replays: the stored outcome; with other fields it is another call
POST /api/v1/transfers {"transfer_id":"$t1","from_account_id":"$a","to_account_id":"$b","amount":"1.20","reference":"r1"}
POST /api/v1/transfers {"transfer_id":"$t1","from_account_id":"$a","to_account_id":"$b","amount":"1.21","reference":"r1"}
POST /api/v1/transfers {"transfer_id":"$t2","from_account_id":"$b","to_account_id":"$a","amount":"100","reference":"r1"}
POST /api/v1/transfers {"transfer_id":"$x1","from_account_id":"$b","to_account_id":"$a","amount":"100000"}
POST /api/v1/transfers {"transfer_id":"$x9","from_account_id":"$a","to_account_id":"$b","amount":"1","expected_from_version":1}
POST /api/v1/transfers {"transfer_id":"$x9","from_account_id":"$a","to_account_id":"$b","amount":"1","expected_from_version":2}
POST /api/v1/transfers {"transfer_id":"$s1","from_account_id":"$a","to_account_id":"$c","amount":"100000","up_to":true}
POST /api/v1/transfers/$h1:post {"capture_id":"$k1","amount":"12.50"}
POST /api/v1/transfers/$h1:post {"capture_id":"$k1","amount":"12.51"}
POST /api/v1/transfers/$t1:reverse {"reversal_id":"$v1","amount":"0.20"}
POST /api/v1/transfers:batch {"atomic":true,"group_id":"$group1","transfers":[{"transfer_id":"$m1","from_account_id":"$a","to_account_id":"$b","amount":"1"},{"transfer_id":"$m2","from_account_id":"$b","to_account_id":"$a","amount":"2","hold":true}]}
POST /api/v1/transfers:batch {"atomic":true,"group_id":"$group1","transfers":[{"transfer_id":"$m9","from_account_id":"$a","to_account_id":"$b","amount":"1"}]}
POST /api/v1/transfers:batch {"atomic":true,"group_id":"$group2","transfers":[{"transfer_id":"$m3","from_account_id":"$a","to_account_id":"$b","amount":"1"},{"transfer_id":"$m4","from_account_id":"$b","to_account_id":"$a","amount":"99999"}]}
POST /api/v1/account/create {"account_id":"$c","min_balance":-100}
POST /api/v1/account/create {"account_id":"$c","min_balance":-101}
POST /api/v1/schedules {"schedule_id":"$o1","from_account_id":"$a","to_account_id":"$b","amount":"0.10","interval":"3s"}
POST /api/v1/currencies {"code":"WEI","scale":17}
# nothing is refunded twice
POST /api/v1/transfers/$t2:reverse {}
POST /api/v1/transfers/$t2:reverse {"reversal_id":"$v20","amount":"0.01"}
POST /api/v1/transfers/$t1:reverse {"reversal_id":"$v21","amount":"1.01"}
POST /api/v1/transfers/$t1:reverse {"reversal_id":"$v22","amount":"1.00"}
POST /api/v1/transfers/$k1:reverse {"reversal_id":"$v23"}
POST /api/v1/transfers/$v4:reverse {"reversal_id":"$v24"}
# holds go on
POST /api/v1/transfers/$h1:post {"capture_id":"$k20","amount":"0.01"}
POST /api/v1/transfers/$m2:post {"capture_id":"$k21","amount":"0.75"}
POST /api/v1/transfers/$m2:void {}
POST /api/v1/transfers/$h6:post {"capture_id":"$k22"}
POST /api/v1/transfers/$d3:void {}
# limits, blocks and floors hold
POST /api/v1/transfers {"transfer_id":"$l20","from_account_id":"$limited","to_account_id":"$b","amount":"1"}
POST /api/v1/transfers {"transfer_id":"$l21","from_account_id":"$limited","to_account_id":"$b","amount":"99"}
POST /api/v1/transfers {"transfer_id":"$l22","from_account_id":"$blocked","to_account_id":"$b","amount":"1"}
POST /api/v1/transfers {"transfer_id":"$l23","from_account_id":"$c","to_account_id":"$b","amount":"1"}
POST /api/v1/transfers {"transfer_id":"$l24","from_account_id":"$wei","to_account_id":"$wei2","amount":"0.000000000000000002"}
PATCH /api/v1/accounts/$frozen {"status":"OPEN"}
POST /api/v1/transfers {"transfer_id":"$l25","from_account_id":"$frozen","to_account_id":"$b","amount":"5"}
POST /api/v1/schedules/$o4:resume {}
POST /api/v1/schedules/$o5:pause {}
POST /api/v1/transfers {"transfer_id":"$f1","from_account_id":"$a","to_account_id":"$b","amount":"4","hold":true,"hold_ttl":"1s"}
`

// withoutTime is what is in a file, but for the time in its manifest.
func withoutTime(t testing.TB, file []byte) []byte {
	t.Helper()
	a := unpack(t, file)
	var text bytes.Buffer
	for i := range a.members {
		m := &a.members[i]
		if m.name == "manifest.json" || m.name == "checksums.json" {
			m.text = volatile.ReplaceAllString(m.text, "")
		}
		fmt.Fprintf(&text, "%s %d\n%s", m.name, len(m.text), m.text)
	}
	return text.Bytes()
}

// lists are calls that read much of a ledger at a time.
var lists = []string{
	"GET /api/v1/currencies?page_size=1000", "GET /api/v1/accounts?page_size=1000", "GET /api/v1/transfers?page_size=1000",
	"GET /api/v1/schedules?page_size=1000", "GET /api/v1/webhooks?page_size=100", "GET /api/v1/events?page_size=1000",
	"GET /api/v1/status", "GET /api/v1/accounts?search=ann", "GET /api/v1/accounts?search=lee-smith", "GET /api/v1/accounts?status=FROZEN",
	"GET /api/v1/transfers?status=INIT&page_size=1000", "GET /api/v1/transfers?status=FAILED&page_size=1000",
	"GET /api/v1/transfers?reference=r1", "GET /api/v1/transfers?group_id=$group1", "GET /api/v1/transfers?parent_transfer_id=$h1",
	"GET /api/v1/webhooks/$hook0/deliveries?page_size=1000", "GET /api/v1/webhooks/$hook1", "GET /api/v1/webhooks/$hook2",
	"GET /api/v1/schedules?account_id=$a", "GET /api/v1/events?after=30&type=TRANSFER_CHANGED&page_size=1000",
}

// each are calls that read each account and each transfer.
func each(t testing.TB, l *postgres.Ledger) (lines []string) {
	t.Helper()
	ctx := context.Background()
	accounts, next, err := l.ListAccounts(ctx, postgres.AccountFilter{}, paging.Page{Size: 1000})
	if err != nil || next != "" {
		t.Fatalf("accounts: %v, and more at %q", err, next)
	}
	for _, a := range accounts {
		path := "/api/v1/accounts/" + a.ID.String()
		lines = append(lines, `POST /api/v1/account/get {"account_id":"`+a.ID.String()+`"}`, "GET "+path+"/entries?page_size=1000",
			"GET "+path+"/statement?start_time=@-9999h", "GET "+path+"/statement?start_time=@-9999h&basis=STATEMENT_BASIS_EFFECTIVE_TIME",
			`POST /api/v1/account/get {"account_id":"`+a.ID.String()+`","as_of":"@+1s"}`, "GET /api/v1/profiles?account_ids="+a.ID.String(),
			"GET "+path+"/statement.csv?start_time=@-9999h")
	}
	transfers, next, err := l.ListTransfers(ctx, postgres.TransferFilter{}, paging.Page{Size: 1000})
	if err != nil || next != "" {
		t.Fatalf("transfers: %v, and more at %q", err, next)
	}
	for i := range transfers {
		lines = append(lines, "GET /api/v1/transfers/"+transfers[i].ID.String())
		if transfers[i].Version > 1 {
			lines = append(lines, "GET /api/v1/events?transfer_id="+transfers[i].ID.String())
		}
	}
	return lines
}

// requireSameAnswers makes the calls to both and compares their responses byte by byte.
func requireSameAnswers(t testing.TB, ours, theirs *api, lines []string) {
	t.Helper()
	good := 0
	for _, line := range lines {
		status, got := ours.call(line)
		_, want := theirs.call(line)
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", line, got, want)
		}
		if status == 200 {
			good++
		} else {
			t.Logf("%s: %s", line, got)
		}
	}
	if good < len(lines)*9/10 {
		t.Errorf("only %d of %d calls succeeded", good, len(lines))
	}
}

// requireSameFuture lets workers make what is due in both, and compares what has become of it.
func requireSameFuture(t *testing.T, start, now time.Time, databases ...string) {
	t.Helper()
	var futures [2]string
	for i, url := range databases {
		testClock{t, url}.set(now)
		l, closeIt := openLedger(t, url, 1)
		eventually(t, l, "the next occurrences", func() bool {
			s, err := l.GetSchedule(context.Background(), uuid.MustParse(id("o1")))
			if err != nil {
				t.Fatal(err)
			}
			late, err := l.GetSchedule(context.Background(), uuid.MustParse(id("o4")))
			if err != nil {
				t.Fatal(err)
			}
			return s.Next.After(now) && late.Next.After(now) && settled(t, l, "f1", "h6")
		})
		a := newAPI(t, l, start)
		for _, line := range []string{
			"GET /api/v1/schedules?page_size=1000", "GET /api/v1/accounts?page_size=1000", "GET /api/v1/transfers?page_size=1000&start_time=@+50s",
		} {
			_, answer := a.call(line)
			futures[i] += answer + "\n"
		}
		closeIt()
		requireSound(t, url, true)
		requireSound(t, url, false)
	}
	if futures[0] != futures[1] {
		t.Errorf("what was due became\n%s, want\n%s", futures[0], futures[1])
	}
}

// TestCopyWithoutWebhooks: endpoints are left out by default, of the file and of the copy.
func TestCopyWithoutWebhooks(t *testing.T) {
	t.Parallel()
	original := sampleLedger(t)
	hooks := []string{"webhook_endpoint", "webhook_delivery"}
	for _, table := range hooks {
		if strings.Contains(string(unpacked(t, original.without)), table) {
			t.Errorf("the file knows of %s", table)
		}
	}
	for name, file := range map[string][]byte{"left out of the file": original.without, "left out of the copy": original.file} {
		duplicate := newDatabase(t)
		requireSound(t, duplicate, false) // which keeps a checkpoint: that is nothing to lose
		if err := tryImport(file, duplicate, false); err != nil {
			t.Fatal(err)
		}
		got := contents(t, duplicate)
		requireSameRows(t, got, original.rows, hooks...)
		if len(got[hooks[0]])+len(got[hooks[1]]) > 0 {
			t.Errorf("%s: the copy has endpoints", name)
		}
	}
	if err := tryImport(original.without, "nowhere", true); err == nil || !strings.Contains(err.Error(), "has no webhook endpoints") {
		t.Errorf("endpoints that are not there: %v", err)
	}
}

// TestAnyTableIsCopiedOrNot: a migration that adds a table says how it is copied.
func TestAnyTableIsCopiedOrNot(t *testing.T) {
	t.Parallel()
	original := sampleLedger(t)
	got := strings.Join(slices.Sorted(maps.Keys(original.rows)), " ")
	if want := strings.Join(archive.TableNames(), " "); got != want {
		t.Errorf("the schema has the tables\n%s, and tables.go\n%s", got, want)
	}
}
