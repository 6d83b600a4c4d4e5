// Package paging has what all lists share: the size of a page, and the token of the next one.
package paging

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"internaltransfers/ledger"
)

const (
	pageSizeDefault = 50
	pageSizeMax     = 1000
)

// A Page says which part of a list to return.
type Page struct {
	Size  int32  // 1 to 1,000; 0: 50
	Token string // of the page before; empty: the first page
	// Bytes is about how many bytes the items of the page may take when they are sent. The first
	// item is on the page whatever it takes. 0: any number.
	Bytes int
}

// A Key is where a page of a list ended: the sort key of its last item, of which each list uses
// what it sorts by.
type Key struct {
	Time     time.Time `json:"t,omitzero"`
	Position int64     `json:"p,omitempty"`
	ID       uuid.UUID `json:"i,omitzero"`
	Code     string    `json:"c,omitempty"`
}

// A Signer makes page tokens that no client can forge: the page key, and a MAC of it, the list
// and its filters. A token for one list is therefore invalid for another.
type Signer struct{ Secret []byte }

const macSize = 16 // bytes of HMAC-SHA-256; RFC 2104, section 5, allows half the hash

// Token encodes a page key. Statements keep more, in a type of their own.
func (s Signer) Token(list string, filter, place any) string {
	payload, err := json.Marshal(place)
	if err != nil {
		panic(err) // a page key always encodes
	}
	return base64.RawURLEncoding.EncodeToString(append(payload, s.mac(list, filter, payload)...))
}

// Key decodes the token, or returns ErrPageToken; nil for an empty token, which is that of the
// first page.
func (s Signer) Key(list string, filter any, token string) (*Key, error) {
	if token == "" {
		return nil, nil
	}
	p := &Key{}
	return p, s.Read(list, filter, token, p)
}

// Read decodes the token into place, or returns ErrPageToken.
func (s Signer) Read(list string, filter any, token string, place any) error {
	b, err := base64.RawURLEncoding.DecodeString(token)
	// The decoder ignores line breaks and the last character's spare bits; a token has one spelling
	// all the same.
	if err != nil || len(b) < macSize || base64.RawURLEncoding.EncodeToString(b) != token {
		return ledger.ErrPageToken
	}
	payload, mac := b[:len(b)-macSize], b[len(b)-macSize:]
	if !hmac.Equal(mac, s.mac(list, filter, payload)) {
		return ledger.ErrPageToken
	}
	if err := json.Unmarshal(payload, place); err != nil {
		return ledger.ErrPageToken
	}
	return nil
}

func (s Signer) mac(list string, filter any, payload []byte) []byte {
	// A JSON array keeps the parts apart, whatever is in them.
	b, err := json.Marshal([]any{list, filter, payload})
	if err != nil {
		panic(err) // filters are plain values
	}
	h := hmac.New(sha256.New, s.Secret)
	h.Write(b)
	return h.Sum(nil)[:macSize]
}

// Limit is the page's size, defaulted and checked.
func (p Page) Limit() (int32, error) {
	switch {
	case p.Size == 0:
		return pageSizeDefault, nil
	case p.Size < 0 || p.Size > pageSizeMax:
		return 0, &ledger.InvalidError{Field: "page_size", Reason: fmt.Sprintf("must be 0 to %d", pageSizeMax)}
	}
	return p.Size, nil
}

// Trim ends a page of rows that was read with one row too many: after limit rows, or before the
// row with which it would take more than page.Bytes. It returns the token of the next page, none
// when this is the last. size is about how many bytes a row takes when it is sent.
func Trim[T any](rows []T, limit int32, page Page, size func(row *T) int, token func(last *T) string) ([]T, string) {
	n := min(len(rows), int(limit))
	if page.Bytes > 0 {
		bytes := 0
		for i := range rows[:n] {
			if bytes += size(&rows[i]); bytes > page.Bytes {
				n = max(i, 1)
				break
			}
		}
	}
	if n == len(rows) {
		return rows, ""
	}
	return rows[:n], token(&rows[n-1])
}
