package postgres

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/internal/events"
	"internaltransfers/internal/paging"
	"internaltransfers/ledger"
)

// WebhookStatus says whether events are delivered to an endpoint. The names are those of
// transfers.v1.WebhookEndpoint.Status.
type WebhookStatus string

// The statuses of a webhook endpoint.
const (
	WebhookEnabled  WebhookStatus = "ENABLED"
	WebhookDisabled WebhookStatus = "DISABLED" // events wait
	WebhookDeleted  WebhookStatus = "DELETED"  // final
)

const (
	webhooksMax            = 100 // endpoints that are not deleted
	webhookURLMax          = 2048
	webhookDescriptionMax  = 200
	webhookSecretBytes     = 32
	webhookOverlapMax      = 30 * 24 * time.Hour
	webhookFilterMax       = 100 // accounts or currencies in a filter
	webhookKind            = "endpoint"
	webhookTooMany         = "TOO_MANY_ENDPOINTS"
	webhookDeletedReason   = "ENDPOINT_DELETED"
	webhookTooManyPendings = "TOO_MANY_PENDING_DELIVERIES"
)

// A WebhookEndpoint is a URL to which events are posted.
type WebhookEndpoint struct {
	ID              uuid.UUID
	URL             string
	Description     string
	Filter          events.Filter // of Types, AccountIDs, Currencies and Statuses only
	Status          WebhookStatus
	Cursor          int64      // every event up to here was delivered, or is among the deliveries
	Pending         int64      // deliveries that are to be tried, or wait behind such ones
	Dead            int64      // deliveries that failed for good
	LastSuccess     *time.Time // nil: never
	LastFailure     *time.Time // nil: never
	Failure         string     // why the last attempt that failed did
	OldSecretExpire *time.Time // until when the secret before signs too; nil: it does not
	CreateTime      time.Time
	UpdateTime      time.Time
}

// WebhookParams is what an endpoint is made with.
type WebhookParams struct {
	ID          uuid.UUID // the idempotency key; uuid.Nil: a version 7 id is made
	URL         string    // at most 2,048 bytes; its form is the caller's to check
	Description string    // at most 200 characters
	Filter      events.Filter
}

// WebhookChange is what an endpoint becomes.
type WebhookChange struct {
	ID          uuid.UUID
	URL         string
	Description string
	Filter      events.Filter
	Disabled    bool
}

// A webhookFilter is an EventFilter as it is stored.
type webhookFilter struct {
	Types      []events.Type           `json:"types,omitempty"`
	AccountIDs []uuid.UUID             `json:"account_ids,omitempty"`
	Currencies []string                `json:"currencies,omitempty"`
	Statuses   []ledger.TransferStatus `json:"statuses,omitempty"`
}

// encodeFilter encodes a filter in one spelling, or returns an InvalidError.
func encodeFilter(f *events.Filter) (json.RawMessage, error) {
	if len(f.AccountIDs) > webhookFilterMax || len(f.Currencies) > webhookFilterMax {
		return nil, &ledger.InvalidError{Field: "filter", Reason: fmt.Sprintf("must have at most %d accounts and currencies", webhookFilterMax)}
	}
	for _, c := range f.Currencies {
		if err := ledger.CheckText("filter.currencies", c); err != nil {
			return nil, err
		}
	}
	return json.Marshal(webhookFilter{
		Types: sorted(f.Types), Currencies: sorted(f.Currencies), Statuses: sorted(f.Statuses),
		AccountIDs: slices.CompactFunc(slices.SortedFunc(slices.Values(f.AccountIDs), ledger.CompareIDs),
			func(a, b uuid.UUID) bool { return a == b }),
	})
}

// sorted returns the values in order, each once.
func sorted[T cmp.Ordered](values []T) []T {
	return slices.Compact(slices.Sorted(slices.Values(values)))
}

func decodeFilter(text json.RawMessage) (events.Filter, error) {
	var f webhookFilter
	if err := json.Unmarshal(text, &f); err != nil {
		return events.Filter{}, fmt.Errorf("decode a filter: %w", err)
	}
	return events.Filter{Types: f.Types, AccountIDs: f.AccountIDs, Currencies: f.Currencies, Statuses: f.Statuses}, nil
}

// checkWebhook returns an InvalidError for what no endpoint can have.
func checkWebhook(url, description string) error {
	if err := errors.Join(ledger.CheckText("url", url), ledger.CheckText("description", description)); err != nil {
		return err
	}
	switch {
	case url == "" || len(url) > webhookURLMax:
		return &ledger.InvalidError{Field: "url", Reason: fmt.Sprintf("must be 1 to %d bytes", webhookURLMax)}
	case utf8.RuneCountInString(description) > webhookDescriptionMax:
		return &ledger.InvalidError{Field: "description", Reason: fmt.Sprintf("must be at most %d characters", webhookDescriptionMax)}
	}
	return nil
}

