package main

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"internaltransfers/internal/pgtest"
)

// TestAuthAuto: without a word about AUTH a key is needed wherever others than this machine reach
// the port.
func TestAuthAuto(t *testing.T) {
	t.Parallel()
	for address, open := range map[string]bool{
		"127.0.0.1:9091": true, "127.8.9.1:9091": true, "[::1]:9091": true, "localhost:9091": true, "LocalHost:0": true,
		"0.0.0.0:9091": false, ":9091": false, "[::]:9091": false, "10.0.0.7:9091": false, "localhost.example.com:9091": false, "ledger:9091": false,
	} {
		for auth, required := range map[string]bool{"auto": !open, "required": true, "off": false} {
			if got := (&authConfig{Auth: auth}).required(address); got != required {
				t.Errorf("AUTH=%s at %s: a key is needed: %v", auth, address, got)
			}
		}
	}
}

// outputOf runs the program and returns what it writes. It fails the test unless that is its exit
// status.
func outputOf(t *testing.T, status int, env []string, args ...string) (stdout, stderr string) {
	t.Helper()
	cmd := program(t, env, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	exit, got := new(exec.ExitError), 0
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if got != status {
		t.Fatalf("%v: exit status %d\n%s%s", args, got, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// statusOf calls GetCaller with a key and returns the HTTP status.
func statusOf(t *testing.T, p *process, secret string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.address+"/api/v1/caller", nil)
	if err != nil {
		t.Fatal(err)
	}
	if secret != "" {
		request.Header.Set("Authorization", "Bearer "+secret)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

// TestKeysCommand: keys create prints the secret alone, which a server takes from then on, and
// which appears nowhere else; list shows the key, and revoke ends it.
func TestKeysCommand(t *testing.T) {
	t.Parallel()
	database := "DATABASE_URL=" + pgtest.NewDatabase(t)
	p := serve(t, database, "AUTH=off")
	out, errs := outputOf(t, 0, []string{database}, "keys", "create", "--role", "admin", "--name", "boss")
	secret := strings.TrimSuffix(out, "\n")
	if !strings.HasPrefix(secret, "itk_") || strings.ContainsAny(secret, " \n") || strings.Contains(errs, secret) {
		t.Fatalf("stdout %q, stderr %q", out, errs)
	}
	p.terminate(t)
	p = serve(t, database, "AUTH=required", "LOG_LEVEL=debug")
	if none, right := statusOf(t, p, ""), statusOf(t, p, secret); none != http.StatusUnauthorized || right != http.StatusOK {
		t.Errorf("without a key %d, with one %d", none, right)
	}
	_, errs = outputOf(t, 1, []string{database}, "keys", "create", "--role", "king")
	if !strings.Contains(errs, `there is no role "king"; there are admin, auditor`) {
		t.Error(errs)
	}
	out, _ = outputOf(t, 0, []string{database}, "keys", "create", "--permissions", "transfers.read,accounts.read", "--networks", "127.0.0.1", "--expires-in", "1h")
	list, _ := outputOf(t, 0, []string{database}, "keys", "list")
	lines := strings.Split(strings.TrimSpace(list), "\n")
	if len(lines) != 3 || !strings.Contains(lines[2], `"boss"`) || !strings.Contains(lines[2], "active  admin") || strings.Contains(list, "itk_") {
		t.Errorf("the list is\n%s", list)
	}
	if got := statusOf(t, p, strings.TrimSpace(out)); got != http.StatusOK {
		t.Errorf("a key that was made meanwhile: %d", got)
	}
	id, _, _ := strings.Cut(lines[1], " ")
	outputOf(t, 0, []string{database}, "keys", "revoke", id)
	boss, _, _ := strings.Cut(lines[2], " ")
	_, errs = outputOf(t, 1, []string{database}, "keys", "revoke", boss)
	if !strings.Contains(errs, "last key with keys.admin") {
		t.Error(errs)
	}
	list, _ = outputOf(t, 0, []string{database}, "keys", "list")
	if !strings.Contains(list, "revoked") {
		t.Errorf("the list is\n%s", list)
	}
	p.terminate(t)
	if strings.Contains(p.logs.String(), secret) {
		t.Error("the log has the secret")
	}
}

// TestNobodyIsLockedOut: a server that requires keys and has none does not start, and says what to
// do. With the file of a first key it makes that, once.
func TestNobodyIsLockedOut(t *testing.T) {
	t.Parallel()
	database := "DATABASE_URL=" + pgtest.NewDatabase(t)
	_, errs := outputOf(t, 1, []string{database, "LISTEN_ADDR=0.0.0.0:0"}, "serve")
	for _, words := range []string{"--auth (AUTH) requires an API key", "internaltransfers keys create --role admin", "AUTH_BOOTSTRAP_KEY_FILE", "AUTH=off"} {
		if !strings.Contains(errs, words) {
			t.Errorf("it does not say %q:\n%s", words, errs)
		}
	}
	first, second := secretOf(t), secretOf(t)
	file := filepath.Join(t.TempDir(), "key")
	for _, secret := range []string{first, second} {
		if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		p := serve(t, database, "LISTEN_ADDR=0.0.0.0:0", "AUTH_BOOTSTRAP_KEY_FILE="+file)
		if got := statusOf(t, p, first); got != http.StatusOK {
			t.Errorf("the first key: %d", got)
		}
		if got := statusOf(t, p, second); got != http.StatusUnauthorized {
			t.Errorf("the second key: %d", got)
		}
		p.terminate(t)
	}
	if err := os.WriteFile(file, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := "DATABASE_URL=" + pgtest.NewDatabase(t)
	_, errs = outputOf(t, 1, []string{empty, "AUTH_BOOTSTRAP_KEY_FILE=" + file}, "serve")
	if !strings.Contains(errs, "AUTH_BOOTSTRAP_KEY") || strings.Contains(errs, "hunter2") {
		t.Error(errs)
	}
}

// secretOf makes a key in another ledger and returns its secret.
func secretOf(t *testing.T) string {
	t.Helper()
	out, _ := outputOf(t, 0, []string{"DATABASE_URL=" + pgtest.NewDatabase(t)}, "keys", "create", "--role", "admin")
	return strings.TrimSpace(out)
}

// TestOpenIsSaid: a server that lets everybody on the network move money says so.
func TestOpenIsSaid(t *testing.T) {
	t.Parallel()
	database := "DATABASE_URL=" + pgtest.NewDatabase(t)
	for address, said := range map[string]bool{"0.0.0.0:0": true, "127.0.0.1:0": false} {
		p := serve(t, database, "LISTEN_ADDR="+address, "AUTH=off")
		if got := statusOf(t, p, ""); got != http.StatusOK {
			t.Errorf("%s: %d", address, got)
		}
		p.terminate(t)
		if strings.Contains(p.logs.String(), "everybody who reaches the port may move money") != said {
			t.Errorf("%s:\n%s", address, p.logs)
		}
	}
}
