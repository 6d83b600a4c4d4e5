package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/ledger"
)

const (
	// keysMax is how many keys that are not revoked there are.
	keysMax = 10_000
	// pageDefault and pageMax bound a page of keys.
	pageDefault, pageMax = 50, 1000
)

// Create makes a key, for by, or for the operator of the server where that is nil. It returns the
// secret, which is stored nowhere.
func (k *Keyring) Create(ctx context.Context, by *Caller, p Params) (key Key, secret string, err error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Key{}, "", fmt.Errorf("make an id: %w", err)
	}
	secret = newSecret(id)
	key, err = k.insert(ctx, by, p, secret, false)
	return key, secret, err
}

// Bootstrap makes the first key, an administrator's, with this secret. Where there are keys already
// it does nothing.
func (k *Keyring) Bootstrap(ctx context.Context, secret string) error {
	if _, _, ok := parseSecret(secret); !ok {
		return errors.New("it has no secret of a key: itk_…, as \"internaltransfers keys create\" prints it")
	}
	_, err := k.insert(ctx, nil, Params{Name: "first administrator", Role: RoleAdmin}, secret, true)
	return err
}

// insert adds a key with this secret. With first it does so only while there are none.
func (k *Keyring) insert(ctx context.Context, by *Caller, p Params, secret string, first bool) (key Key, err error) {
	if err := p.check(by, time.Now()); err != nil {
		return Key{}, err
	}
	id, hash, _ := parseSecret(secret)
	err = k.change(ctx, func(tx pgx.Tx) error {
		there, err := k.queries.ApiKeysState(ctx, tx)
		switch {
		case err != nil:
			return fmt.Errorf("count the keys: %w", err)
		case first && there.UsableCount > 0:
			return nil
		case there.UsableCount >= keysMax:
			return &ledger.StateError{
				Kind: "api_key", ID: id, Reason: "TOO_MANY_KEYS", Detail: fmt.Sprintf("there are %d keys already; revoke some", keysMax),
			}
		}
		grants, err := encodeGrants(p.Grants)
		if err != nil {
			return err
		}
		_, err = k.queries.ApiKeyInsert(ctx, tx, db.ApiKeyInsertParams{
			ApiKeyID: id, DisplayName: p.Name, Role: p.Role, Grants: grants, Networks: listOf(p.Networks),
			SecretHash: hash[:], ExpireTime: p.ExpireTime,
		})
		if err != nil {
			return fmt.Errorf("add the key: %w", err)
		}
		key, err = k.get(ctx, tx, id)
		return err
	})
	return key, err
}

// Get reads a key. The error is a NotFoundError when there is none.
func (k *Keyring) Get(ctx context.Context, id uuid.UUID) (Key, error) {
	key, err := k.get(ctx, k.pool, id)
	if err != nil {
		return Key{}, durable.ChangeError(ctx, "read a key", err)
	}
	return key, nil
}

func (k *Keyring) get(ctx context.Context, conn db.DBTX, id uuid.UUID) (Key, error) {
	row, err := k.queries.ApiKeyGet(ctx, conn, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return Key{}, &ledger.NotFoundError{Kind: "api_key", ID: id}
	}
	if err != nil {
		return Key{}, fmt.Errorf("read the key: %w", err)
	}
	return keyOf(&row.ApiKey)
}

// List reads keys, newest first, and returns the token of the next page; empty: this is the last.
func (k *Keyring) List(ctx context.Context, pageSize int32, token string) ([]Key, string, error) {
	if pageSize == 0 {
		pageSize = pageDefault
	}
	pageSize = min(pageSize, pageMax)
	before := uuid.Max
	if token != "" {
		var err error
		if before, err = uuid.Parse(token); err != nil {
			return nil, "", ledger.ErrPageToken
		}
	}
	rows, err := k.queries.ApiKeyList(ctx, k.pool, db.ApiKeyListParams{BeforeID: before, RowLimit: pageSize + 1})
	if err != nil {
		return nil, "", durable.ReadError(ctx, "list the keys", err)
	}
	next := ""
	if len(rows) > int(pageSize) {
		rows = rows[:pageSize]
		next = rows[pageSize-1].ApiKey.ApiKeyID.String()
	}
	list := make([]Key, 0, len(rows))
	for i := range rows {
		key, err := keyOf(&rows[i].ApiKey)
		if err != nil {
			return nil, "", err
		}
		list = append(list, key)
	}
	return list, next, nil
}

// Update changes a key as a whole. expected is the version that the caller has seen; 0: any.
func (k *Keyring) Update(ctx context.Context, by *Caller, id uuid.UUID, p Params, expected int64) (key Key, err error) {
	if err := p.check(by, time.Now()); err != nil {
		return Key{}, err
	}
	grants, err := encodeGrants(p.Grants)
	if err != nil {
		return Key{}, err
	}
	err = k.changeKey(ctx, id, func(tx pgx.Tx, before Key) error {
		if expected != 0 && expected != before.Version {
			return &ledger.VersionError{Kind: "api_key", ID: id, Expected: expected, Actual: before.Version}
		}
		if before.RevokeTime != nil {
			return revokedError(id)
		}
		if by != nil && by.KeyID == id && !sameRights(&before.Params, &p) {
			return &ledger.StateError{
				Kind: "api_key", ID: id, Reason: "OWN_KEY", Detail: "nobody changes what their own key may do; use another one",
			}
		}
		_, err := k.queries.ApiKeyUpdate(ctx, tx, db.ApiKeyUpdateParams{
			ApiKeyID: id, DisplayName: p.Name, Role: p.Role, Grants: grants, Networks: listOf(p.Networks), ExpireTime: p.ExpireTime,
		})
		if err != nil {
			return fmt.Errorf("change the key: %w", err)
		}
		if key, err = k.get(ctx, tx, id); err != nil {
			return err
		}
		return k.requireAdmin(ctx, tx, &before)
	})
	return key, err
}

