package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestHarnessSees: the harness detects what no page may do. Without this, pages could pass because
// nothing was checked.
func TestHarnessSees(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "img-src 'none'")
		fmt.Fprint(w, `<!doctype html><html lang="en"><title>Faults</title><main><h1>Faults</h1>
			<div style="width: 2000px">wide</div><button></button><img alt="refused" src="/image">
			<script src="/missing"></script>
			<script>
				console.error("complaint", 7);
				fetch("http://localhost:1/").catch(() => {});
				Promise.reject(new Error("rejected"));
			</script></main></html>`)
	}))
	defer site.Close()
	p := newPage(t, strings.TrimPrefix(site.URL, "http://"))
	p.open("/")
	for _, want := range []string{
		"console: complaint 7",
		"exception: Uncaught (in promise) Error: rejected",
		"security: ", "violates the following Content Security Policy directive",
		"network: Failed to load resource: the server responded with a status of 404",
		"request to another host: http://localhost:1/",
	} {
		p.waitUntil("the problem "+want, func() bool { return strings.Contains(strings.Join(p.unexpected(), "\n"), want) })
	}
	if got := axe(p); !strings.Contains(strings.Join(got, "\n"), "button-name") {
		t.Errorf("axe does not find the button without a name: %v", got)
	}
	if got := overflow(p); got <= 0 {
		t.Errorf("what is too wide is not seen: %d", got)
	}
	p.expect("") // all of them
}