func newWebhookSecret() []byte {
	secret := make([]byte, webhookSecretBytes)
	_, _ = rand.Read(secret) // never fails
	return secret
}

// CreateWebhook makes an endpoint, to which events from now on are delivered, and returns its
// secret. When one was made before under the id with the same fields, it returns that one as it is
// now, without a secret; with other fields the error is a ConflictError. Too many endpoints are a
// StateError.
func (l *Ledger) CreateWebhook(ctx context.Context, p WebhookParams) (e WebhookEndpoint, secret []byte, err error) {
	if err := checkWebhook(p.URL, p.Description); err != nil {
		return WebhookEndpoint{}, nil, err
	}
	if p.ID == uuid.Nil {
		p.ID = uuid.Must(uuid.NewV7())
	}
	filter, err := encodeFilter(&p.Filter)
	if err != nil {
		return WebhookEndpoint{}, nil, err
	}
	fingerprint := ledger.FingerprintOf([]any{p.URL, p.Description, filter})
	if e, known, err := l.knownWebhook(ctx, p.ID, fingerprint); known || err != nil {
		return e, nil, err
	}
	from, err := l.Events.Last(ctx)
	if err != nil {
		return WebhookEndpoint{}, nil, err
	}
	secret = newWebhookSecret()
	inserted, err := l.queries.WebhookInsert(ctx, l.pool, db.WebhookInsertParams{
		EndpointID: p.ID, URL: p.URL, Description: p.Description, Filter: filter, Secret: secret, CursorPosition: from,
		Fingerprint: fingerprint, EndpointsMax: webhooksMax,
	})
	if err != nil {
		return WebhookEndpoint{}, nil, durable.ReadError(ctx, "make an endpoint", err)
	}
	if inserted > 0 {
		e, err = l.GetWebhook(ctx, p.ID)
		return e, secret, err
	}
	// Another call was faster, or there are too many.
	e, known, err := l.knownWebhook(ctx, p.ID, fingerprint)
	if !known && err == nil {
		err = &ledger.StateError{Kind: webhookKind, ID: p.ID, Reason: webhookTooMany, Detail: fmt.Sprintf(
			"there are %d endpoints, and no more can be made until one is deleted", webhooksMax)}
	}
	return e, nil, err
}

// knownWebhook returns the endpoint that has the id already, or a ConflictError, and reports
// whether there is one.
func (l *Ledger) knownWebhook(ctx context.Context, id uuid.UUID, fingerprint []byte) (WebhookEndpoint, bool, error) {
	row, err := l.queries.WebhookGet(ctx, l.pool, id)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return WebhookEndpoint{}, false, nil
	case err != nil:
		return WebhookEndpoint{}, false, durable.ReadError(ctx, "look for the endpoint", err)
	case !bytes.Equal(row.WebhookEndpoint.CreateFingerprint, fingerprint):
		return WebhookEndpoint{}, true, &ledger.ConflictError{Kind: webhookKind, ID: id.String()}
	}
	if err := l.pool.Confirm(ctx); err != nil {
		return WebhookEndpoint{}, false, durable.ReadError(ctx, "confirm that there is the endpoint", err)
	}
	e, err := webhookOf(&row)
	return e, true, err
}

// GetWebhook reads an endpoint, a deleted one too; the error is a NotFoundError when there is none.
func (l *Ledger) GetWebhook(ctx context.Context, id uuid.UUID) (WebhookEndpoint, error) {
	row, err := l.queries.WebhookGet(ctx, l.pool, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return WebhookEndpoint{}, &ledger.NotFoundError{Kind: webhookKind, ID: id}
	}
	if err != nil {
		return WebhookEndpoint{}, durable.ReadError(ctx, "read an endpoint", err)
	}
	return webhookOf(&row)
}

// ListWebhooks lists the endpoints that are not deleted, newest first, and returns the token of the
// next page; empty: this is the last.
func (l *Ledger) ListWebhooks(ctx context.Context, page paging.Page) ([]WebhookEndpoint, string, error) {
	limit, err := page.Limit()
	if err != nil {
		return nil, "", err
	}
	before, err := l.tokens.Key("webhooks", nil, page.Token)
	if err != nil {
		return nil, "", err
	}
	if before == nil {
		before = &paging.Key{Time: ledger.TimeMax}
	}
	rows, err := l.queries.WebhookList(ctx, l.pool, db.WebhookListParams{
		BeforeTime: before.Time, BeforeID: before.ID, RowLimit: limit + 1,
	})
	if err != nil {
		return nil, "", durable.ReadError(ctx, "list endpoints", err)
	}
	size := func(r *db.WebhookListRow) int { return webhookSize(&r.WebhookEndpoint) }
	rows, next := paging.Trim(rows, limit, page, size, func(last *db.WebhookListRow) string {
		return l.tokens.Token("webhooks", nil, paging.Key{Time: last.WebhookEndpoint.CreateTime, ID: last.WebhookEndpoint.EndpointID})
	})
	endpoints := make([]WebhookEndpoint, 0, len(rows))
	for i := range rows {
		row := db.WebhookGetRow(rows[i])
		e, err := webhookOf(&row)
		if err != nil {
			return nil, "", err
		}
		endpoints = append(endpoints, e)
	}
	return endpoints, next, nil
}

