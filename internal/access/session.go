package access

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/google/uuid"
)

// A session is a key that was typed into the console. Its text is kept by the browser in a cookie
// that pages cannot read: the key's id, the hash of its secret, and when it ends, signed. So every
// server can verify it and none remembers it. It ends when the key changes its secret or is
// revoked.
const sessionLength = len(uuid.UUID{}) + sha256.Size + 8 + sha256.Size

// sessionKey derives the key that signs sessions from the ledger's own secret.
func sessionKey(secret []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("session of the console"))
	return mac.Sum(nil)
}

// OpenSession returns the text of a session with a key, until ends.
func (k *Keyring) OpenSession(secret string, ends time.Time) string {
	id, hash, _ := parseSecret(secret)
	body := append(append(id[:], hash[:]...), binary.BigEndian.AppendUint64(nil, uint64(ends.Unix()))...)
	return base64.RawURLEncoding.EncodeToString(append(body, k.sign(body)...))
}

// Resume returns the caller of a session, and when it ends, with the key if that is earlier. The
// errors are those of Authenticate.
func (k *Keyring) Resume(ctx context.Context, session string, address netip.Addr) (c *Caller, ends time.Time, err error) {
	text, err := base64.RawURLEncoding.Strict().DecodeString(session)
	if err != nil || len(text) != sessionLength {
		return nil, ends, ErrInvalid
	}
	body, signature := text[:len(text)-sha256.Size], text[len(text)-sha256.Size:]
	if !hmac.Equal(signature, k.sign(body)) {
		return nil, ends, ErrInvalid
	}
	id, hash := uuid.UUID(body[:16]), [sha256.Size]byte(body[16:48])
	ends = time.Unix(int64(binary.BigEndian.Uint64(body[48:])), 0)
	if !time.Now().Before(ends) {
		return nil, ends, ErrExpired
	}
	if c, err = k.find(ctx, id, hash, address); err == nil && c.ExpireTime != nil && c.ExpireTime.Before(ends) {
		ends = *c.ExpireTime
	}
	return c, ends, err
}

func (k *Keyring) sign(body []byte) []byte {
	mac := hmac.New(sha256.New, k.session)
	mac.Write(body)
	return mac.Sum(nil)
}
