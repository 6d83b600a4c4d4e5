package archive_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/postgres"
	"internaltransfers/server"
)

// An api is the REST API of a ledger.
type api struct {
	t       testing.TB
	handler http.Handler
	start   time.Time // what times in scripts are counted from
}

func newAPI(t testing.TB, l *postgres.Ledger, start time.Time) *api {
	t.Helper()
	s, err := server.New(server.Config{Ledger: l, Logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	return &api{t, s, start}
}

// id is the UUID that a script calls by a name.
func id(name string) string { return uuid.NewSHA1(uuid.NameSpaceOID, []byte(name)).String() }

func uuidOf(name string) uuid.UUID { return uuid.MustParse(id(name)) }

var one = decimal.NewFromInt(1)

var (
	scriptID   = regexp.MustCompile(`\$\w+`)
	scriptTime = regexp.MustCompile(`@[+-]\w+`)
)

// call makes a call, spelled "METHOD path body", in which $name is an id and @+5s or @-2h a time.
func (a *api) call(line string) (status int, answer string) {
	a.t.Helper()
	line = scriptID.ReplaceAllStringFunc(line, func(name string) string { return id(name[1:]) })
	line = scriptTime.ReplaceAllStringFunc(line, func(text string) string {
		d, err := time.ParseDuration(text[1:])
		if err != nil {
			a.t.Fatalf("%s: %v", line, err)
		}
		return a.start.Add(d).Format(time.RFC3339Nano)
	})
	method, rest, _ := strings.Cut(line, " ")
	path, body, _ := strings.Cut(rest, " ")
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	request.Host = "localhost"
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	recorder := httptest.NewRecorder()
	a.handler.ServeHTTP(recorder, request)
	replayed := recorder.Header().Get("Idempotency-Replayed")
	return recorder.Code, fmt.Sprintf("%d %s %s", recorder.Code, replayed, recorder.Body)
}

// run makes the calls of a script, each of which must get a response, if only a refusal.
func (a *api) run(script string) {
	a.t.Helper()
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		status, answer := a.call(line)
		// A refusal that is recorded is failed_precondition, which is 400, or aborted, which is
		// 409.
		if status != http.StatusOK && !strings.Contains(answer, `"domain":"transfers"`) {
			a.t.Fatalf("%s: %s", line, answer)
		}
	}
}
