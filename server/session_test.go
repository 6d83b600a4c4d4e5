package server_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/internal/access"
)

// TestSessionOfTheConsole: a key that is typed in becomes a cookie that scripts cannot read, which
// is good for calls until the session is closed or the key revoked. Wrong keys get none.
func TestSessionOfTheConsole(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	key, secret := g.key(t, access.Params{Name: "desk", Role: "viewer"})
	for body, status := range map[string]int{
		`{"key": "itk_x"}`: http.StatusUnauthorized, `{"key": ""}`: http.StatusUnauthorized, `{}`: http.StatusUnauthorized,
		`[]`: http.StatusBadRequest, `{"key": "` + strings.Repeat("x", 5000) + `"}`: http.StatusBadRequest,
	} {
		if res, text := g.send(t, "POST", "/session", body); res.StatusCode != status || res.Header.Get("Set-Cookie") != "" {
			t.Errorf("%.40s: %d %s", body, res.StatusCode, text)
		}
	}
	if res, _ := g.send(t, "POST", "/session", `{"key": "`+secret+`"}`, "Content-Type", "text/plain"); res.StatusCode != http.StatusBadRequest {
		t.Errorf("a form of another page: %d", res.StatusCode)
	}
	res, text := g.send(t, "POST", "/session", `{"key": "`+secret+`"}`)
	cookie := res.Header.Get("Set-Cookie")
	if res.StatusCode != http.StatusNoContent || text != "" {
		t.Fatalf("%d %s", res.StatusCode, text)
	}
	for _, attribute := range []string{"__Host-internaltransfers=", "; Path=/;", "; HttpOnly", "; Secure", "; SameSite=Lax"} {
		if !strings.Contains(cookie, attribute) {
			t.Errorf("the cookie has no %s: %s", attribute, cookie)
		}
	}
	if strings.Contains(cookie, secret) {
		t.Error("the cookie has the key's secret")
	}
	value, _, _ := strings.Cut(cookie, ";")
	if res, text := g.send(t, "GET", "/api/v1/caller", "", "Cookie", value); res.StatusCode != http.StatusOK || !strings.Contains(text, `"desk"`) {
		t.Errorf("with the session: %d %s", res.StatusCode, text)
	}
	res, _ = g.send(t, "DELETE", "/session", "", "Cookie", value)
	if cookie := res.Header.Get("Set-Cookie"); res.StatusCode != http.StatusNoContent || !strings.Contains(cookie, "1970") {
		t.Errorf("closed: %d %s", res.StatusCode, cookie)
	}
	if _, err := g.keys.Revoke(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	if res, text := g.send(t, "GET", "/api/v1/caller", "", "Cookie", value); res.StatusCode != http.StatusUnauthorized || !strings.Contains(text, "CREDENTIALS_INVALID") {
		t.Errorf("after the key was revoked: %d %s", res.StatusCode, text)
	}
}

// TestPathsBesideCalls: what is no call and has no data of the ledger needs no key. All else does.
func TestPathsBesideCalls(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	for path, status := range map[string]int{
		"/": http.StatusOK, "/docs/": http.StatusOK, "/healthcheck": http.StatusOK, "/readycheck": http.StatusOK,
		"/api/v1/accounts": http.StatusUnauthorized, "/api/v1/nothing": http.StatusUnauthorized, "/api/v1/accounts/x/statement.csv": http.StatusUnauthorized,
		"/api/v1/check": http.StatusUnauthorized, "/api/v1/keys": http.StatusUnauthorized, "/api/../api/v1/accounts": http.StatusUnauthorized,
		"//api/v1/accounts": http.StatusUnauthorized, "/%61pi/v1/accounts": http.StatusUnauthorized,
	} {
		res, text := g.send(t, "GET", path, "")
		if res.StatusCode != status {
			t.Errorf("%s: %d %.200s", path, res.StatusCode, text)
		}
		if status == http.StatusUnauthorized && res.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: there is no WWW-Authenticate", path)
		}
	}
	sender := g.role(t, "admin")
	if res, text := sender.send(t, "GET", "/api/v1/accounts/0192a1b2-0000-7000-8000-000000000001/statement.csv", ""); res.StatusCode != http.StatusForbidden ||
		!strings.Contains(text, "accounts.read") {
		t.Errorf("a CSV file for an administrator: %d %s", res.StatusCode, text)
	}
}

