package server_test

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/internal/events"
	"internaltransfers/server"
)

func createEndpoint(t *testing.T, c client, req *transfersv1.CreateWebhookEndpointRequest) *transfersv1.CreateWebhookEndpointResponse {
	t.Helper()
	return mustCall(t, c, "WebhookService/CreateWebhookEndpoint", req, &transfersv1.CreateWebhookEndpointResponse{})
}

func getEndpoint(t *testing.T, c client, id string) *transfersv1.WebhookEndpoint {
	t.Helper()
	return mustCall(t, c, "WebhookService/GetWebhookEndpoint", &transfersv1.GetWebhookEndpointRequest{EndpointId: id},
		&transfersv1.GetWebhookEndpointResponse{}).GetEndpoint()
}

// requireSecret fails unless it is `whsec_` and 32 bytes in base64.
func requireSecret(t *testing.T, secret string) {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) != 32 || !strings.HasPrefix(secret, "whsec_") {
		t.Errorf("secret %q: %v", secret, err)
	}
}

func TestWebhooks(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		a := open(t, c, "10")
		req := &transfersv1.CreateWebhookEndpointRequest{
			EndpointId: uuid.NewString(), Url: "https://example.com/hook?key=1", Description: "Zoë's",
			Filter: &transfersv1.EventFilter{
				Types:      []transfersv1.Event_Type{transfersv1.Event_TRANSFER_CHANGED, transfersv1.Event_TRANSFER_CREATED},
				AccountIds: []string{a.GetAccountId()}, Currencies: []string{"USD"}, Statuses: []transfersv1.Transfer_Status{transfersv1.Transfer_SUCCESS},
			},
		}
		made := createEndpoint(t, c, req)
		requireSecret(t, made.GetSecret())
		e := made.GetEndpoint()
		if position, err := strconv.ParseInt(e.GetCursor(), 10, 64); err != nil || position <= 0 {
			t.Errorf("cursor %q: %v", e.GetCursor(), err)
		}
		want := &transfersv1.WebhookEndpoint{
			EndpointId: req.GetEndpointId(), Url: req.GetUrl(), Description: req.GetDescription(), Filter: proto.CloneOf(req.GetFilter()),
			Status: transfersv1.WebhookEndpoint_ENABLED, Cursor: e.GetCursor(), CreateTime: e.GetCreateTime(), UpdateTime: e.GetCreateTime(),
		}
		want.Filter.Types = []transfersv1.Event_Type{transfersv1.Event_TRANSFER_CHANGED, transfersv1.Event_TRANSFER_CREATED}
		requireEqual(t, e, want)
		requireEqual(t, getEndpoint(t, c, e.GetEndpointId()), want)

		again := &transfersv1.CreateWebhookEndpointResponse{}
		header, failed := c.call(t.Context(), "WebhookService/CreateWebhookEndpoint", req, again)
		if failed != nil || header.Get("Idempotency-Replayed") != "true" || again.GetSecret() != "" {
			t.Fatalf("again: %v, %v, %q", header, failed, again.GetSecret())
		}
		requireEqual(t, again.GetEndpoint(), want)
		req.Description = "other"
		_, failed = c.call(t.Context(), "WebhookService/CreateWebhookEndpoint", req, again)
		requireInfo(t, failed, connect.CodeAlreadyExists, "ENDPOINT_ALREADY_EXISTS", "endpoint_id", e.GetEndpointId())

		updated := updateEndpoint(t, c, &transfersv1.UpdateWebhookEndpointRequest{
			EndpointId: e.GetEndpointId(), Url: "http://example.com:8080/", Disabled: true,
		})
		want.Url, want.Description, want.Filter, want.Status = "http://example.com:8080/", "", &transfersv1.EventFilter{}, transfersv1.WebhookEndpoint_DISABLED
		want.UpdateTime = updated.GetUpdateTime()
		requireEqual(t, updated, want)
		rotateSecret(t, c, e.GetEndpointId(), made.GetSecret())
		redeliver(t, c, f, a, e.GetEndpointId())
		listEndpoints(t, c, e.GetEndpointId())
		deleteEndpoint(t, c, e.GetEndpointId())
	})
}

