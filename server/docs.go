package server

import (
	"embed"
	"net/http"
	"sync"

	"internaltransfers/gen/openapi"
)

// docsPage is the page of the API reference, and what starts Swagger UI in it.
//
//go:embed docs
var docsPage embed.FS

// docsFiles are the API reference's files by URL path, compressed on the first request. They have
// the Content-Security-Policy of the console, and need no exception from it.
var docsFiles = sync.OnceValue(func() map[string]*consoleFile {
	files := map[string]*consoleFile{"/docs/openapi.json": newConsoleFile("openapi.json", openapi.Document)}
	index, err := docsPage.ReadFile("docs/index.html")
	if err != nil {
		panic(err) // the files are within the program
	}
	for _, url := range []string{"/docs", "/docs/"} {
		files[url] = newPage("index.html", index).at(url)
	}
	for _, f := range []struct {
		url, name string
		from      embed.FS
	}{
		{"/docs/docs.js", "docs/docs.js", docsPage},
		{"/docs/swagger-ui-bundle.js", "viewer/swagger-ui-bundle.js", openapi.Viewer},
		{"/docs/swagger-ui.css", "viewer/swagger-ui.css", openapi.Viewer},
	} {
		content, err := f.from.ReadFile(f.name)
		if err != nil {
			panic(err) // the files are within the program
		}
		files[f.url] = newConsoleFile(f.name, content)
	}
	return files
})

// docs shows the API reference: the description of the REST routes, /docs/openapi.json, in Swagger
// UI.
func docs(w http.ResponseWriter, r *http.Request) {
	file := docsFiles()[r.URL.Path]
	if file == nil {
		http.NotFound(w, r)
		return
	}
	file.serve(w, r)
}
