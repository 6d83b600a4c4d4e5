package server_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"internaltransfers/internal/postgres"
	"internaltransfers/server"
)

// stripping starts a proxy that shows a server under a path, which the server does not see.
func stripping(t *testing.T, upstream, path string) string {
	t.Helper()
	target, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(http.StripPrefix(path, httputil.NewSingleHostReverseProxy(target)))
	t.Cleanup(proxy.Close)
	return proxy.URL
}

var addresses = regexp.MustCompile(`(?:src|href)="([^"]*)"`)

// TestUnderAPath: console, API reference and API work under a path, whether the proxy strips it or
// BASE_PATH names it, and without a path.
func TestUnderAPath(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{BasePath: "/money/ledger"})
	for _, c := range []struct{ name, root string }{
		{"no path", f.url},
		{"BASE_PATH", f.url + "/money/ledger"},
		{"a path that is taken away", stripping(t, f.url, "/else/where") + "/else/where"},
		{"both", stripping(t, f.url, "/x") + "/x/money/ledger"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for page, files := range map[string]int{
				"/": 4, "/accounts": 4, "/accounts/": 4, "/accounts/12359cc6-6ea6-41a6-9c52-79734acbf191?tab=x": 4,
				"/docs": 3, "/docs/": 3,
			} {
				body := browse(t, c.root+page)
				base, err := url.Parse(c.root + page)
				if err != nil {
					t.Fatal(err)
				}
				found := 0
				for _, address := range addresses.FindAllStringSubmatch(body, -1) {
					if strings.HasPrefix(address[1], "data:") {
						continue
					}
					file, err := base.Parse(address[1])
					if err != nil {
						t.Fatal(err)
					}
					browse(t, file.String())
					found++
				}
				if found < files {
					t.Errorf("%s names %d files: %s", page, found, body)
				}
			}
			for path, want := range map[string]string{
				"/healthcheck": "ok", "/api/v1/currencies": `"USD"`, "/docs/openapi.json": `"openapi"`,
				"/transfers.v1.LedgerService/ListCurrencies?encoding=json&message=%7B%7D&connect=v1": `"USD"`,
			} {
				if body := browse(t, c.root+path); !strings.Contains(body, want) {
					t.Errorf("%s: %.200s", path, body)
				}
			}
			// The routes are at the addresses in the description.
			spec, err := url.Parse(c.root + "/docs/openapi.json")
			if err != nil {
				t.Fatal(err)
			}
			api := regexp.MustCompile(`"servers": \[\s*\{\s*"url": "([^"]*)"`).FindStringSubmatch(browse(t, spec.String()))
			if api == nil {
				t.Fatal("the description has no server")
			}
			if server, err := spec.Parse(api[1]); err != nil || strings.TrimSuffix(server.String(), "/") != c.root {
				t.Errorf("the description's server is %v, %v; want %s", server, err, c.root)
			}
		})
	}
	for _, path := range []string{"/money", "/money/ledgers/", "/money/ledger/nothing.js", "/moneyledger/healthcheck"} {
		if answer, _ := f.send(t, http.MethodGet, path, ""); answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
	}
}

// browse opens an address as a browser does, with redirects, and requires it to be there.
func browse(t *testing.T, address string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html,*/*")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		t.Errorf("%s: %d", address, res.StatusCode)
	}
	return string(body)
}

// TestRedirectsStayUnderThePath: a redirect is relative to the client's address.
func TestRedirectsStayUnderThePath(t *testing.T) {
	t.Parallel()
	s, err := server.New(server.Config{
		Ledger: new(postgres.Ledger), BasePath: "/money/ledger", AllowedHosts: []string{"example.com"}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, base := range []string{"http://a.test/x", "http://a.test/x/money/ledger"} { // as the client sees it
		for path, want := range map[string]string{
			"/api": "/api/", "/api//v1/accounts?page_size=3": "/api/v1/accounts?page_size=3", "//healthcheck": "/healthcheck",
			"/docs//docs.js": "/docs/docs.js", "/transfers.v1.LedgerService": "/transfers.v1.LedgerService/",
			"/api/v1//transfers:batch": "/api/v1/transfers:batch",
		} {
			r := httptest.NewRequest(http.MethodGet, strings.TrimPrefix(base, "http://a.test/x")+path, nil)
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			from, err := url.Parse(base + path)
			if err != nil {
				t.Fatal(err)
			}
			to, err := from.Parse(w.Header().Get("Location"))
			if err != nil || w.Code < 300 || w.Code > 399 || to.String() != base+want {
				t.Errorf("%s%s: %d to %s, which is %s; want %s", base, path, w.Code, w.Header().Get("Location"), to, base+want)
			}
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(method, "/money/ledger?a=b", nil))
		if location := w.Header().Get("Location"); (location == "../money/ledger/?a=b") != (method != http.MethodPost) {
			t.Errorf("%s: %d to %q", method, w.Code, location)
		}
	}
}

func TestBasePathIsChecked(t *testing.T) {
	t.Parallel()
	for path, ok := range map[string]bool{
		"": true, "/ledger": true, "/money/ledger": true, "/a-b_c~1": true,
		"/": false, "ledger": false, "/ledger/": false, "/a//b": false, "/a/../b": false, "/.": false, "/a b": false, "/a%20b": false,
		"/ä": false, "/a?b": false, "/a#b": false, "/<a>": false, "//a.test": false, "https://a.test/ledger": false, `/a\b`: false,
		"/api": false, "/docs/x": false, "/assets": false, "/healthcheck": false, "/readycheck": false,
		"/apis": true, "/" + strings.Repeat("x", 300): false,
	} {
		err := server.CheckBasePath(path)
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "/ledger") {
			t.Errorf("%q: %v", path, err)
		}
		if _, err := server.New(server.Config{Ledger: new(postgres.Ledger), BasePath: path}); (err == nil) != ok {
			t.Errorf("New with %q: %v", path, err)
		}
	}
}