func updateEndpoint(t *testing.T, c client, req *transfersv1.UpdateWebhookEndpointRequest) *transfersv1.WebhookEndpoint {
	t.Helper()
	return mustCall(t, c, "WebhookService/UpdateWebhookEndpoint", req, &transfersv1.UpdateWebhookEndpointResponse{}).GetEndpoint()
}

// rotateSecret gives an endpoint new secrets, which differ.
func rotateSecret(t *testing.T, c client, id, secret string) {
	t.Helper()
	for _, tc := range []struct {
		overlap *durationpb.Duration
		want    time.Duration
	}{{nil, 24 * time.Hour}, {durationpb.New(90 * time.Minute), 90 * time.Minute}, {durationpb.New(0), 0}} {
		answer := mustCall(t, c, "WebhookService/RotateWebhookSecret",
			&transfersv1.RotateWebhookSecretRequest{EndpointId: id, Overlap: tc.overlap}, &transfersv1.RotateWebhookSecretResponse{})
		requireSecret(t, answer.GetSecret())
		e := answer.GetEndpoint()
		if answer.GetSecret() == secret || (e.OldSecretExpireTime != nil) != (tc.want > 0) {
			t.Errorf("overlap %v: %v", tc.overlap, answer)
		}
		if tc.want > 0 {
			if got := e.GetOldSecretExpireTime().AsTime().Sub(e.GetUpdateTime().AsTime()); got < tc.want-time.Second || got > tc.want+time.Second {
				t.Errorf("overlap %v: %s", tc.overlap, got)
			}
		}
		secret = answer.GetSecret()
	}
}

// redeliver has the event of the account's opening delivered again to an endpoint, which is
// disabled, so the delivery waits.
func redeliver(t *testing.T, c client, f *fixture, a *transfersv1.Account, id string) {
	t.Helper()
	var cursor string
	all, _, _, err := f.ledger.Events.Read(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Type == events.AccountCreated && e.Account.ID.String() == a.GetAccountId() {
			cursor = strconv.FormatInt(e.Position, 10)
		}
	}
	for _, last := range []string{"", cursor} {
		answer := mustCall(t, c, "WebhookService/RedeliverWebhookEvents",
			&transfersv1.RedeliverWebhookEventsRequest{EndpointId: id, FirstCursor: cursor, LastCursor: last}, &transfersv1.RedeliverWebhookEventsResponse{})
		requireEqual(t, answer, &transfersv1.RedeliverWebhookEventsResponse{Count: 1})
	}
	list := func(status transfersv1.WebhookDelivery_Status) []*transfersv1.WebhookDelivery {
		return mustCall(t, c, "WebhookService/ListWebhookDeliveries",
			&transfersv1.ListWebhookDeliveriesRequest{EndpointId: id, Status: status}, &transfersv1.ListWebhookDeliveriesResponse{}).GetDeliveries()
	}
	got := list(transfersv1.WebhookDelivery_PENDING)
	if len(got) != 1 || len(list(transfersv1.WebhookDelivery_STATUS_UNSPECIFIED)) != 1 || len(list(transfersv1.WebhookDelivery_DEAD)) != 0 {
		t.Fatalf("deliveries: %v", got)
	}
	if got[0].GetNextAttemptTime() == nil {
		t.Errorf("it is not due: %v", got[0])
	}
	requireEqual(t, got[0], &transfersv1.WebhookDelivery{
		Cursor: cursor, MessageId: "evt_" + cursor, Status: transfersv1.WebhookDelivery_PENDING, NextAttemptTime: got[0].GetNextAttemptTime(),
	})
	if e := getEndpoint(t, c, id); e.GetPendingCount() != 1 || e.GetDeadCount() != 0 {
		t.Errorf("the endpoint: %v", e)
	}
}

