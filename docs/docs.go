// Package docs gives the program those of its documents that it uses itself.
package docs

import _ "embed"

// Roles is roles.sql, which operators apply to their databases, and this program to its private
// one.
//
//go:embed roles.sql
var Roles string
