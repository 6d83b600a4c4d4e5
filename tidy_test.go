package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

const module = "internaltransfers/"

// A room is a directory of Go code, with which of the module's packages and which libraries it must
// not import, its tests included where tests is set. They keep the layers apart, and all arrows in
// one direction: see CONTRIBUTING.md.
type room struct {
	dir       string
	forbidden []string // import path prefixes
	tests     bool
}

// outside is what the package ledger must not depend on: storage, network, the passing of time and
// other goroutines.
var outside = []string{
	module + "gen", module + "internal", module + "server", module + "migrations", "github.com/jackc/pgx", "database/sql",
	"connectrpc.com/", "google.golang.org/", "net", "context", "sync", "os", "log",
}

var rooms = []room{
	{".", []string{module + "gen/db", "github.com/jackc/pgx"}, false},
	{"ledger", outside, true},
	{"internal/postgres", []string{module + "gen/transfers", module + "server", "connectrpc.com/", "net/http", "google.golang.org/"}, true},
	{"server", []string{module + "gen/db", module + "migrations", "github.com/jackc/pgx", "database/sql"}, false},
	{"internal/access", []string{module + "gen/transfers", module + "internal/postgres", module + "server", "connectrpc.com/", "net/http", "google.golang.org/"}, true},
	{"internal/webhook", []string{module + "internal/proof", module + "internal/postgres", module + "gen/transfers", module + "server", "connectrpc.com/", "google.golang.org/"}, false},
	{"internal/demo", []string{module + "gen", module + "server", "connectrpc.com/", "github.com/jackc/pgx"}, false},
	{"internal/archive", []string{module + "gen/transfers", module + "server", "connectrpc.com/", "net/http", "google.golang.org/"}, false},
	{"internal/bench", []string{module + "gen/db"}, false},
	{"internal/databases", []string{module + "server", module + "gen"}, true},
	{"internal/events", []string{module + "internal/proof", module + "internal/webhook", module + "internal/postgres", module + "gen/transfers", module + "server", "connectrpc.com/", "net", "google.golang.org/"}, false},
	{"internal/proof", []string{module + "internal/events", module + "internal/webhook", module + "internal/postgres", module + "gen/transfers", module + "server", "connectrpc.com/", "net", "google.golang.org/"}, false},
	{"internal/durable", []string{module + "internal/postgres", module + "gen/transfers", module + "server", "connectrpc.com/", "net/http", "google.golang.org/"}, true},
	{"internal/stored", []string{module + "internal/postgres", module + "gen/transfers", module + "server", "connectrpc.com/", "net", "google.golang.org/"}, true},
	{"internal/paging", []string{module + "internal", module + "gen", module + "server", "github.com/jackc/pgx", "database/sql", "net"}, true},
	{"internal/localpg", []string{module}, false},
	{"internal/pgdb", []string{module + "ledger", module + "internal/postgres", module + "server", module + "gen/transfers"}, true},
	{"internal/pgtest", []string{module + "ledger", module + "internal/postgres", module + "server", module + "gen"}, true},
	{"internal/ledgertest", []string{module + "gen", module + "server", "connectrpc.com/", "net"}, true},
	{"web/e2e", []string{module + "gen/db", "github.com/jackc/pgx"}, true},
	{"docs", []string{module}, true},
	{"migrations", []string{module}, true},
	{"web", []string{module}, true},
}

// TestRooms: every directory of Go code has its rule, and keeps it.
func TestRooms(t *testing.T) {
	rules := make(map[string]room)
	for _, r := range rooms {
		rules[r.dir] = r
	}
	seen := make(map[string]bool)
	for _, f := range goFiles(t) {
		rule, ok := rules[f.dir]
		if seen[f.dir] = true; !ok {
			t.Errorf("%s: the directory has no rule", f.path)
		}
		if f.test && !rule.tests {
			continue
		}
		for _, spec := range f.ast.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			for _, prefix := range rule.forbidden {
				if path == prefix || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/") {
					t.Errorf("%s imports %s, which %s must not", f.path, path, rule.dir)
				}
			}
		}
	}
	for dir := range rules {
		if !seen[dir] {
			t.Errorf("%s has a rule, and no Go code", dir)
		}
	}
}

// sqlText finds statements, in the upper case in which they are written here.
var sqlText = regexp.MustCompile(`\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE|ALTER|DROP)\s+[a-zA-Z_*]`)

// builtSQL is the one file of SQL in Go: statements about tables that are only known at run time,
// which sqlc cannot check.
const builtSQL = "internal/archive/statements.go"

// madeOfSQL are the directories about other databases than the service's, or about how to set one
// up.
var madeOfSQL = []string{"internal/bench", "internal/ledgertest", "internal/localpg", "internal/pgtest", "migrations"}

