package main

import (
	"os"
	"regexp"
	"slices"
	"strings"

	"internaltransfers/internal/pgdb"
)

// libpqVariable finds the environment variables of libpq, which the driver heeds too. This
// program's own have an underscore.
var libpqVariable = regexp.MustCompile(`^PG[A-Z][A-Z_]*$`)

// libpqVariables returns the values of those that are set.
func libpqVariables() map[string]string {
	set := make(map[string]string)
	for _, pair := range os.Environ() {
		if name, value, _ := strings.Cut(pair, "="); libpqVariable.MatchString(name) {
			set[name] = value
		}
	}
	return set
}

// unsetLibpq removes libpq's variables from the environment. They are meant for another database
// than the private PostgreSQL.
func unsetLibpq() {
	for name := range libpqVariables() {
		_ = os.Unsetenv(name) // the name is well-formed
	}
}

// wrongVariables returns the variable of libpq without which the URL of a database would do, or all
// of them where it takes several. Empty: the URL itself is at fault.
func wrongVariables(url string) string {
	set := libpqVariables()
	restore := func() {
		for name, value := range set {
			_ = os.Setenv(name, value) // it had that value before
		}
	}
	defer restore()
	unsetLibpq()
	if pgdb.CheckURL(url) != nil {
		return ""
	}
	var wrong []string
	for name, value := range set {
		_ = os.Setenv(name, value)
		if pgdb.CheckURL(url) != nil {
			wrong = append(wrong, name)
		}
		_ = os.Unsetenv(name)
	}
	slices.Sort(wrong)
	return strings.Join(wrong, " and ")
}
