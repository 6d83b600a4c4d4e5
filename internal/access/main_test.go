package access

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/pgtest"
	"internaltransfers/ledger"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var home = netip.MustParseAddr("127.0.0.1")

func open(t *testing.T, database string) *Keyring {
	t.Helper()
	k := openAt(t, database)
	t.Cleanup(k.Close)
	return k
}

// openAt opens keys that the test closes itself.
func openAt(t testing.TB, database string) *Keyring {
	t.Helper()
	d, err := pgdb.Open(t.Context(), pgdb.Target{URL: database, Schema: "ledger"}, pgdb.Writing)
	if err != nil {
		t.Fatal(err)
	}
	k, err := Open(t.Context(), Config{Database: d})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// create makes a key for the operator.
func create(t *testing.T, k *Keyring, p Params) (Key, string) {
	t.Helper()
	key, secret, err := k.Create(t.Context(), nil, p)
	if err != nil {
		t.Fatal(err)
	}
	return key, secret
}

func authenticate(t *testing.T, k *Keyring, secret string) *Caller {
	t.Helper()
	c, err := k.Authenticate(t.Context(), secret, home)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func requireError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, not %v", what, err, want)
	}
}

// requireState fails unless a change was refused for that reason.
func requireState(t *testing.T, what string, err error, reason string) {
	t.Helper()
	if state, ok := errors.AsType[*ledger.StateError](err); !ok || state.Reason != reason {
		t.Errorf("%s: %v, not %s", what, err, reason)
	}
}

// await waits for a channel to be closed.
func await(t *testing.T, what string, closed <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	select {
	case <-closed:
	case <-ctx.Done():
		t.Fatalf("%s: it did not happen", what)
	}
}

// hashOf returns what is stored of a secret.
func hashOf(secret string) [32]byte {
	_, hash, _ := parseSecret(secret)
	return hash
}
