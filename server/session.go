package server

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"internaltransfers/internal/access"
)

// sessionCookie is the cookie of a session of the console. Browsers send one with this prefix to
// this very host only, and only take it over TLS or on the machine itself.
const sessionCookie = "__Host-internaltransfers"

const (
	sessionPath     = "/session"
	sessionBytesMax = 4 << 10
)

// openSession turns a key that was typed into the console into a session, which the browser keeps
// where no script can read it.
func (s *Server) openSession(w http.ResponseWriter, r *http.Request) {
	secret, err := sessionSecret(r)
	if err == nil && s.config.AuthRequired {
		c := callOf(r.Context())
		if _, err = s.keys.Authenticate(r.Context(), secret, c.address); err != nil {
			if limited := s.countCall(c); limited != nil {
				err = limited
			}
		}
	}
	if err != nil {
		refuseCaller(w, r, err)
		return
	}
	ends := time.Now().Add(s.config.SessionTTL)
	if s.config.AuthRequired {
		s.setSession(w, s.keys.OpenSession(secret, ends), ends)
	}
	w.WriteHeader(http.StatusNoContent)
}

// sessionSecret reads the body {"key": "itk_…"}. A form of another page cannot send its type
// without a preflight.
func sessionSecret(r *http.Request) (string, error) {
	if !isJSON(r.Header.Get("Content-Type")) {
		return "", newError(connect.CodeInvalidArgument, errors.New("send application/json"), info("UNSUPPORTED_MEDIA_TYPE", nil))
	}
	var body struct {
		Key string `json:"key"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, sessionBytesMax)).Decode(&body); err != nil {
		return "", invalidField("key", `the body must be {"key": "itk_…"}`)
	}
	if body.Key == "" {
		return "", access.ErrMissing
	}
	return body.Key, nil
}

// closeSession forgets the session in this browser.
func (s *Server) closeSession(w http.ResponseWriter, _ *http.Request) {
	s.setSession(w, "", time.Unix(1, 0))
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) setSession(w http.ResponseWriter, value string, ends time.Time) {
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: value, Path: "/", Expires: ends, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}
