// Package web carries the console: what `make web` built of the sources in this directory. It is
// committed, so that building the server needs no Node.
package web

import (
	"embed"
	"io/fs"
)

//go:embed console/dist
var files embed.FS

// Console returns the console's files, index.html at the root.
func Console() fs.FS {
	console, err := fs.Sub(files, "console/dist")
	if err != nil {
		panic(err) // the path is a constant, and right
	}
	return console
}
