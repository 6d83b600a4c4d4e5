package pgdb

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// errURLForm does not say where the mistake is: the driver's errors have parts of the URL, and any
// part may be the password.
var errURLForm = errors.New("must be a valid postgres://user:password@host:port/database, with %40 for an @ in the password" +
	" and so on, or valid keywords such as 'host=db user=app dbname=transfers'; its value is not shown, since a password may be in it")

// errURLAt: what follows an @ in a password is taken for the host, and would be shown as such.
var errURLAt = errors.New("has an @ in the user or the password: write %40 for it")

// CheckURL returns an error when the URL of a database is malformed, or demands what this program
// cannot do, whatever is at it. Its text follows the name of a setting, and has nothing of a
// password.
func CheckURL(databaseURL string) error {
	if config, err := pgxpool.ParseConfig(databaseURL); err == nil {
		hosts := []string{config.ConnConfig.Host}
		for _, f := range config.ConnConfig.Fallbacks {
			hosts = append(hosts, f.Host)
		}
		for _, host := range hosts {
			if strings.Contains(host, "@") && !strings.HasPrefix(host, "/") {
				return errURLAt
			}
		}
		return dropClientParameters(config.ConnConfig)
	}
	if name := wrongParameter(databaseURL); name != "" {
		return fmt.Errorf("has a value for the parameter %s that is not possible", name)
	}
	return errURLForm
}

// wrongParameter finds the parameter of a URL without which it would be well-formed.
func wrongParameter(databaseURL string) string {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return ""
	}
	for name := range u.Query() {
		rest := u.Query()
		rest.Del(name)
		without := *u
		without.RawQuery = rest.Encode()
		_, err := pgxpool.ParseConfig(without.String())
		if err == nil && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") == "" {
			return name
		}
	}
	return ""
}