// TestSQLLivesInQueries: the SQL of the service is in queries/, where sqlc checks it against the
// schema.
func TestSQLLivesInQueries(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test || f.path == builtSQL || slices.Contains(madeOfSQL, f.dir) {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			// A command for an operator to run is no statement of the service.
			if field, ok := n.(*ast.KeyValueExpr); ok {
				if key, ok := field.Key.(*ast.Ident); ok && key.Name == "Fix" {
					return false
				}
			}
			if s, ok := n.(*ast.BasicLit); ok && s.Kind == token.STRING && sqlText.MatchString(s.Value) {
				t.Errorf("%s: SQL in a string: %s", f.set.Position(s.Pos()), s.Value)
			}
			return true
		})
	}
}

// forbiddenCalls are calls that are allowed in one place, or none.
var forbiddenCalls = []struct {
	pkg, name string
	in        func(f goFile) bool // where it is forbidden
	why       string
}{
	{"time", "Sleep", func(f goFile) bool { return true }, "wait for what happens, not for time to pass"},
	{"t", "Skip", func(f goFile) bool { return f.test }, "a test that is skipped proves nothing"},
	{"t", "Skipf", func(f goFile) bool { return f.test }, "a test that is skipped proves nothing"},
	{"t", "SkipNow", func(f goFile) bool { return f.test }, "a test that is skipped proves nothing"},
	{"os", "Getenv", func(f goFile) bool { return !f.test && f.dir != "." && f.dir != "internal/pgtest" }, "only main reads the environment"},
	{"os", "LookupEnv", func(f goFile) bool { return !f.test && f.dir != "." }, "only main reads the environment"},
	{"time", "Now", func(f goFile) bool { return f.dir == "ledger" }, "the law has no clock: it is told the time"},
	{"time", "Since", func(f goFile) bool { return f.dir == "ledger" }, "the law has no clock: it is told the time"},
	{"decimal", "NewFromFloat", func(f goFile) bool { return true }, "money is never a float"},
}

func TestForbiddenCalls(t *testing.T) {
	for _, f := range goFiles(t) {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := sel.X.(*ast.Ident)
			if !ok {
				return true
			}
			for _, c := range forbiddenCalls {
				if x.Name == c.pkg && sel.Sel.Name == c.name && c.in(f) {
					t.Errorf("%s: %s.%s: %s", f.set.Position(sel.Pos()), c.pkg, c.name, c.why)
				}
			}
			return true
		})
	}
}

const (
	fileLinesMax     = 500
	functionLinesMax = 70
)

// TestSizes: code that grows past these limits is split by concept.
func TestSizes(t *testing.T) {
	for _, f := range goFiles(t) {
		if n := f.set.File(f.ast.Pos()).LineCount(); n > fileLinesMax {
			t.Errorf("%s has %d lines, more than %d", f.path, n, fileLinesMax)
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := f.set.Position(fn.End()).Line - f.set.Position(fn.Pos()).Line + 1; n > functionLinesMax {
				t.Errorf("%s: %s has %d lines, more than %d", f.set.Position(fn.Pos()), fn.Name.Name, n, functionLinesMax)
			}
		}
	}
}

const commentColumnsMax = 100 // a tab is four

// stilted finds words that a program's comments can do without: a function returns, and a caller is
// a caller.
var stilted = regexp.MustCompile(`\b(answers|answered|whoever|whomever)\b`)

// TestComments: comments are plain, and no wider than a page.
func TestComments(t *testing.T) {
	for _, f := range goFiles(t) {
		text, err := os.ReadFile(f.path)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			comment, ok := strings.CutPrefix(strings.TrimSpace(line), "// ")
			if !ok {
				continue
			}
			columns := utf8.RuneCountInString(strings.ReplaceAll(line, "\t", "    "))
			if columns > commentColumnsMax {
				t.Errorf("%s:%d: a comment of %d columns, more than %d", f.path, i+1, columns, commentColumnsMax)
			}
			// The first word may be the name of what is documented.
			_, rest, _ := strings.Cut(comment, " ")
			if word := stilted.FindString(rest); word != "" {
				t.Errorf("%s:%d: a comment says %q", f.path, i+1, word)
			}
		}
	}
}

// TestPackageNames: a package is named after its subject.
func TestPackageNames(t *testing.T) {
	for _, f := range goFiles(t) {
		if slices.Contains([]string{"util", "utils", "common", "helpers", "misc", "mocks"}, f.ast.Name.Name) {
			t.Errorf("%s: package %s says nothing", f.path, f.ast.Name.Name)
		}
	}
}

type goFile struct {
	path, dir string
	test      bool
	set       *token.FileSet
	ast       *ast.File
}

// goFiles parses every Go file that is not generated.
func goFiles(t *testing.T) []goFile {
	t.Helper()
	var files []goFile
	err := fs.WalkDir(os.DirFS("."), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (name == "gen" || name == "node_modules" || name == "third_party" || name == "tools" ||
			(name != "." && strings.HasPrefix(name, "."))) {
			return fs.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".go" {
			return nil
		}
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, goFile{path, filepath.Dir(path), strings.HasSuffix(path, "_test.go"), set, parsed})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("only %d Go files found: is this the root of the repository?", len(files))
	}
	return files
}
