package webhook

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

// Status says whether events are delivered to an endpoint. The names are those of
// transfers.v1.WebhookEndpoint.Status.
type Status string

// The statuses of a webhook endpoint.
const (
	Enabled  Status = "ENABLED"
	Disabled Status = "DISABLED" // events wait
	Deleted  Status = "DELETED"  // final
)

// About how many bytes an endpoint and a delivery take that are not texts of the caller's.
const (
	endpointBytes = 512
	deliveryBytes = 128
)

const (
	endpointsMax     = 100 // endpoints that are not deleted
	urlMax           = 2048
	descriptionMax   = 200
	secretBytes      = 32
	overlapMax       = 30 * 24 * time.Hour
	filterMax        = 100 // accounts or currencies in a filter
	endpointKind     = "endpoint"
	tooManyEndpoints = "TOO_MANY_ENDPOINTS"
	endpointDeleted  = "ENDPOINT_DELETED"
	tooManyPending   = "TOO_MANY_PENDING_DELIVERIES"
)

// An Endpoint is a URL to which events are posted.
type Endpoint struct {
	ID              uuid.UUID
	URL             string
	Description     string
	Filter          events.Filter // of Types, AccountIDs, Currencies and Statuses only
	Status          Status
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

// A Store keeps the endpoints of a ledger, and their deliveries.
type Store struct {
	Pool   *durable.Pool
	Events *events.Stream
	Tokens paging.Signer // of pages
}

// Params is what an endpoint is made with.
type Params struct {
	ID          uuid.UUID // the idempotency key; uuid.Nil: a version 7 id is made
	URL         string    // at most 2,048 bytes; its form is the caller's to check
	Description string    // at most 200 characters
	Filter      events.Filter
}

// Change is what an endpoint becomes.
type Change struct {
	ID          uuid.UUID
	URL         string
	Description string
	Filter      events.Filter
	Disabled    bool
}

// A storedFilter is an events.Filter as it is stored.
type storedFilter struct {
	Types      []events.Type           `json:"types,omitempty"`
	AccountIDs []uuid.UUID             `json:"account_ids,omitempty"`
	Currencies []string                `json:"currencies,omitempty"`
	Statuses   []ledger.TransferStatus `json:"statuses,omitempty"`
}

// encodeFilter encodes a filter in one spelling, or returns an InvalidError.
func encodeFilter(f *events.Filter) (json.RawMessage, error) {
	if len(f.AccountIDs) > filterMax || len(f.Currencies) > filterMax {
		return nil, &ledger.InvalidError{Field: "filter", Reason: fmt.Sprintf("must have at most %d accounts and currencies", filterMax)}
	}
	for _, c := range f.Currencies {
		if err := ledger.CheckText("filter.currencies", c); err != nil {
			return nil, err
		}
	}
	return json.Marshal(storedFilter{
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
	var f storedFilter
	if err := json.Unmarshal(text, &f); err != nil {
		return events.Filter{}, fmt.Errorf("decode a filter: %w", err)
	}
	return events.Filter{Types: f.Types, AccountIDs: f.AccountIDs, Currencies: f.Currencies, Statuses: f.Statuses}, nil
}

// checkEndpoint returns an InvalidError for what no endpoint can have.
func checkEndpoint(url, description string) error {
	if err := errors.Join(ledger.CheckText("url", url), ledger.CheckText("description", description)); err != nil {
		return err
	}
	switch {
	case url == "" || len(url) > urlMax:
		return &ledger.InvalidError{Field: "url", Reason: fmt.Sprintf("must be 1 to %d bytes", urlMax)}
	case utf8.RuneCountInString(description) > descriptionMax:
		return &ledger.InvalidError{Field: "description", Reason: fmt.Sprintf("must be at most %d characters", descriptionMax)}
	}
	return nil
}

func newSecret() []byte {
	secret := make([]byte, secretBytes)
	_, _ = rand.Read(secret) // never fails
	return secret
}

// Create makes an endpoint, to which events from now on are delivered, and returns its
// secret. When one was made before under the id with the same fields, it returns that one as it is
// now, without a secret; with other fields the error is a ConflictError. Too many endpoints are a
// StateError.
func (s *Store) Create(ctx context.Context, p Params) (e Endpoint, secret []byte, err error) {
	if err := checkEndpoint(p.URL, p.Description); err != nil {
		return Endpoint{}, nil, err
	}
	if p.ID == uuid.Nil {
		p.ID = uuid.Must(uuid.NewV7())
	}
	filter, err := encodeFilter(&p.Filter)
	if err != nil {
		return Endpoint{}, nil, err
	}
	fingerprint := ledger.FingerprintOf([]any{p.URL, p.Description, filter})
	if e, known, err := s.known(ctx, p.ID, fingerprint); known || err != nil {
		return e, nil, err
	}
	from, err := s.Events.Last(ctx)
	if err != nil {
		return Endpoint{}, nil, err
	}
	secret = newSecret()
	inserted, err := db.New().WebhookInsert(ctx, s.Pool, db.WebhookInsertParams{
		EndpointID: p.ID, URL: p.URL, Description: p.Description, Filter: filter, Secret: secret, CursorPosition: from,
		Fingerprint: fingerprint, EndpointsMax: endpointsMax,
	})
	if err != nil {
		return Endpoint{}, nil, durable.ReadError(ctx, "make an endpoint", err)
	}
	if inserted > 0 {
		e, err = s.Get(ctx, p.ID)
		return e, secret, err
	}
	// Another call was faster, or there are too many.
	e, known, err := s.known(ctx, p.ID, fingerprint)
	if !known && err == nil {
		err = &ledger.StateError{Kind: endpointKind, ID: p.ID, Reason: tooManyEndpoints, Detail: fmt.Sprintf(
			"there are %d endpoints, and no more can be made until one is deleted", endpointsMax)}
	}
	return e, nil, err
}

// known returns the endpoint that has the id already, or a ConflictError, and reports
// whether there is one.
func (s *Store) known(ctx context.Context, id uuid.UUID, fingerprint []byte) (Endpoint, bool, error) {
	row, err := db.New().WebhookGet(ctx, s.Pool, id)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Endpoint{}, false, nil
	case err != nil:
		return Endpoint{}, false, durable.ReadError(ctx, "look for the endpoint", err)
	case !bytes.Equal(row.WebhookEndpoint.CreateFingerprint, fingerprint):
		return Endpoint{}, true, &ledger.ConflictError{Kind: endpointKind, ID: id.String()}
	}
	if err := s.Pool.Confirm(ctx); err != nil {
		return Endpoint{}, false, durable.ReadError(ctx, "confirm that there is the endpoint", err)
	}
	e, err := endpointOf(&row)
	return e, true, err
}

// Get reads an endpoint, a deleted one too; the error is a NotFoundError when there is none.
func (s *Store) Get(ctx context.Context, id uuid.UUID) (Endpoint, error) {
	row, err := db.New().WebhookGet(ctx, s.Pool, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return Endpoint{}, &ledger.NotFoundError{Kind: endpointKind, ID: id}
	}
	if err != nil {
		return Endpoint{}, durable.ReadError(ctx, "read an endpoint", err)
	}
	return endpointOf(&row)
}

// List lists the endpoints that are not deleted, newest first, and returns the token of the
// next page; empty: this is the last.
func (s *Store) List(ctx context.Context, page paging.Page) ([]Endpoint, string, error) {
	limit, err := page.Limit()
	if err != nil {
		return nil, "", err
	}
	before, err := s.Tokens.Key("webhooks", nil, page.Token)
	if err != nil {
		return nil, "", err
	}
	if before == nil {
		before = &paging.Key{Time: ledger.TimeMax}
	}
	rows, err := db.New().WebhookList(ctx, s.Pool, db.WebhookListParams{
		BeforeTime: before.Time, BeforeID: before.ID, RowLimit: limit + 1,
	})
	if err != nil {
		return nil, "", durable.ReadError(ctx, "list endpoints", err)
	}
	size := func(r *db.WebhookListRow) int { return endpointSize(&r.WebhookEndpoint) }
	rows, next := paging.Trim(rows, limit, page, size, func(last *db.WebhookListRow) string {
		return s.Tokens.Token("webhooks", nil, paging.Key{Time: last.WebhookEndpoint.CreateTime, ID: last.WebhookEndpoint.EndpointID})
	})
	endpoints := make([]Endpoint, 0, len(rows))
	for i := range rows {
		row := db.WebhookGetRow(rows[i])
		e, err := endpointOf(&row)
		if err != nil {
			return nil, "", err
		}
		endpoints = append(endpoints, e)
	}
	return endpoints, next, nil
}

// Update changes an endpoint as a whole. A deleted one is a StateError.
func (s *Store) Update(ctx context.Context, c Change) (Endpoint, error) {
	if err := checkEndpoint(c.URL, c.Description); err != nil {
		return Endpoint{}, err
	}
	filter, err := encodeFilter(&c.Filter)
	if err != nil {
		return Endpoint{}, err
	}
	status := Enabled
	if c.Disabled {
		status = Disabled
	}
	return s.change(ctx, c.ID, func(tx pgx.Tx) error {
		return db.New().WebhookUpdate(ctx, tx, db.WebhookUpdateParams{
			EndpointID: c.ID, URL: c.URL, Description: c.Description, Filter: filter, Status: string(status),
		})
	})
}

// Delete ends an endpoint permanently. One that is deleted stays as it is.
func (s *Store) Delete(ctx context.Context, id uuid.UUID) (Endpoint, error) {
	err := s.Pool.Change(ctx, durable.ReadCommitted, func(tx pgx.Tx) error { return db.New().WebhookDelete(ctx, tx, id) })
	if err != nil {
		return Endpoint{}, durable.ReadError(ctx, "delete an endpoint", err)
	}
	return s.Get(ctx, id)
}

// RotateSecret gives an endpoint a new secret and returns it. Messages are signed with the
// old one too for the time of overlap, 0 to 30 days. A deleted endpoint is a StateError.
func (s *Store) RotateSecret(ctx context.Context, id uuid.UUID, overlap time.Duration) (Endpoint, []byte, error) {
	if overlap < 0 || overlap > overlapMax {
		return Endpoint{}, nil, &ledger.InvalidError{Field: "overlap", Reason: "must be 0 to 30 days"}
	}
	secret := newSecret()
	e, err := s.change(ctx, id, func(tx pgx.Tx) error {
		return db.New().WebhookRotate(ctx, tx, db.WebhookRotateParams{
			EndpointID: id, Secret: secret, KeepOld: overlap >= time.Microsecond, OverlapTime: interval(overlap),
		})
	})
	if err != nil {
		return Endpoint{}, nil, err
	}
	return e, secret, nil
}

// change changes an endpoint under its row's lock: nothing is recorded of its deliveries
// meanwhile.
func (s *Store) change(ctx context.Context, id uuid.UUID, change func(tx pgx.Tx) error) (Endpoint, error) {
	err := s.Pool.Change(ctx, durable.ReadCommitted, func(tx pgx.Tx) error {
		status, err := db.New().WebhookLock(ctx, tx, id)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return &ledger.NotFoundError{Kind: endpointKind, ID: id}
		case err != nil:
			return err
		case status == string(Deleted):
			return &ledger.StateError{Kind: endpointKind, ID: id, Reason: endpointDeleted, Detail: "it is deleted, for ever"}
		}
		return change(tx)
	})
	if err != nil {
		return Endpoint{}, durable.ChangeError(ctx, "change an endpoint", err)
	}
	return s.Get(ctx, id)
}

func endpointOf(r *db.WebhookGetRow) (Endpoint, error) {
	w := &r.WebhookEndpoint
	filter, err := decodeFilter(w.Filter)
	if err != nil {
		return Endpoint{}, fmt.Errorf("endpoint %s: %w", w.EndpointID, err)
	}
	e := Endpoint{
		ID: w.EndpointID, URL: w.URL, Description: w.Description, Filter: filter, Status: Status(w.Status),
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

// endpointSize is about how many bytes an endpoint takes when it is sent.
func endpointSize(r *db.WebhookEndpoint) int {
	return endpointBytes + len(r.URL) + len(r.Description) + len(r.Filter) + len(r.LastFailure)
}
