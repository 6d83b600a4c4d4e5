package webhook

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"internaltransfers/internal/events"
)

const (
	attemptTimeout = 15 * time.Second // of one attempt, including its response
	dialTimeout    = 5 * time.Second
	answerBytesMax = 64 << 10 // bytes of a body that are read, so that its connection can be reused
	headerBytesMax = 64 << 10
	failureMax     = 200 // characters of an attempt's failure
	userAgent      = "internaltransfers"
)

// SecretText returns a secret in the form that receivers take.
func SecretText(secret []byte) string { return "whsec_" + base64.StdEncoding.EncodeToString(secret) }

// MessageID returns the webhook-id of the event at a position.
func MessageID(position int64) string { return "evt_" + strconv.FormatInt(position, 10) }

// A payload is the body of a message.
type payload struct {
	Type      string          `json:"type"`
	Timestamp time.Time       `json:"timestamp"`
	Data      json.RawMessage `json:"data"`
}

// A sender posts events.
type sender struct {
	client *http.Client
	encode func(*events.Event) ([]byte, error)
}

// newSender returns a sender that follows no redirect, and goes through the proxy, if there is one.
// It does not take one from the environment: HTTP_PROXY is set for other programs, and would carry
// requests past the check of their addresses.
func newSender(proxy *url.URL, allowPrivate bool, encode func(*events.Event) ([]byte, error)) *sender {
	dial := newDialer(allowPrivate).DialContext
	if proxy != nil {
		dial = newTunneler(proxy, allowPrivate).dial
	}
	return &sender{encode: encode, client: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
		Transport: &http.Transport{
			DialContext:            dial,
			TLSHandshakeTimeout:    dialTimeout,
			MaxIdleConns:           1024,
			MaxIdleConnsPerHost:    freshMax + triedMax,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: headerBytesMax,
			DisableCompression:     true, // so that the limit on reading bounds what came
			ForceAttemptHTTP2:      true,
		},
	}}
}

// close closes the idle connections.
func (s *sender) close() { s.client.CloseIdleConnections() }

// send posts an event once. It returns why that failed; empty: it did not. gone: the endpoint wants
// no more events.
func (s *sender) send(ctx context.Context, to string, secrets [][]byte, e *events.Event) (failure string, gone bool) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	request, err := s.request(ctx, to, secrets, e)
	if err != nil {
		return failureText(err), false
	}
	response, err := s.client.Do(request)
	if err != nil {
		return failureText(err), false
	}
	defer func() { _ = response.Body.Close() }()
	// The rest of the body does not matter: the status has come.
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, answerBytesMax))
	if response.StatusCode >= 200 && response.StatusCode <= 299 {
		return "", false
	}
	return fmt.Sprintf("the answer had status %d", response.StatusCode), response.StatusCode == http.StatusGone
}

// request makes the message of an event, signed with each secret.
func (s *sender) request(ctx context.Context, to string, secrets [][]byte, e *events.Event) (*http.Request, error) {
	data, err := s.encode(e)
	if err != nil {
		return nil, fmt.Errorf("encode the event: %w", err)
	}
	body, err := json.Marshal(payload{
		Type:      strings.ReplaceAll(strings.ToLower(string(e.Type)), "_", "."),
		Timestamp: e.Time.UTC(), Data: data,
	})
	if err != nil {
		return nil, fmt.Errorf("encode the event: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	id, now := MessageID(e.Position), time.Now() // the receiver compares it with its own clock
	signatures := make([]string, 0, len(secrets))
	for _, secret := range secrets {
		signer, err := standardwebhooks.NewWebhookRaw(secret)
		if err != nil {
			return nil, err
		}
		signature, err := signer.Sign(id, now, body)
		if err != nil {
			return nil, err
		}
		signatures = append(signatures, signature)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", userAgent)
	request.Header.Set(standardwebhooks.HeaderWebhookID, id)
	request.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	request.Header.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	return request, nil
}

// idleClosed is the text of net/http's error when a server closes a connection before it has a
// request.
const idleClosed = "http: server closed idle connection"

// failureText returns why an attempt failed, in one short line that can be stored. It has no
// address but that of the URL.
func failureText(err error) string {
	var (
		wrapped *url.Error
		dns     *net.DNSError
		op      *net.OpError
		proxy   proxyError
	)
	if errors.As(err, &wrapped) {
		err = wrapped.Err // without the URL, which is known and may have secrets of its own
	}
	switch {
	case errors.Is(err, errPrivate):
		return errPrivate.Error()
	case errors.As(err, &proxy):
		return proxy.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "there was no answer in time"
	case errors.As(err, &dns) && dns.IsNotFound:
		return "the host is not known"
	case errors.As(err, &dns):
		return "the host's name could not be resolved"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), err.Error() == idleClosed:
		return "the connection was closed before a response"
	case errors.As(err, &op) && op.Timeout():
		return "there was no answer in time"
	case errors.As(err, &op):
		err = op.Err
	}
	text := []rune(strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, err.Error()), "?"))
	return string(text[:min(len(text), failureMax)])
}
