package server

import (
	"context"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	transfersv1 "internaltransfers/gen/transfers/v1"
)

const (
	// bucketsMax bounds the memory of the rate limits, 150 bytes each. Whoever was not heard of for
	// longest is forgotten, and begins with a full bucket.
	bucketsMax = 1 << 16
	// itemsPerCall is how many items of a batch, or rows of a page, cost as much as a call.
	itemsPerCall = 100
)

// A bucketKey is whom a rate limit counts: a key, or an address without one.
type bucketKey struct {
	key     uuid.UUID
	network netip.Prefix // where there is no key: an IPv4 address, or a /64 of IPv6
}

// A rateLimiter has a token bucket for each sender.
type rateLimiter struct {
	perSecond rate.Limit
	burst     int
	buckets   *lru.Cache[bucketKey, *rate.Limiter]
}

// newRateLimiter returns nil where there is no limit.
func newRateLimiter(perSecond float64, burst int) (*rateLimiter, error) {
	if perSecond == 0 {
		return nil, nil //nolint:nilnil // no limit is a value
	}
	buckets, err := lru.New[bucketKey, *rate.Limiter](bucketsMax)
	if err != nil {
		return nil, err
	}
	if burst == 0 {
		burst = int(math.Ceil(2 * perSecond))
	}
	return &rateLimiter{perSecond: rate.Limit(perSecond), burst: burst, buckets: buckets}, nil
}

// bucketOf returns whom a call is counted for.
func bucketOf(c *call) bucketKey {
	if c.caller != nil {
		return bucketKey{key: c.caller.KeyID}
	}
	bits := c.address.BitLen()
	if c.address.Is6() {
		bits = 64 // what one customer usually has
	}
	network, err := c.address.Prefix(bits)
	if err != nil {
		return bucketKey{} // an address that is not known; all of these share a bucket
	}
	return bucketKey{network: network}
}

// take takes tokens from a sender's bucket. Otherwise it returns a rateError.
func (l *rateLimiter) take(from bucketKey, tokens int) error {
	bucket, ok := l.buckets.Get(from)
	if !ok {
		bucket = rate.NewLimiter(l.perSecond, l.burst)
		if earlier, there, _ := l.buckets.PeekOrAdd(from, bucket); there {
			bucket = earlier
		}
	}
	now := time.Now()
	if bucket.AllowN(now, tokens) {
		return nil
	}
	missing := float64(min(tokens, l.burst)) - bucket.TokensAt(now)
	return &rateError{limit: l, after: time.Duration(missing / float64(l.perSecond) * float64(time.Second))}
}

// A rateError says that a sender has made too many calls.
type rateError struct {
	limit *rateLimiter
	after time.Duration // until the call can be made
}

func (e *rateError) Error() string {
	return "too many calls: " + strconv.FormatFloat(float64(e.limit.perSecond), 'g', -1, 64) + " a second are allowed, " +
		strconv.Itoa(e.limit.burst) + " at once; retry in " + e.after.Round(time.Millisecond).String()
}

// setHeaders tells clients about the limit: Retry-After of RFC 9110, and the RateLimit fields of
// draft-ietf-httpapi-ratelimit-headers-03, which most clients know.
func (e *rateError) setHeaders(h http.Header) {
	seconds := strconv.Itoa(int(math.Ceil(e.after.Seconds())))
	h.Set("Retry-After", seconds)
	h.Set("RateLimit-Limit", strconv.Itoa(e.limit.burst))
	h.Set("RateLimit-Remaining", "0")
	h.Set("RateLimit-Reset", seconds)
}

func (e *rateError) connectError() *connect.Error {
	failed := newError(connect.CodeResourceExhausted, e, info("RATE_LIMITED", nil), retry(e.after))
	e.setHeaders(failed.Meta())
	return failed
}

// countCall takes a token for a call, before its body is read. Refused credentials count too.
func (s *Server) countCall(c *call) error {
	if s.rates == nil {
		return nil
	}
	return s.rates.take(bucketOf(c), 1)
}

// countItems takes tokens for the items of a batch and the rows of a page.
func (s *Server) countItems(ctx context.Context, request any) error {
	if s.rates == nil {
		return nil
	}
	tokens := 0
	switch req := request.(type) {
	case interface{ GetPageSize() int32 }:
		tokens = int(req.GetPageSize()) / itemsPerCall
	case interface {
		GetTransfers() []*transfersv1.CreateTransferRequest
	}:
		tokens = len(req.GetTransfers()) / itemsPerCall
	case interface{ GetAccountIds() []string }:
		tokens = len(req.GetAccountIds()) / itemsPerCall
	}
	if tokens == 0 {
		return nil
	}
	// A call that is larger than the bucket waits for a full one.
	return s.rates.take(bucketOf(callOf(ctx)), min(tokens, s.rates.burst))
}