// Rotate gives a key a new secret, which it returns. The old one is taken too until overlap is
// over.
func (k *Keyring) Rotate(ctx context.Context, id uuid.UUID, overlap time.Duration) (key Key, secret string, err error) {
	secret = newSecret(id)
	_, hash, _ := parseSecret(secret)
	err = k.changeKey(ctx, id, func(tx pgx.Tx, before Key) error {
		if before.RevokeTime != nil {
			return revokedError(id)
		}
		_, err := k.queries.ApiKeyRotate(ctx, tx, db.ApiKeyRotateParams{
			ApiKeyID: id, SecretHash: hash[:], OverlapMicros: overlap.Microseconds(),
		})
		if err != nil {
			return fmt.Errorf("rotate the key: %w", err)
		}
		key, err = k.get(ctx, tx, id)
		return err
	})
	return key, secret, err
}

// Revoke ends a key for good. A key that was revoked before stays as it is.
func (k *Keyring) Revoke(ctx context.Context, id uuid.UUID) (key Key, err error) {
	err = k.changeKey(ctx, id, func(tx pgx.Tx, before Key) error {
		if key = before; before.RevokeTime != nil {
			return nil
		}
		if _, err := k.queries.ApiKeyRevoke(ctx, tx, id); err != nil {
			return fmt.Errorf("revoke the key: %w", err)
		}
		if key, err = k.get(ctx, tx, id); err != nil {
			return err
		}
		return k.requireAdmin(ctx, tx, &before)
	})
	return key, err
}

// changeKey changes a key in a transaction of its own.
func (k *Keyring) changeKey(ctx context.Context, id uuid.UUID, f func(tx pgx.Tx, before Key) error) error {
	return k.change(ctx, func(tx pgx.Tx) error {
		before, err := k.get(ctx, tx, id)
		if err != nil {
			return err
		}
		return f(tx, before)
	})
}

// change changes keys in one transaction at a time, and makes the change known here at once.
func (k *Keyring) change(ctx context.Context, f func(tx pgx.Tx) error) error {
	err := pgx.BeginTxFunc(ctx, k.pool, pgx.TxOptions{}, func(tx pgx.Tx) error {
		if err := k.queries.ApiKeysLock(ctx, tx); err != nil {
			return fmt.Errorf("lock the keys: %w", err)
		}
		return f(tx)
	})
	if err != nil {
		return durable.ChangeError(ctx, "change a key", err)
	}
	if err := k.refresh(context.WithoutCancel(ctx)); err != nil {
		k.logger.WarnContext(ctx, "a change of keys takes effect later", "error", err)
	}
	return nil
}

// requireAdmin fails when a change has taken the last key away that may change keys.
func (k *Keyring) requireAdmin(ctx context.Context, tx pgx.Tx, before *Key) error {
	if byRole, byGrants, _ := before.permissions(); !(byRole | byGrants).Has(KeysAdmin) {
		return nil
	}
	rows, err := k.queries.ApiKeysUsable(ctx, tx, keysMax)
	if err != nil {
		return fmt.Errorf("look for another administrator: %w", err)
	}
	for i := range rows {
		row := &rows[i].ApiKey
		caller, err := callerOf(row)
		if err == nil && caller.Permissions.Has(KeysAdmin) && (row.ExpireTime == nil || row.ExpireTime.After(time.Now())) {
			return nil
		}
	}
	return &ledger.StateError{
		Kind: "api_key", ID: before.ID, Reason: "LAST_ADMIN", Detail: "it is the last key with keys.admin; make another one first",
	}
}

func revokedError(id uuid.UUID) error {
	return &ledger.StateError{Kind: "api_key", ID: id, Reason: "KEY_REVOKED", Detail: "it was revoked"}
}

// sameRights reports whether only names differ.
func sameRights(a, b *Params) bool {
	before, err := json.Marshal([]any{a.Role, listOf(a.Grants), listOf(a.Networks), a.ExpireTime})
	after, err2 := json.Marshal([]any{b.Role, listOf(b.Grants), listOf(b.Networks), b.ExpireTime})
	return err == nil && err2 == nil && string(before) == string(after)
}

func encodeGrants(grants []Grant) (json.RawMessage, error) {
	text, err := json.Marshal(listOf(grants))
	if err != nil {
		return nil, fmt.Errorf("encode the grants: %w", err)
	}
	return text, nil
}

// listOf returns an empty list for nil: NULL and null are neither.
func listOf[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
