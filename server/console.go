package server

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"internaltransfers/web"
)

// consolePolicy is the Content-Security-Policy of the console: everything comes from this server,
// and nothing is inline. Images too: the pictures of accounts are URLs that callers gave, who would
// learn who looks at an account, and when.
const consolePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"img-src 'self' data:; font-src 'self'; manifest-src 'self'; object-src 'none'; base-uri 'none'; " +
	"form-action 'self'; frame-ancestors 'none'"

// consoleTypes are the content types of the console's files. The machine's own table may have
// others.
var consoleTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
}

// A consoleFile is a file of the console as it is sent.
type consoleFile struct {
	contentType string
	plain       []byte
	zipped      []byte // by gzip; nil where that is not smaller
	tag         string // the entity tag of plain, without quotes
}

// pageDepthMax is how many slashes the path of a page may have beside the first.
const pageDepthMax = 4

// A page is an HTML file whose addresses, which begin with ./, are relative to the root. It is
// another file for each depth of the request's path: at /accounts/ID the addresses begin with ../
// instead.
type page [pageDepthMax + 1]*consoleFile

func newPage(name string, content []byte) *page {
	var p page
	for depth := range p {
		up := fromPath(strings.Repeat("/", depth+1))
		p[depth] = newConsoleFile(name, bytes.ReplaceAll(content, []byte(`="./`), []byte(`="`+up)))
	}
	return &p
}

// at returns the page for the depth of a path; nil: no page is so deep.
func (p *page) at(path string) *consoleFile {
	if depth := depthOf(path); depth <= pageDepthMax {
		return p[depth]
	}
	return nil
}

// consolePage is the page of the console.
var consolePage = sync.OnceValue(func() *page {
	content, err := fs.ReadFile(web.Console(), "index.html")
	if err != nil {
		panic(err) // the files are within the program
	}
	return newPage("index.html", content)
})

// consoleFiles are the console's files by URL path. The first request compresses them, once for
// all.
var consoleFiles = sync.OnceValue(func() map[string]*consoleFile {
	files := make(map[string]*consoleFile)
	console := web.Console()
	err := fs.WalkDir(console, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(console, name)
		if err != nil {
			return err
		}
		files["/"+name] = newConsoleFile(name, content)
		return nil
	})
	if err != nil {
		panic(err) // the files are within the program
	}
	return files
})

func newConsoleFile(name string, content []byte) *consoleFile {
	sum := sha256.Sum256(content)
	file := &consoleFile{contentType: consoleTypes[path.Ext(name)], plain: content, tag: hex.EncodeToString(sum[:16])}
	if file.contentType == "" {
		file.contentType = mime.TypeByExtension(path.Ext(name))
	}
	var zipped bytes.Buffer
	w, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is a constant, and right
	}
	// A bytes.Buffer takes all that is written to it.
	_, _ = w.Write(content)
	_ = w.Close()
	if zipped.Len() < len(content) {
		file.zipped = zipped.Bytes()
	}
	return file
}

// withConsole serves the console beside next: its files under their names, and its page under every
// other path that a browser opens. Only the console knows which pages it has.
func withConsole(next *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		if _, pattern := next.Handler(r); pattern != "" {
			next.ServeHTTP(w, r)
			return
		}
		file := consoleFiles()[r.URL.Path]
		if file == nil && isConsolePage(r) {
			file = consolePage().at(r.URL.EscapedPath())
		}
		if file == nil {
			http.NotFound(w, r)
			return
		}
		file.serve(w, r)
	})
}

// isConsolePage reports whether a browser opens a page. A path with a dot is that of a file, or of
// an RPC: those that do not exist are not found.
func isConsolePage(r *http.Request) bool {
	return r.URL.Path == "/" ||
		!strings.Contains(r.URL.Path, ".") && strings.Contains(r.Header.Get("Accept"), "text/html")
}

// serve sends the file, or 304 if the client's copy is current. Clients revalidate each time,
// because names never change.
func (f *consoleFile) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", "no-cache")
	h.Set("Vary", "Accept, Accept-Encoding")
	h.Set("Content-Security-Policy", consolePolicy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	content, tag := f.plain, f.tag
	if f.zipped != nil && acceptsGzip(r) {
		content, tag = f.zipped, f.tag+"-gzip"
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", `"`+tag+`"`)
	// It returns If-None-Match, HEAD and ranges.
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// acceptsGzip reports whether the client takes gzip. A weight of zero means that it does not.
func acceptsGzip(r *http.Request) bool {
	for _, offer := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		coding, weight, _ := strings.Cut(offer, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			weight = strings.ReplaceAll(weight, " ", "")
			return strings.Trim(weight, "0.") != "q="
		}
	}
	return false
}
