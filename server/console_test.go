package server_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"internaltransfers/server"
	"internaltransfers/web"
)

// consoleBytesMax bounds the size of the whole console, compressed.
const consoleBytesMax = 250_000

func TestConsoleIsSmallAndSelfContained(t *testing.T) {
	t.Parallel()
	var total int
	err := fs.WalkDir(web.Console(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(web.Console(), name)
		if err != nil {
			return err
		}
		if strings.HasSuffix(name, ".map") {
			t.Errorf("%s is a source map", name)
		}
		var zipped bytes.Buffer
		w := gzip.NewWriter(&zipped)
		if _, err := w.Write(content); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		total += zipped.Len()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", total)
	if total > consoleBytesMax {
		t.Errorf("the console has %d bytes compressed, more than %d", total, consoleBytesMax)
	}
}

// TestConsolePage: the policy forbids what is inline and what is elsewhere, so none of it may be
// there.
func TestConsolePage(t *testing.T) {
	t.Parallel()
	page, err := fs.ReadFile(web.Console(), "index.html")
	if err != nil {
		t.Fatal(err)
	}
	for what, pattern := range map[string]string{
		"an inline script":         `<script(?:\s[^>]*)?>\s*[^<\s]`,
		"a script without a file":  `<script(?:\s+(?:type|async|defer|crossorigin)(?:="[^"]*")?)*\s*>`,
		"an inline style":          `<style|\sstyle=`,
		"an inline event handler":  `\son[a-z]+=`,
		"an address of other host": `(?:src|href)="(?:[a-z]+:)?//`,
	} {
		if found := regexp.MustCompile(pattern).Find(page); found != nil {
			t.Errorf("index.html has %s: %s", what, found)
		}
	}
	styles, err := fs.ReadFile(web.Console(), "assets/style.css")
	if err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile(`(?:url\(\s*['"]?|@import\s+['"])(?:https?:)?//[^)'"]*`).Find(styles); found != nil {
		t.Errorf("style.css has an address of another host: %s", found)
	}
	for _, match := range regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllSubmatch(page, -1) {
		name, relative := strings.CutPrefix(string(match[1]), "./")
		if _, err := fs.Stat(web.Console(), name); !relative || err != nil && name != "docs/openapi.json" {
			t.Errorf("index.html names %s, which is not relative or not there: %v", match[1], err)
		}
	}
}

func TestConsoleIsServed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	const browser, script = "text/html,application/xhtml+xml,*/*;q=0.8", "*/*"
	for _, tc := range []struct {
		method, path, accept string
		status               int
		contains             string // in the body
	}{
		{"GET", "/", browser, 200, `<div id="root">`},
		{"GET", "/", script, 200, `<div id="root">`},
		{"HEAD", "/", browser, 200, ""},
		{"GET", "/index.html", browser, 200, `<div id="root">`},
		{"GET", "/accounts", browser, 200, `<div id="root">`},
		{"GET", "/accounts/12359cc6-6ea6-41a6-9c52-79734acbf191?tab=x", browser, 200, `<div id="root">`},
		{"GET", "/accounts", "application/json", 404, "not found"},
		{"GET", "/accounts", "", 404, "not found"},
		{"POST", "/", browser, 404, "not found"},
		{"POST", "/accounts", browser, 404, "not found"},
		{"GET", "/assets/index.js", script, 200, "import"},
		{"GET", "/assets/style.css", script, 200, "--bg"},
		{"GET", "/theme.js", script, 200, "localStorage"},
		{"GET", "/favicon.svg", script, 200, "<svg"},
		{"GET", "/assets/nothing.js", browser, 404, "not found"},
		{"GET", "/assets", script, 404, "not found"},
		{"GET", "/favicon.ico", browser, 404, "not found"},
		{"GET", "/../go.mod", browser, 404, "not found"},
		// The console never replaces the responses of other handlers, however they are requested.
		{"GET", "/healthcheck", browser, 200, ""},
		{"POST", "/healthcheck", browser, 405, ""},
		{"GET", "/api/v1/nonsense", browser, 404, "route"},
		{"GET", "/api/v1/currencies", browser, 200, `"USD"`},
		{"GET", "/transfers.v1.NoService/NoMethod", browser, 404, "not found"},
		{"POST", "/transfers.v1.NoService/NoMethod", browser, 404, "not found"},
		{"POST", "/transfers.v1.LedgerService/NoMethod", browser, 404, ""},
	} {
		// Not by a client, which would clean the path.
		r := httptest.NewRequest(tc.method, tc.path, nil)
		r.Header.Set("Accept", tc.accept)
		w := httptest.NewRecorder()
		f.server.ServeHTTP(w, r)
		if body := w.Body.String(); w.Code != tc.status || !strings.Contains(body, tc.contains) {
			t.Errorf("%s %s for %q: status %d, body %.200q; want %d with %q",
				tc.method, tc.path, tc.accept, w.Code, body, tc.status, tc.contains)
		}
	}
}

func TestConsoleHeaders(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	for path, contentType := range map[string]string{
		"/":                 "text/html; charset=utf-8",
		"/assets/index.js":  "text/javascript; charset=utf-8",
		"/assets/style.css": "text/css; charset=utf-8",
		"/favicon.svg":      "image/svg+xml",
	} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		w := httptest.NewRecorder()
		f.server.ServeHTTP(w, r)
		policy := w.Header().Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:;", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s: the policy lacks %s: %s", path, part, policy)
			}
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("%s: the policy allows what is unsafe: %s", path, policy)
		}
		for name, want := range map[string]string{
			"Content-Type": contentType, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff",
			"Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
}

func TestConsoleIsCachedAndCompressed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	get := func(path, encoding, tag string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Accept-Encoding", encoding)
		r.Header.Set("If-None-Match", tag)
		w := httptest.NewRecorder()
		f.server.ServeHTTP(w, r)
		return w
	}
	for _, path := range []string{"/", "/assets/index.js"} {
		plain, zipped := get(path, "", ""), get(path, "br, gzip;q=0.8", "")
		if zipped.Header().Get("Content-Encoding") != "gzip" || plain.Header().Get("Content-Encoding") != "" {
			t.Fatalf("%s: the encodings are %q and %q", path, zipped.Header(), plain.Header())
		}
		if refused := get(path, "gzip;q=0", ""); refused.Header().Get("Content-Encoding") != "" {
			t.Errorf("%s: compressed for a client that refuses it", path)
		}
		reader, err := gzip.NewReader(zipped.Body)
		if err != nil {
			t.Fatal(err)
		}
		if content, err := io.ReadAll(reader); err != nil || !bytes.Equal(content, plain.Body.Bytes()) {
			t.Errorf("%s: compressed it is something else (%v)", path, err)
		}
		tag := zipped.Header().Get("ETag")
		if tag == "" || tag == plain.Header().Get("ETag") || strings.HasPrefix(tag, "W/") {
			t.Errorf("%s: the entity tag is %q, uncompressed %q", path, tag, plain.Header().Get("ETag"))
		}
		if again := get(path, "gzip", tag); again.Code != http.StatusNotModified || again.Body.Len() > 0 {
			t.Errorf("%s: a current copy gets %d and %d bytes", path, again.Code, again.Body.Len())
		}
		if other := get(path, "gzip", `"other"`); other.Code != http.StatusOK {
			t.Errorf("%s: an old copy gets %d", path, other.Code)
		}
	}
}