// listEndpoints pages through the endpoints, in which the newest is first.
func listEndpoints(t *testing.T, c client, older string) {
	t.Helper()
	newer := createEndpoint(t, c, &transfersv1.CreateWebhookEndpointRequest{Url: "https://example.com"}).GetEndpoint()
	first := mustCall(t, c, "WebhookService/ListWebhookEndpoints",
		&transfersv1.ListWebhookEndpointsRequest{PageSize: 1}, &transfersv1.ListWebhookEndpointsResponse{})
	second := mustCall(t, c, "WebhookService/ListWebhookEndpoints",
		&transfersv1.ListWebhookEndpointsRequest{PageSize: 1, PageToken: first.GetNextPageToken()}, &transfersv1.ListWebhookEndpointsResponse{})
	if len(first.GetEndpoints()) != 1 || len(second.GetEndpoints()) != 1 || second.GetEndpoints()[0].GetEndpointId() != older {
		t.Fatalf("listed %v, %v", first, second)
	}
	requireEqual(t, first.GetEndpoints()[0], newer)
	deleteEndpoint(t, c, newer.GetEndpointId())
}

// deleteEndpoint deletes an endpoint, twice. After that it can only be read.
func deleteEndpoint(t *testing.T, c client, id string) {
	t.Helper()
	var deleted *transfersv1.WebhookEndpoint
	for range 2 {
		answer := mustCall(t, c, "WebhookService/DeleteWebhookEndpoint", &transfersv1.DeleteWebhookEndpointRequest{EndpointId: id},
			&transfersv1.DeleteWebhookEndpointResponse{}).GetEndpoint()
		if deleted != nil {
			requireEqual(t, answer, deleted)
		}
		if deleted = answer; deleted.GetStatus() != transfersv1.WebhookEndpoint_DELETED || deleted.OldSecretExpireTime != nil {
			t.Errorf("deleted: %v", deleted)
		}
	}
	requireEqual(t, getEndpoint(t, c, id), deleted)
	list := mustCall(t, c, "WebhookService/ListWebhookEndpoints", &transfersv1.ListWebhookEndpointsRequest{}, &transfersv1.ListWebhookEndpointsResponse{})
	for _, e := range list.GetEndpoints() {
		if e.GetEndpointId() == id {
			t.Errorf("it is still listed: %v", e)
		}
	}
	for method, req := range map[string]proto.Message{
		"UpdateWebhookEndpoint": &transfersv1.UpdateWebhookEndpointRequest{EndpointId: id, Url: "https://example.com"},
		"RotateWebhookSecret":   &transfersv1.RotateWebhookSecretRequest{EndpointId: id},
		"RedeliverWebhookEvents": &transfersv1.RedeliverWebhookEventsRequest{
			EndpointId: id, FirstCursor: "1", LastCursor: deleted.GetCursor(),
		},
	} {
		_, failed := c.call(t.Context(), "WebhookService/"+method, req, answerTo("WebhookService/"+method))
		requireInfo(t, failed, connect.CodeFailedPrecondition, "ENDPOINT_DELETED", "endpoint_id", id)
	}
}

// TestWebhookLimit: the number of endpoints is limited.
func TestWebhookLimit(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	c := f.protocol(t, "grpc")
	var last *transfersv1.WebhookEndpoint
	for range 100 {
		last = createEndpoint(t, c, &transfersv1.CreateWebhookEndpointRequest{Url: "https://example.com"}).GetEndpoint()
	}
	req := &transfersv1.CreateWebhookEndpointRequest{EndpointId: uuid.NewString(), Url: "https://example.com"}
	_, failed := c.call(t.Context(), "WebhookService/CreateWebhookEndpoint", req, &transfersv1.CreateWebhookEndpointResponse{})
	requireInfo(t, failed, connect.CodeFailedPrecondition, "TOO_MANY_ENDPOINTS", "endpoint_id", req.GetEndpointId())
	deleteEndpoint(t, c, last.GetEndpointId())
	requireSecret(t, createEndpoint(t, c, req).GetSecret())
}