// TestStreamsEndWithTheKey: the streams of a key end when it is revoked, or when its time is over.
func TestStreamsEndWithTheKey(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	soon := time.Now().Add(3 * time.Second)
	key, secret := g.key(t, access.Params{Role: "viewer"})
	_, short := g.key(t, access.Params{Role: "viewer", ExpireTime: &soon})
	for secret, reason := range map[string]string{secret: "CREDENTIALS_INVALID", short: "CREDENTIALS_EXPIRED"} {
		c := g.as("Bearer "+secret).protocol(t, "grpc").(*rpcClient)
		w := watchOver[transfersv1.WatchTransfersRequest, transfersv1.WatchTransfersResponse](t, c, "LedgerService/WatchTransfers", &transfersv1.WatchTransfersRequest{})
		w.next()
		if reason == "CREDENTIALS_INVALID" {
			if _, err := g.keys.Revoke(context.WithoutCancel(t.Context()), key.ID); err != nil {
				t.Fatal(err)
			}
		}
		failed := w.end()
		if got, _ := infoOf(failed); failed.Code() != connect.CodeUnauthenticated || got != reason {
			t.Errorf("%s: %v", reason, failed)
		}
	}
}

// TestKeysOverTheAPI: an administrator makes, reads, changes, rotates and revokes keys, and every
// caller is told who they are.
func TestKeysOverTheAPI(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.role(t, "admin") // another one, so that the next is not the last
	admin := g.role(t, "admin")
	eachProtocol(t, admin, func(t *testing.T, c client) {
		made := mustCall(t, c, "AccessService/CreateApiKey", &transfersv1.CreateApiKeyRequest{
			DisplayName: "till", Role: "sender", Grants: []*transfersv1.Grant{{Permissions: []string{"audit.read"}}}, Networks: []string{"127.0.0.1"},
		}, &transfersv1.CreateApiKeyResponse{})
		id := made.GetApiKey().GetApiKeyId()
		for _, secret := range []string{made.GetSecret(), mustCall(t, c, "AccessService/RotateApiKey",
			&transfersv1.RotateApiKeyRequest{ApiKeyId: id}, &transfersv1.RotateApiKeyResponse{}).GetSecret()} {
			_, err := g.keys.Authenticate(t.Context(), secret, peer)
			if rotated := secret == made.GetSecret(); rotated != errors.Is(err, access.ErrInvalid) {
				t.Errorf("the first secret %v: %v", rotated, err)
			}
		}
		read := mustCall(t, c, "AccessService/GetApiKey", &transfersv1.GetApiKeyRequest{ApiKeyId: id}, &transfersv1.GetApiKeyResponse{}).GetApiKey()
		if read.GetDisplayName() != "till" || read.GetRole() != "sender" || read.GetVersion() != 2 || read.GetStatus() != transfersv1.ApiKey_ACTIVE {
			t.Errorf("%v", read)
		}
		changed := mustCall(t, c, "AccessService/UpdateApiKey", &transfersv1.UpdateApiKeyRequest{ApiKeyId: id, DisplayName: "kiosk", Role: "viewer"}, &transfersv1.UpdateApiKeyResponse{}).GetApiKey()
		if changed.GetDisplayName() != "kiosk" || changed.GetRole() != "viewer" || len(changed.GetGrants()) > 0 || len(changed.GetNetworks()) > 0 {
			t.Errorf("%v", changed)
		}
		for range 2 {
			revoked := mustCall(t, c, "AccessService/RevokeApiKey", &transfersv1.RevokeApiKeyRequest{ApiKeyId: id}, &transfersv1.RevokeApiKeyResponse{}).GetApiKey()
			if revoked.GetStatus() != transfersv1.ApiKey_REVOKED {
				t.Errorf("%v", revoked)
			}
		}
		_, err := c.call(t.Context(), "AccessService/UpdateApiKey", &transfersv1.UpdateApiKeyRequest{ApiKeyId: id, DisplayName: "kiosk", Role: "viewer"}, &transfersv1.UpdateApiKeyResponse{})
		if err == nil || err.Code() != connect.CodeFailedPrecondition {
			t.Errorf("a revoked key was changed: %v", err)
		} else if reason, metadata := infoOf(err); reason != "KEY_REVOKED" || metadata["api_key_id"] != id {
			t.Errorf("%s %v", reason, metadata)
		}
		list := mustCall(t, c, "AccessService/ListApiKeys", &transfersv1.ListApiKeysRequest{PageSize: 1}, &transfersv1.ListApiKeysResponse{})
		if len(list.GetApiKeys()) != 1 || list.GetApiKeys()[0].GetApiKeyId() != id || list.GetNextPageToken() == "" {
			t.Errorf("%v", list)
		}
		caller := mustCall(t, c, "AccessService/GetCaller", &transfersv1.GetCallerRequest{}, &transfersv1.GetCallerResponse{})
		if !caller.GetAuthenticationRequired() || caller.GetRole() != "admin" || strings.Join(caller.GetPermissions(), " ") != "audit.read keys.admin ops.read" {
			t.Errorf("%v", caller)
		}
	})
}
