package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"internaltransfers/internal/pgtest"
)

// TestWebhooksSurvive: the server that delivers is killed, and another one goes on within seconds.
// The secret is in no log.
func TestWebhooksSurvive(t *testing.T) {
	got := make(chan string, 1000) // ids of transfers
	var verifier *standardwebhooks.Webhook
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = verifier.Verify(body, r.Header)
		}
		var m struct {
			Type string
			Data struct{ Transfer struct{ TransferID string } }
		}
		if err == nil {
			err = json.Unmarshal(body, &m)
		}
		if err != nil || m.Type != "transfer.created" {
			t.Errorf("%s: %v", body, err)
		}
		got <- m.Data.Transfer.TransferID
	}))
	t.Cleanup(receiver.Close)
	url := pgtest.NewDatabase(t)
	env := []string{"DATABASE_URL=" + url, "WEBHOOK_ALLOW_PRIVATE=true"}
	servers := []*process{serve(t, env...), serve(t, env...)}
	p := servers[0]
	account := func(balance string) string {
		return p.post(t, "/api/v1/accounts", `{"initial_balance": "`+balance+`"}`)["accountId"].(string)
	}
	a, b := account("100"), account("0")
	made := p.post(t, "/api/v1/webhooks", `{"url": "`+receiver.URL+`", "filter": {"types": ["TRANSFER_CREATED"]}}`)
	secret := made["secret"].(string)
	var err error
	if verifier, err = standardwebhooks.NewWebhook(secret); err != nil {
		t.Fatal(err)
	}
	pay := func() string {
		t.Helper()
		body := `{"from_account_id": "` + a + `", "to_account_id": "` + b + `", "amount": 1}`
		return p.post(t, "/api/v1/transfers", body)["transferId"].(string)
	}
	arrives := func(transfer string) {
		t.Helper()
		for {
			select {
			case id := <-got:
				if id == transfer {
					return
				}
			case <-time.After(30 * time.Second):
				t.Fatalf("transfer %s does not arrive", transfer)
			}
		}
	}
	arrives(pay())
	// One of the two killed servers is delivering when it is killed.
	p = servers[1]
	servers[0].kill()
	arrives(pay())
	servers = append(servers, serve(t, env...))
	p = servers[2]
	servers[1].kill()
	arrives(pay())
	p.terminate(t)
	for _, s := range servers {
		if strings.Contains(s.logs.String(), strings.TrimPrefix(secret, "whsec_")) {
			t.Errorf("the secret is in the log:\n%s", s.logs)
		}
	}
}
