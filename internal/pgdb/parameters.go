package pgdb

import (
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

// clientParameters are those for libpq alone that the driver does not have, and would send to the
// server. Each has the values that change nothing here. nil: any value, since it is about how a
// connection is kept or found, and not about which server it may be with.
var clientParameters = map[string][]string{
	// The driver has keepalives of its own, and calls and batches have timeouts.
	"keepalives":          nil,
	"keepalives_idle":     nil,
	"keepalives_interval": nil,
	"keepalives_count":    nil,
	"tcp_user_timeout":    nil,
	// All hosts are tried until one is good, whichever is the first.
	"load_balance_hosts": nil,
	// A default, which application_name replaces.
	"fallback_application_name": nil,
	// Nothing is compressed, as with any newer libpq.
	"sslcompression": nil,
	// Which library speaks Kerberos.
	"gsslib": nil,

	// The others demand, or allow, what the driver does not support.
	"gssencmode":               {"", "disable", "prefer"},
	"gssdelegation":            {"", "0"},
	"requiressl":               {"", "0"},
	"requirepeer":              {""},
	"hostaddr":                 {""},
	"replication":              {"", "0", "off", "no", "false"},
	"sslcrl":                   {""},
	"sslcrldir":                {""},
	"sslkeylogfile":            {""},
	"ssl_min_protocol_version": {"", "TLSv1", "TLSv1.1", "TLSv1.2"}, // the driver takes no older
	"ssl_max_protocol_version": {"", "TLSv1.3"},
	"scram_client_key":         {""},
	"scram_server_key":         {""},
	"oauth_issuer":             {""},
	"oauth_client_id":          {""},
	"oauth_client_secret":      {""},
	"oauth_scope":              {""},
}

// dropClientParameters removes the parameters of a URL that are for libpq alone. It fails where the
// meaning would be lost. Values are not in the error: they may be secrets.
func dropClientParameters(c *pgx.ConnConfig) error {
	if name := c.RuntimeParams["fallback_application_name"]; name != "" && c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = name
	}
	for _, name := range slices.Sorted(maps.Keys(c.RuntimeParams)) {
		harmless, known := clientParameters[name]
		if !known {
			continue
		}
		if harmless != nil && !slices.Contains(harmless, c.RuntimeParams[name]) {
			return fmt.Errorf("has a value for the parameter %s that this program cannot heed: remove it", name)
		}
		delete(c.RuntimeParams, name)
	}
	return nil
}
