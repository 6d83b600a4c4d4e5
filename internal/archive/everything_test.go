package archive_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"internaltransfers/internal/events"
	"internaltransfers/internal/postgres"
	"internaltransfers/internal/webhook"
	"internaltransfers/ledger"
)

// oddities are texts that have been mangled on their way somewhere.
var oddities = []string{
	"", " ", "'", `"`, `\`, `\N`, `\.`, `\\.`, "\t", "\n", "\r\n", "a\tb\nc\r", "\x01\x1f\x7f", "\u0080\u0085\u00a0", "é", "e\u0301",
	"ﬀ Å ς", "😀👨\u200d👩\u200d👧", "\u202eright", "\ufeffbom", "\ufffd\uffff\U0010ffff", "\u2028\u2029", "日本語", "NULL", "{}", `{"a":1}`, "0x00",
	"=1+1", "<b>&amp;", "%s%n", "$$", strings.Repeat("長", 200),
}

// opened is what all accounts of the script are opened with.
const opened = `
POST /api/v1/currencies {"code":"GEM","scale":0}
POST /api/v1/currencies {"code":"WEI","scale":18}
POST /api/v1/account/create {"account_id":"$a","initial_balance":1000,"display_name":"Ann Lee"}
POST /api/v1/account/create {"account_id":"$b","initial_balance":"500.50","display_name":"Bob"}
POST /api/v1/account/create {"account_id":"$c","min_balance":-100}
POST /api/v1/account/create {"account_id":"$capped","initial_balance":300,"max_balance":400,"max_transfer_amount":50}
POST /api/v1/account/create {"account_id":"$limited","initial_balance":300,"limits":[{"window":"3600s","max_amount":100},{"window":"60s","max_count":2}]}
POST /api/v1/account/create {"account_id":"$blocked","initial_balance":10}
POST /api/v1/account/create {"account_id":"$frozen","initial_balance":5}
POST /api/v1/account/create {"account_id":"$closed"}
POST /api/v1/account/create {"account_id":"$gem","currency":"GEM","initial_balance":"12345678901234567890"}
POST /api/v1/account/create {"account_id":"$gem2","currency":"GEM"}
POST /api/v1/account/create {"account_id":"$wei","currency":"WEI","initial_balance":"12345678901234567890.123456789012345678"}
POST /api/v1/account/create {"account_id":"$wei2","currency":"WEI"}
POST /api/v1/account/create {"account_id":"$yen","currency":"JPY","initial_balance":7}
PATCH /api/v1/accounts/$blocked {"debit_block":{"reason":"court","end_time":"@+9000h"},"credit_block":{"reason":"too"}}
PATCH /api/v1/accounts/$frozen {"status":"FROZEN","display_name":"ice"}
PATCH /api/v1/accounts/$closed {"status":"CLOSED"}
PATCH /api/v1/accounts/$a {"display_name":"Ann Lee-Smith","image_url":"https://example.com/a.png"}
`

// moved has transfers of each kind and refusals for each reason.
const moved = `
POST /api/v1/transfers {"transfer_id":"$t1","from_account_id":"$a","to_account_id":"$b","amount":"1.20","reference":"r1"}
POST /api/v1/transfers {"transfer_id":"$t2","from_account_id":"$b","to_account_id":"$a","amount":"100","reference":"r1","currency":"USD"}
POST /api/v1/transfers {"transfer_id":"$t3","from_account_id":"$a","to_account_id":"$c","amount":"200"}
POST /api/v1/transfers {"transfer_id":"$w1","from_account_id":"$wei","to_account_id":"$wei2","amount":"0.000000000000000001"}
POST /api/v1/transfers {"transfer_id":"$g1","from_account_id":"$gem","to_account_id":"$gem2","amount":"12345678901234567000"}
POST /api/v1/transfers {"transfer_id":"$x1","from_account_id":"$b","to_account_id":"$a","amount":"100000"}
POST /api/v1/transfers {"transfer_id":"$x2","from_account_id":"$nobody","to_account_id":"$a","amount":"1"}
POST /api/v1/transfers {"transfer_id":"$x3","from_account_id":"$a","to_account_id":"$nobody","amount":"1"}
POST /api/v1/transfers {"transfer_id":"$x4","from_account_id":"$a","to_account_id":"$yen","amount":"1"}
POST /api/v1/transfers {"transfer_id":"$x5","from_account_id":"$a","to_account_id":"$closed","amount":"1"}
POST /api/v1/transfers {"transfer_id":"$x6","from_account_id":"$a","to_account_id":"$frozen","amount":"1"}
POST /api/v1/transfers {"transfer_id":"$x7","from_account_id":"$blocked","to_account_id":"$a","amount":"1"}
POST /api/v1/transfers {"transfer_id":"$x8","from_account_id":"$a","to_account_id":"$blocked","amount":"1"}
POST /api/v1/transfers {"transfer_id":"$x9","from_account_id":"$a","to_account_id":"$b","amount":"1","expected_from_version":1}
POST /api/v1/transfers {"transfer_id":"$x10","from_account_id":"$a","to_account_id":"$b","amount":"1","to_balance_at_least":"9999"}
POST /api/v1/transfers {"transfer_id":"$x11","from_account_id":"$capped","to_account_id":"$b","amount":"51"}
POST /api/v1/transfers {"transfer_id":"$x12","from_account_id":"$a","to_account_id":"$capped","amount":"101"}
POST /api/v1/transfers {"transfer_id":"$x13","from_account_id":"$limited","to_account_id":"$b","amount":"101"}
POST /api/v1/transfers {"transfer_id":"$l1","from_account_id":"$limited","to_account_id":"$b","amount":"1"}
POST /api/v1/transfers {"transfer_id":"$l2","from_account_id":"$limited","to_account_id":"$b","amount":"1"}
POST /api/v1/transfers {"transfer_id":"$x14","from_account_id":"$limited","to_account_id":"$b","amount":"1"}
POST /api/v1/transfers {"transfer_id":"$h1","from_account_id":"$a","to_account_id":"$b","amount":"30","hold":true}
POST /api/v1/transfers {"transfer_id":"$h2","from_account_id":"$a","to_account_id":"$b","amount":"20","hold":true,"hold_ttl":"5s"}
POST /api/v1/transfers {"transfer_id":"$h3","from_account_id":"$a","to_account_id":"$b","amount":"10","hold":true,"expire_time":"@+4000h"}
POST /api/v1/transfers {"transfer_id":"$h4","from_account_id":"$a","to_account_id":"$c","amount":"9","hold":true}
POST /api/v1/transfers {"transfer_id":"$h5","from_account_id":"$c","to_account_id":"$a","amount":"8","hold":true}
POST /api/v1/transfers {"transfer_id":"$h6","from_account_id":"$gem","to_account_id":"$gem2","amount":"7","hold":true,"expire_time":"@+50s"}
POST /api/v1/transfers/$h1:post {"capture_id":"$k1","amount":"12.50"}
POST /api/v1/transfers/$h1:post {"capture_id":"$k2","amount":"0.50","reference":"part"}
POST /api/v1/transfers/$h1:post {"capture_id":"$k3","amount":"18"}
POST /api/v1/transfers/$h4:post {}
POST /api/v1/transfers/$h4:post {"capture_id":"$k4","amount":"1"}
POST /api/v1/transfers/$h5:void {}
POST /api/v1/transfers/$h5:post {"capture_id":"$k5","amount":"1"}
POST /api/v1/transfers/$h3:post {"capture_id":"$k6","amount":"4","final":true}
POST /api/v1/transfers/$t1:void {}
POST /api/v1/transfers/$t1:post {"capture_id":"$k7"}
POST /api/v1/transfers/$t1:reverse {"reversal_id":"$v1","amount":"0.20"}
POST /api/v1/transfers/$t2:reverse {}
POST /api/v1/transfers/$t2:reverse {"reversal_id":"$v2","amount":"1"}
POST /api/v1/transfers/$v1:reverse {"reversal_id":"$v3"}
POST /api/v1/transfers/$k1:reverse {"reversal_id":"$v4","amount":"2.50"}
POST /api/v1/transfers {"transfer_id":"$out","from_account_id":"$c","to_account_id":"$gone","amount":"1"}
POST /api/v1/transfers {"transfer_id":"$s1","from_account_id":"$a","to_account_id":"$c","amount":"100000","up_to":true}
POST /api/v1/transfers/$s1:reverse {"reversal_id":"$v5","amount":"300"}
POST /api/v1/transfers {"transfer_id":"$t4","from_account_id":"$c","to_account_id":"$b","amount":"99999","up_to":true}
POST /api/v1/transfers/$t3:reverse {"reversal_id":"$v6","force":true}
POST /api/v1/transfers:batch {"atomic":true,"group_id":"$group1","transfers":[{"transfer_id":"$m1","from_account_id":"$a","to_account_id":"$b","amount":"1"},{"transfer_id":"$m2","from_account_id":"$b","to_account_id":"$a","amount":"2","hold":true}]}
POST /api/v1/transfers:batch {"atomic":true,"group_id":"$group2","transfers":[{"transfer_id":"$m3","from_account_id":"$a","to_account_id":"$b","amount":"1"},{"transfer_id":"$m4","from_account_id":"$b","to_account_id":"$a","amount":"99999"}]}
POST /api/v1/transfers:import {"transfers":[{"transfer_id":"$i1","from_account_id":"$a","to_account_id":"$b","amount":"1","effective_time":"@-9000h"},{"transfer_id":"$i2","from_account_id":"$b","to_account_id":"$a","amount":"2","effective_time":"@-8000h"}]}
POST /api/v1/transfers {"transfer_id":"$d1","from_account_id":"$a","to_account_id":"$b","amount":"3","execute_time":"@+3s"}
POST /api/v1/transfers {"transfer_id":"$d2","from_account_id":"$a","to_account_id":"$b","amount":"33333","execute_time":"@+3s"}
POST /api/v1/transfers {"transfer_id":"$d3","from_account_id":"$a","to_account_id":"$b","amount":"5","execute_time":"@+30h"}
POST /api/v1/transfers {"transfer_id":"$d4","from_account_id":"$a","to_account_id":"$b","amount":"5","execute_time":"@+31h"}
POST /api/v1/transfers/$d4:void {}
POST /api/v1/schedules {"schedule_id":"$o1","from_account_id":"$a","to_account_id":"$b","amount":"0.10","interval":"2s"}
POST /api/v1/schedules {"schedule_id":"$o2","from_account_id":"$a","to_account_id":"$b","amount":"0.20","cron":"*/5 * * * *","time_zone":"Europe/Berlin","catch_up":"LATEST","max_count":7}
POST /api/v1/schedules {"schedule_id":"$o3","from_account_id":"$b","to_account_id":"$a","amount":"0.30","interval":"1s","max_count":2,"catch_up":"ALL"}
POST /api/v1/schedules {"schedule_id":"$o4","from_account_id":"$b","to_account_id":"$a","amount":"77777","interval":"60s","end_time":"@+9h","reference":"rent"}
POST /api/v1/schedules {"schedule_id":"$o5","from_account_id":"$b","to_account_id":"$a","amount":"1","cron":"0 0 1 1 *"}
POST /api/v1/schedules/$o4:pause {}
DELETE /api/v1/schedules/$o5
`

// afterwards is a script for when the holds $h2 and the scheduled transfers are final.
const afterwards = `
POST /api/v1/transfers/$h2:post {"capture_id":"$k8","amount":"1"}
POST /api/v1/transfers/$d1:void {}
POST /api/v1/transfers {"transfer_id":"$t5","from_account_id":"$a","to_account_id":"$b","amount":"0.01","reference":"after the proof"}
PATCH /api/v1/accounts/$b {"display_name":"Robert","max_balance":100000}
`

// everything makes a ledger with a row of every kind, and returns its database and the time at
// which its clock stands, some seconds after start.
func everything(t testing.TB) (url string, start, now time.Time) {
	t.Helper()
	url = newDatabase(t)
	start = time.Now().UTC().Truncate(time.Second).Add(time.Second)
	clock := stopClock(t, url, start)
	l, closeIt := openLedger(t, url, 1)
	a := newAPI(t, l, start)
	a.run(opened)
	a.run(oddScript(t))
	a.run(moved)
	webhooks(t, url, l)
	now = start.Add(7*time.Second + 123456*time.Microsecond)
	clock.set(now)
	eventually(t, l, "what is due", func() bool {
		return settled(t, l, "h2", "d1", "d2") && occurrences(t, l, "o1") >= 4 && occurrences(t, l, "o3") == 2
	})
	closeIt()
	requireSound(t, url, false) // which keeps a checkpoint
	now = now.Add(43 * time.Second)
	clock.set(now) // $h6 expires, and no worker ends it
	l, closeIt = openLedger(t, url, 0)
	defer closeIt()
	newAPI(t, l, start).run(afterwards)
	requireEverything(t, url)
	return url, start, now
}

// oddScript opens an account that has all oddities, and makes a transfer with each.
func oddScript(t testing.TB) string {
	all := make(map[string]string)
	var transfers []map[string]any
	for i, text := range oddities {
		maps.Copy(all, odd(text))
		transfers = append(transfers, map[string]any{
			"transfer_id": id(fmt.Sprint("oddity", i)), "from_account_id": id("odd"), "to_account_id": id("a"), "amount": "0.50",
			"reference": text, "metadata": odd(text),
		})
	}
	account := map[string]any{
		"account_id": id("odd"), "initial_balance": "1000", "display_name": strings.Join(oddities[1:len(oddities)-1], ""),
		"metadata": all,
	}
	return "POST /api/v1/account/create " + asJSON(t, account) + "\n" +
		"POST /api/v1/transfers:batch " + asJSON(t, map[string]any{"transfers": transfers})
}

// odd is metadata with a text as a value and, where it can be, as a key.
func odd(text string) map[string]string {
	if key := "key " + text; len(key) <= 64 {
		return map[string]string{key: text}
	}
	return map[string]string{"key": text}
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// webhooks makes endpoints, one with deliveries that failed, one deleted.
func webhooks(t testing.TB, url string, l *postgres.Ledger) {
	t.Helper()
	ctx := context.Background()
	var ids []uuid.UUID
	for i, text := range []string{"one", "two", `"\N`} {
		e, _, err := l.Webhooks.Create(ctx, webhook.Params{
			ID: uuid.MustParse(id(fmt.Sprint("hook", i))), URL: "https://example.com/" + text, Description: text,
			Filter: events.Filter{Types: []events.Type{events.TransferCreated}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	if _, _, err := l.Webhooks.RotateSecret(ctx, ids[0], time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Webhooks.Delete(ctx, ids[1]); err != nil {
		t.Fatal(err)
	}
	happened, _, _, err := l.Events.Read(ctx, 0, 40)
	if err != nil {
		t.Fatal(err)
	}
	conn := connect(t, url)
	change := func(sql string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(ctx, sql, args...); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	// As a server leaves them that has tried, and is dead.
	change(`UPDATE webhook_endpoint SET holder = gen_random_uuid(), version = version + 1, lease_expire_time = ledger_now() + interval '1 minute'
		WHERE status = 'ENABLED'`)
	change(`UPDATE webhook_endpoint SET last_failure = $2, last_failure_time = ledger_now() WHERE endpoint_id = $1`, ids[0], "500\tno\n")
	for _, e := range happened {
		accounts := append(e.Accounts(), uuid.Nil)
		change(`INSERT INTO webhook_delivery (endpoint_id, position, account_id, other_account_id, attempts, next_attempt_time,
			last_attempt_time, last_failure) VALUES ($1, $2, $3, nullif($4, $5::uuid), 1, ledger_now() + interval '1 hour', ledger_now(), '500')`,
			ids[0], e.Position, accounts[0], accounts[1], uuid.Nil)
	}
	change(`UPDATE webhook_delivery SET status = 'DEAD', attempts = 2, next_attempt_time = NULL, last_failure = 'gone' WHERE position = $1`,
		happened[0].Position)
}

// settled reports whether transfers are final.
func settled(t testing.TB, l *postgres.Ledger, names ...string) bool {
	t.Helper()
	for _, name := range names {
		transfer, err := l.GetTransfer(context.Background(), uuid.MustParse(id(name)))
		if err != nil {
			t.Fatal(err)
		}
		if transfer.Status == ledger.TransferInit {
			return false
		}
	}
	return true
}

// occurrences is how many transfers a schedule has made.
func occurrences(t testing.TB, l *postgres.Ledger, name string) int64 {
	t.Helper()
	schedule, err := l.GetSchedule(context.Background(), uuid.MustParse(id(name)))
	if err != nil {
		t.Fatal(err)
	}
	return schedule.OccurrenceCount
}

// requireEverything fails when something is not in the ledger, so that a test which copies it would
// say little.
func requireEverything(t testing.TB, url string) {
	t.Helper()
	for query, want := range map[string]string{
		"SELECT DISTINCT kind FROM transfer_detail": "CAPTURE EXECUTION HOLD REVERSAL SCHEDULED TRANSFER",
		"SELECT DISTINCT status FROM transfer":      "FAILED INIT SUCCESS",
		"SELECT DISTINCT status FROM account":       "CLOSED FROZEN OPEN",
		"SELECT DISTINCT status FROM schedule":      "ACTIVE DELETED ENDED PAUSED",
		"SELECT DISTINCT error_reason FROM transfer WHERE status = 'FAILED'": "ACCOUNT_CLOSED ACCOUNT_FROZEN ALREADY_POSTED " +
			"ALREADY_REVERSED ALREADY_VOIDED AMOUNT_LIMIT_EXCEEDED BALANCE_CONDITION_FAILED COUNT_LIMIT_EXCEEDED CREDITS_BLOCKED " +
			"CURRENCY_MISMATCH DEBITS_BLOCKED FROM_ACCOUNT_NOT_FOUND GROUP_FAILED HOLD_AMOUNT_EXCEEDED HOLD_EXPIRED " +
			"INSUFFICIENT_FUNDS MAX_BALANCE_EXCEEDED NOT_PENDING NOT_REVERSIBLE TO_ACCOUNT_NOT_FOUND TRANSFER_CAP_EXCEEDED " +
			"VERSION_MISMATCH VOIDED",
		"SELECT DISTINCT status FROM webhook_delivery":                                         "DEAD PENDING",
		"SELECT DISTINCT status FROM webhook_endpoint":                                         "DELETED ENABLED",
		"SELECT 'forced' FROM account WHERE forced_floor < min_balance":                        "forced",
		"SELECT 'open' FROM transfer_detail WHERE due_time < ledger_now() AND open_amount > 0": "open",
	} {
		got := texts(t, url, query)
		slices.Sort(got)
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s: %s, want %s", query, text, want)
		}
	}
	for table, rows := range contents(t, url) {
		if len(rows) == 0 && table != "setting" {
			t.Errorf("table %s has no rows", table)
		}
	}
}

// A sample is a small ledger, and what two exports of it have.
type sample struct {
	file, without   []byte // with webhook endpoints, and without
	rows            map[string][]string
	secret, pageKey string // in hexadecimal
}

var sampled struct {
	sync.Once
	ledger *sample
}

// sampleLedger returns a small ledger, which all tests share.
func sampleLedger(t testing.TB) *sample {
	t.Helper()
	sampled.Do(func() {
		url := small(t)
		sampled.ledger = &sample{
			file: exported(t, url, true), without: exported(t, url, false), rows: contents(t, url),
			secret:  texts(t, url, "SELECT encode(secret, 'hex') FROM webhook_endpoint")[0],
			pageKey: texts(t, url, pageKey)[0],
		}
	})
	if sampled.ledger == nil {
		t.Fatal("the sample could not be made")
	}
	return sampled.ledger
}

// pageKey reads the key of page tokens.
const pageKey = "SELECT encode(value, 'hex') FROM setting WHERE name = 'page_token_key'"

// small makes a ledger with a few rows, a demo, and returns its database.
func small(t testing.TB) string {
	t.Helper()
	url := newDatabase(t)
	l, closeIt := openLedger(t, url, 0)
	defer closeIt()
	if _, err := l.MarkDemo(context.Background(), 4711); err != nil {
		t.Fatal(err)
	}
	newAPI(t, l, time.Now()).run(`
POST /api/v1/account/create {"account_id":"$a","initial_balance":100,"display_name":"Ann"}
POST /api/v1/account/create {"account_id":"$b"}
POST /api/v1/transfers {"transfer_id":"$t1","from_account_id":"$a","to_account_id":"$b","amount":"60"}
POST /api/v1/transfers {"transfer_id":"$h1","from_account_id":"$a","to_account_id":"$b","amount":"3","hold":true}
POST /api/v1/transfers/$t1:reverse {"reversal_id":"$v1","amount":"50"}
POST /api/v1/schedules {"schedule_id":"$o1","from_account_id":"$a","to_account_id":"$b","amount":"1","interval":"3600s"}
POST /api/v1/transfers:batch {"atomic":true,"transfers":[{"from_account_id":"$a","to_account_id":"$b","amount":"1"}]}
`)
	if _, _, err := l.Webhooks.Create(context.Background(), webhook.Params{URL: "https://example.com/"}); err != nil {
		t.Fatal(err)
	}
	return url
}
