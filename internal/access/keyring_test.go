package access

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"internaltransfers/internal/pgtest"
	"internaltransfers/ledger"
)

// TestAuthenticate: only the right secret of a usable key is taken, from where it may be used. What
// is wrong, unknown, malformed or revoked has one error.
func TestAuthenticate(t *testing.T) {
	t.Parallel()
	k := open(t, pgtest.NewDatabase(t))
	soon := time.Now().Add(time.Hour)
	key, secret := create(t, k, Params{Name: "till", Role: "sender", Networks: []string{"127.0.0.0/8", "2001:db8::7"}, ExpireTime: &soon})
	_, gone := create(t, k, Params{Name: "gone", Role: "viewer"})
	id, _, _ := parseSecret(gone)
	if _, err := k.Revoke(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	c := authenticate(t, k, secret)
	if c.KeyID != key.ID || c.Name != "till" || c.Role != "sender" || c.Permissions != sender {
		t.Errorf("the caller is %+v", c)
	}
	for what, text := range map[string]string{
		"wrong": newSecret(key.ID), "unknown": newSecret(uuid.New()), "malformed": "itk_x", "revoked": gone,
		"with a space": secret + " ",
	} {
		_, err := k.Authenticate(t.Context(), text, home)
		requireError(t, what, err, ErrInvalid)
		if err != nil && err.Error() != ErrInvalid.Error() {
			t.Errorf("%s: the text %q tells it from others", what, err)
		}
	}
	_, err := k.Authenticate(t.Context(), "", home)
	requireError(t, "none", err, ErrMissing)
	for address, allowed := range map[string]bool{"127.9.9.9": true, "2001:db8::7": true, "2001:db8::8": false, "10.0.0.1": false} {
		_, err := k.Authenticate(t.Context(), secret, netip.MustParseAddr(address))
		if network := new(NetworkError); allowed && err != nil || !allowed && !errors.As(err, &network) {
			t.Errorf("from %s: %v", address, err)
		}
	}
	requireError(t, "later", c.verify(c.hash, home, soon), ErrExpired)
	requireError(t, "wrong and later", c.verify([32]byte{}, home, soon), ErrInvalid)
}

// TestRotate: the old secret is taken until its overlap is over, and no longer; without one it is
// not taken any more.
func TestRotate(t *testing.T) {
	t.Parallel()
	k := open(t, pgtest.NewDatabase(t))
	key, first := create(t, k, Params{Name: "till", Role: "sender"})
	before := authenticate(t, k, first)
	rotated, second, err := k.Rotate(t.Context(), key.ID, time.Hour)
	if err != nil || rotated.OldSecretExpireTime == nil || rotated.Version != 2 {
		t.Fatalf("%+v, %v", rotated, err)
	}
	await(t, "the streams of the old secret end", before.Ended())
	c := authenticate(t, k, first)
	authenticate(t, k, second)
	requireError(t, "after the overlap", c.verify(hashOf(first), home, time.Now().Add(2*time.Hour)), ErrInvalid)
	_, third, err := k.Rotate(t.Context(), key.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	authenticate(t, k, third)
	for _, old := range []string{first, second} {
		_, err := k.Authenticate(t.Context(), old, home)
		requireError(t, "an old secret", err, ErrInvalid)
	}
}

// TestTwoServers: a key that one server makes is good on another at once, and what one server
// changes or revokes ends on the other within seconds.
func TestTwoServers(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	here, there := open(t, database), open(t, database)
	key, secret := create(t, here, Params{Name: "till", Role: "sender"})
	c := authenticate(t, there, secret)
	p := key.Params
	p.Role = "viewer"
	if _, err := here.Update(t.Context(), nil, key.ID, p, key.Version); err != nil {
		t.Fatal(err)
	}
	await(t, "the change is seen there", c.Ended())
	c = authenticate(t, there, secret)
	if c.Role != "viewer" {
		t.Errorf("there the role is %s", c.Role)
	}
	began := time.Now()
	if _, err := here.Revoke(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	await(t, "the revocation is seen there", c.Ended())
	_, err := there.Authenticate(t.Context(), secret, home)
	requireError(t, "revoked elsewhere", err, ErrInvalid)
	t.Logf("seen after %s", time.Since(began))
}

// TestDatabaseAway: keys are good for a minute without the database, and then no longer.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	k := open(t, pgtest.NewDatabase(t))
	_, secret := create(t, k, Params{Name: "till", Role: "sender"})
	k.stop()
	<-k.stopped // it looks no more, as if the database were away
	authenticate(t, k, secret)
	k.current.Load().read.Store(time.Now().Add(-staleMax - time.Second).UnixNano())
	_, err := k.Authenticate(t.Context(), secret, home)
	requireError(t, "after a minute", err, ErrUnavailable)
}

// TestChangesAreGuarded: nobody grants what they lack, changes what their own key may do, changes
// what has changed since they looked, or takes the last administrator away.
func TestChangesAreGuarded(t *testing.T) {
	t.Parallel()
	k := open(t, pgtest.NewDatabase(t))
	boss, secret := create(t, k, Params{Name: "boss", Role: RoleAdmin})
	by := authenticate(t, k, secret)
	_, _, err := k.Create(t.Context(), by, Params{Name: "x", Grants: []Grant{{Permissions: []string{"audit.read", "money.issue"}}}})
	if denied, ok := errors.AsType[*PermissionError](err); !ok || denied.Missing != MoneyIssue {
		t.Errorf("a grant beyond one's own: %v", err)
	}
	if _, _, err := k.Create(t.Context(), by, Params{Name: "x", Role: "treasurer"}); err != nil {
		t.Errorf("a role beyond one's own: %v", err)
	}
	more := boss.Params
	more.Role = "treasurer"
	_, err = k.Update(t.Context(), by, boss.ID, more, 0)
	requireState(t, "one's own key", err, "OWN_KEY")
	name := boss.Params
	name.Name = "the boss"
	renamed, err := k.Update(t.Context(), by, boss.ID, name, boss.Version)
	if err != nil || renamed.Name != "the boss" || renamed.Version != boss.Version+1 {
		t.Errorf("the name of one's own key: %+v, %v", renamed, err)
	}
	_, err = k.Update(t.Context(), by, boss.ID, name, boss.Version)
	if stale := new(ledger.VersionError); !errors.As(err, &stale) || stale.Actual != renamed.Version {
		t.Errorf("an outdated version: %v", err)
	}
	_, err = k.Update(t.Context(), nil, boss.ID, more, 0)
	requireState(t, "the last administrator's role", err, "LAST_ADMIN")
	_, err = k.Revoke(t.Context(), boss.ID)
	requireState(t, "the last administrator", err, "LAST_ADMIN")
	authenticate(t, k, secret)
	_, err = k.Get(t.Context(), uuid.New())
	if missing := new(ledger.NotFoundError); !errors.As(err, &missing) {
		t.Errorf("a key that is not there: %v", err)
	}
}

// TestLastTwoAdministrators: of two administrators who are revoked at the same time one stays.
func TestLastTwoAdministrators(t *testing.T) {
	t.Parallel()
	k := open(t, pgtest.NewDatabase(t))
	one, _ := create(t, k, Params{Name: "one", Role: RoleAdmin})
	two, _ := create(t, k, Params{Name: "two", Grants: []Grant{{Permissions: []string{"keys.admin"}}}})
	var group sync.WaitGroup
	errs := make([]error, 2)
	for i, id := range []uuid.UUID{one.ID, two.ID} {
		group.Go(func() { _, errs[i] = k.Revoke(context.Background(), id) })
	}
	group.Wait()
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Fatalf("%v and %v", errs[0], errs[1])
	}
	requireState(t, "the other", errors.Join(errs...), "LAST_ADMIN")
}

// TestRevoked: a revoked key stays so, in the database too, and can be revoked again.
func TestRevoked(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	k := open(t, database)
	key, _ := create(t, k, Params{Name: "till", Role: "sender"})
	first, err := k.Revoke(t.Context(), key.ID)
	if err != nil || first.RevokeTime == nil {
		t.Fatalf("%+v, %v", first, err)
	}
	again, err := k.Revoke(t.Context(), key.ID)
	if err != nil || !again.RevokeTime.Equal(*first.RevokeTime) || again.Version != first.Version {
		t.Errorf("%+v, %v", again, err)
	}
	_, err = k.Update(t.Context(), nil, key.ID, key.Params, 0)
	requireState(t, "a change", err, "KEY_REVOKED")
	_, _, err = k.Rotate(t.Context(), key.ID, 0)
	requireState(t, "a new secret", err, "KEY_REVOKED")
	conn, err := pgx.Connect(t.Context(), pgtest.Superuser(database))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "UPDATE ledger.api_key SET revoke_time = NULL"); err == nil || !strings.Contains(err.Error(), "never changed") {
		t.Errorf("revived by hand: %v", err)
	}
}