// TestPrivateWebhooks: the operator may allow private networks.
func TestPrivateWebhooks(t *testing.T) {
	t.Parallel()
	c := newFixture(t, server.Config{PrivateWebhooks: true}).protocol(t, "grpc")
	for _, url := range []string{"http://127.0.0.1:8080/", "http://localhost/hook", "https://10.0.0.1/"} {
		createEndpoint(t, c, &transfersv1.CreateWebhookEndpointRequest{Url: url})
	}
}

// hostileEndpoints returns bodies of requests that create or change an endpoint, and the field that
// the response must name.
func hostileEndpoints(account string) []struct{ field, body string } {
	return []struct{ field, body string }{
		{"url", `{}`}, {"url", `{"url": ""}`}, {"url", `{"url": 5}`}, {"url", `{"url": "example.com"}`}, {"url", `{"url": "ftp://example.com"}`},
		{"url", `{"url": "https://` + strings.Repeat("x", 2048) + `"}`}, {"url", `{"url": "https://example.com/\u0000"}`}, {"url", `{"url": "https://user:x@example.com"}`},
		{"url", `{"url": "https://127.0.0.1"}`}, {"url", `{"url": "http://[::1]:80/"}`}, {"url", `{"url": "http://[::ffff:10.0.0.1]/"}`},
		{"url", `{"url": "http://169.254.169.254/latest/meta-data"}`}, {"url", `{"url": "http://localhost"}`}, {"url", `{"url": "http://2130706433/"}`},
		{"url", `{"url": "https://example.com:99999"}`}, {"url", `{"url": "https://example.com/#x"}`}, {"url", `{"url": "javascript:alert(1)"}`},
		{"description", `{"url": "https://example.com", "description": "` + strings.Repeat("é", 201) + `"}`},
		{"description", `{"url": "https://example.com", "description": "a\u0000"}`},
		{"filter.types[0]", `{"url": "https://example.com", "filter": {"types": [0]}}`},
		{"filter.types[0]", `{"url": "https://example.com", "filter": {"types": [77]}}`},
		{"filter.types", `{"url": "https://example.com", "filter": {"types": [1,1,1,1,1]}}`},
		{"filter.account_ids[0]", `{"url": "https://example.com", "filter": {"account_ids": ["x"]}}`},
		{"filter.account_ids", `{"url": "https://example.com", "filter": {"account_ids": [` + strings.TrimSuffix(strings.Repeat(`"`+account+`",`, 101), ",") + `]}}`},
		{"filter.currencies[0]", `{"url": "https://example.com", "filter": {"currencies": ["usd"]}}`},
		{"filter.statuses[0]", `{"url": "https://example.com", "filter": {"statuses": [9]}}`},
		{"endpoint_id", `{"url": "https://example.com", "endpoint_id": "x"}`},
		{"secret", `{"url": "https://example.com", "secret": "mine"}`},
	}
}