// UpdateWebhook changes an endpoint as a whole. A deleted one is a StateError.
func (l *Ledger) UpdateWebhook(ctx context.Context, c WebhookChange) (WebhookEndpoint, error) {
	if err := checkWebhook(c.URL, c.Description); err != nil {
		return WebhookEndpoint{}, err
	}
	filter, err := encodeFilter(&c.Filter)
	if err != nil {
		return WebhookEndpoint{}, err
	}
	status := WebhookEnabled
	if c.Disabled {
		status = WebhookDisabled
	}
	return l.changeWebhook(ctx, c.ID, func(tx pgx.Tx) error {
		return l.queries.WebhookUpdate(ctx, tx, db.WebhookUpdateParams{
			EndpointID: c.ID, URL: c.URL, Description: c.Description, Filter: filter, Status: string(status),
		})
	})
}

// DeleteWebhook ends an endpoint permanently. One that is deleted stays as it is.
func (l *Ledger) DeleteWebhook(ctx context.Context, id uuid.UUID) (WebhookEndpoint, error) {
	err := l.pool.Change(ctx, durable.ReadCommitted, func(tx pgx.Tx) error { return l.queries.WebhookDelete(ctx, tx, id) })
	if err != nil {
		return WebhookEndpoint{}, durable.ReadError(ctx, "delete an endpoint", err)
	}
	return l.GetWebhook(ctx, id)
}

// RotateWebhookSecret gives an endpoint a new secret and returns it. Messages are signed with the
// old one too for the time of overlap, 0 to 30 days. A deleted endpoint is a StateError.
func (l *Ledger) RotateWebhookSecret(ctx context.Context, id uuid.UUID, overlap time.Duration) (WebhookEndpoint, []byte, error) {
	if overlap < 0 || overlap > webhookOverlapMax {
		return WebhookEndpoint{}, nil, &ledger.InvalidError{Field: "overlap", Reason: "must be 0 to 30 days"}
	}
	secret := newWebhookSecret()
	e, err := l.changeWebhook(ctx, id, func(tx pgx.Tx) error {
		return l.queries.WebhookRotate(ctx, tx, db.WebhookRotateParams{
			EndpointID: id, Secret: secret, KeepOld: overlap >= time.Microsecond, OverlapTime: interval(overlap),
		})
	})
	if err != nil {
		return WebhookEndpoint{}, nil, err
	}
	return e, secret, nil
}

// changeWebhook changes an endpoint under its row's lock: nothing is recorded of its deliveries
// meanwhile.
func (l *Ledger) changeWebhook(ctx context.Context, id uuid.UUID, change func(tx pgx.Tx) error) (WebhookEndpoint, error) {
	err := l.pool.Change(ctx, durable.ReadCommitted, func(tx pgx.Tx) error {
		status, err := l.queries.WebhookLock(ctx, tx, id)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return &ledger.NotFoundError{Kind: webhookKind, ID: id}
		case err != nil:
			return err
		case status == string(WebhookDeleted):
			return &ledger.StateError{Kind: webhookKind, ID: id, Reason: webhookDeletedReason, Detail: "it is deleted, for ever"}
		}
		return change(tx)
	})
	if err != nil {
		return WebhookEndpoint{}, durable.ChangeError(ctx, "change an endpoint", err)
	}
	return l.GetWebhook(ctx, id)
}

func webhookOf(r *db.WebhookGetRow) (WebhookEndpoint, error) {
	w := &r.WebhookEndpoint
	filter, err := decodeFilter(w.Filter)
	if err != nil {
		return WebhookEndpoint{}, fmt.Errorf("endpoint %s: %w", w.EndpointID, err)
	}
	e := WebhookEndpoint{
		ID: w.EndpointID, URL: w.URL, Description: w.Description, Filter: filter, Status: WebhookStatus(w.Status),
		Cursor: w.CursorPosition, Pending: r.PendingCount, Dead: r.DeadCount, LastSuccess: w.LastSuccessTime,
		LastFailure: w.LastFailureTime, Failure: w.LastFailure, CreateTime: w.CreateTime, UpdateTime: w.UpdateTime,
	}
	if r.Overlaps {
		e.OldSecretExpire = w.OldSecretExpireTime
	}
	return e, nil
}

// interval is a duration as the database takes it.
func interval(d time.Duration) pgtype.Interval {
	return pgtype.Interval{Microseconds: d.Microseconds(), Valid: true}
}