// TestBootstrap: the first key is made of a given secret while there is none, and never beside
// others.
func TestBootstrap(t *testing.T) {
	t.Parallel()
	k := open(t, pgtest.NewDatabase(t))
	if err := k.Bootstrap(t.Context(), "a password"); err == nil {
		t.Error("a text that is no secret was taken")
	}
	if !k.IsEmpty() {
		t.Fatal("there are keys")
	}
	secret, later := newSecret(uuid.Must(uuid.NewV7())), newSecret(uuid.Must(uuid.NewV7()))
	for _, s := range []string{secret, secret, later} {
		if err := k.Bootstrap(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if c := authenticate(t, k, secret); c.Permissions != admin {
		t.Errorf("the first key may do %v", c.Permissions.Names())
	}
	_, err := k.Authenticate(t.Context(), later, home)
	requireError(t, "a later one", err, ErrInvalid)
}

// TestInvalidKeys: what no key can be is refused with the name of the field.
func TestInvalidKeys(t *testing.T) {
	t.Parallel()
	k := open(t, pgtest.NewDatabase(t))
	past := time.Now().Add(-time.Second)
	for field, p := range map[string]Params{
		"display_name":          {Name: "", Role: "viewer"},
		"role":                  {Name: "x", Role: "root"},
		"grants[0].permissions": {Name: "x", Grants: []Grant{{Permissions: []string{"*"}}}},
		"networks[0]":           {Name: "x", Role: "viewer", Networks: []string{"10.0.0.1/8"}},
		"networks[1]":           {Name: "x", Role: "viewer", Networks: []string{"10.0.0.0/8", "example.com"}},
		"expire_time":           {Name: "x", Role: "viewer", ExpireTime: &past},
	} {
		_, _, err := k.Create(t.Context(), nil, p)
		if invalid := new(ledger.InvalidError); !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	_, _, err := k.Create(t.Context(), nil, Params{Name: "x"})
	if invalid := new(ledger.InvalidError); !errors.As(err, &invalid) || invalid.Field != "role" {
		t.Errorf("neither role nor grants: %v", err)
	}
}

// TestList: pages have each key once, newest first.
func TestList(t *testing.T) {
	t.Parallel()
	k := open(t, pgtest.NewDatabase(t))
	for range 5 {
		create(t, k, Params{Name: "x", Role: "viewer"})
	}
	var got []Key
	for token, last := "", false; !last; last = token == "" {
		page, next, err := k.List(t.Context(), 2, token)
		if err != nil {
			t.Fatal(err)
		}
		got, token = append(got, page...), next
	}
	if len(got) != 5 {
		t.Fatalf("%d keys", len(got))
	}
	for i := 1; i < len(got); i++ {
		if got[i].ID.String() >= got[i-1].ID.String() {
			t.Errorf("key %d is not older", i)
		}
	}
	_, _, err := k.List(t.Context(), 2, "x")
	requireError(t, "a bad token", err, ledger.ErrPageToken)
}

// TestLastUse: when and where a key was used is in the database after the keyring is closed.
func TestLastUse(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	k := openAt(t, database)
	key, secret := create(t, k, Params{Name: "till", Role: "sender"})
	authenticate(t, k, secret)
	k.Close()
	after, err := open(t, database).Get(t.Context(), key.ID)
	if err != nil || after.LastUseTime == nil || after.LastUseAddress != home.String() || after.Version != key.Version {
		t.Errorf("%+v, %v", after, err)
	}
}

// TestSession: a session is good until it ends, its key changes its secret or is revoked, and a
// text that is changed anywhere is none.
func TestSession(t *testing.T) {
	t.Parallel()
	k := open(t, pgtest.NewDatabase(t))
	key, secret := create(t, k, Params{Name: "till", Role: "sender"})
	session := k.OpenSession(secret, time.Now().Add(time.Hour))
	if c, _, err := k.Resume(t.Context(), session, home); err != nil || c.KeyID != key.ID {
		t.Fatalf("%+v, %v", c, err)
	}
	for i := range session {
		for _, c := range "Aa-" {
			changed := session[:i] + string(c) + session[i+1:]
			if changed == session {
				continue
			}
			_, _, err := k.Resume(t.Context(), changed, home)
			requireError(t, "a changed session", err, ErrInvalid)
		}
	}
	_, _, err := k.Resume(t.Context(), k.OpenSession(secret, time.Now().Add(-time.Second)), home)
	requireError(t, "one that has ended", err, ErrExpired)
	if _, err = k.Authenticate(t.Context(), session, home); !errors.Is(err, ErrInvalid) {
		t.Errorf("a session as a secret: %v", err)
	}
	if _, _, err := k.Rotate(t.Context(), key.ID, 0); err != nil {
		t.Fatal(err)
	}
	_, _, err = k.Resume(t.Context(), session, home)
	requireError(t, "after a rotation", err, ErrInvalid)
}