// TestHostileWebhooks: what is wrong is refused by its field, nothing is left of it, and nothing is
// a server's error.
func TestHostileWebhooks(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	grpc := f.protocol(t, "grpc")
	e := createEndpoint(t, grpc, &transfersv1.CreateWebhookEndpointRequest{Url: "https://example.com"}).GetEndpoint()
	id, nobody := e.GetEndpointId(), uuid.NewString()
	for _, tc := range hostileEndpoints(nobody) {
		for _, to := range [][2]string{
			{http.MethodPost, "/api/v1/webhooks"}, {http.MethodPost, "/transfers.v1.WebhookService/CreateWebhookEndpoint"}, {http.MethodPut, "/api/v1/webhooks/" + id},
		} {
			if to[0] == http.MethodPut && tc.field == "endpoint_id" {
				continue // it is in the path
			}
			res, text := f.send(t, to[0], to[1], tc.body)
			if res.StatusCode != http.StatusBadRequest {
				t.Errorf("%v %s: status %d", to, clipped(tc.body), res.StatusCode)
			}
			requireClientError(t, res, text, tc.field)
		}
	}
	for _, tc := range []hostileRequest{
		{"get of no id", "GET", "/api/v1/webhooks/x", "", nil, 400, "endpoint_id"},
		{"get of nothing", "GET", "/api/v1/webhooks/" + nobody, "", nil, 404, nobody},
		{"put of nothing", "PUT", "/api/v1/webhooks/" + nobody, `{"url": "https://example.com"}`, nil, 404, nobody},
		{"delete of nothing", "DELETE", "/api/v1/webhooks/" + nobody, "", nil, 404, nobody},
		{"delete of all", "DELETE", "/api/v1/webhooks", "", nil, 405, "GET, POST"},
		{"rotation of nothing", "POST", "/api/v1/webhooks/" + nobody + ":rotate", `{}`, nil, 404, nobody},
		{"rotation by GET", "GET", "/api/v1/webhooks/" + id + ":rotate", "", nil, 405, "POST"},
		{"negative overlap", "POST", "/api/v1/webhooks/" + id + ":rotate", `{"overlap": "-1s"}`, nil, 400, "overlap"},
		{"endless overlap", "POST", "/api/v1/webhooks/" + id + ":rotate", `{"overlap": "2592001s"}`, nil, 400, "overlap"},
		{"overlap of no form", "POST", "/api/v1/webhooks/" + id + ":rotate", `{"overlap": "a day"}`, nil, 400, "overlap"},
		{"deliveries of nothing", "GET", "/api/v1/webhooks/" + nobody + "/deliveries", "", nil, 404, nobody},
		{"deliveries by no status", "GET", "/api/v1/webhooks/" + id + "/deliveries?status=LOST", "", nil, 400, "status"},
		{"deliveries by a forged token", "GET", "/api/v1/webhooks/" + id + "/deliveries?page_token=AAAA", "", nil, 400, "page_token"},
		{"endpoints by a forged token", "GET", "/api/v1/webhooks?page_token=AAAA", "", nil, 400, "page_token"},
		{"endpoints on too large a page", "GET", "/api/v1/webhooks?page_size=1001", "", nil, 400, "page_size"},
		{"again without a cursor", "POST", "/api/v1/webhooks/" + id + ":redeliver", `{}`, nil, 400, "first_cursor"},
		{"again from a negative cursor", "POST", "/api/v1/webhooks/" + id + ":redeliver", `{"first_cursor": "-1"}`, nil, 400, "first_cursor"},
		{"again from too large a cursor", "POST", "/api/v1/webhooks/" + id + ":redeliver", `{"first_cursor": "9999999999999999999"}`, nil, 400, "first_cursor"},
		{"again from a cursor that no event has", "POST", "/api/v1/webhooks/" + id + ":redeliver", `{"first_cursor": "999999999999999999"}`, nil, 400, "first_cursor"},
		{"again in a range turned around", "POST", "/api/v1/webhooks/" + id + ":redeliver", `{"first_cursor": "5", "last_cursor": "4"}`, nil, 400, "last_cursor"},
		{"again to a text", "POST", "/api/v1/webhooks/" + id + ":redeliver", `{"first_cursor": "5", "last_cursor": "now"}`, nil, 400, "last_cursor"},
		{"again to nothing", "POST", "/api/v1/webhooks/" + nobody + ":redeliver", `{"first_cursor": "1"}`, nil, 404, nobody},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, text := f.send(t, tc.method, tc.path, tc.body, tc.header...)
			if res.StatusCode != tc.status {
				t.Errorf("status %d, want %d: %s", res.StatusCode, tc.status, text)
			}
			requireClientError(t, res, text, tc.field)
		})
	}
	list := mustCall(t, grpc, "WebhookService/ListWebhookEndpoints", &transfersv1.ListWebhookEndpointsRequest{}, &transfersv1.ListWebhookEndpointsResponse{})
	if len(list.GetEndpoints()) != 1 || !proto.Equal(list.GetEndpoints()[0], e) {
		t.Errorf("refused requests left %v", list)
	}
}

// clipped returns the beginning of a text.
func clipped(text string) string { return text[:min(len(text), 80)] }
