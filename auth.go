package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"internaltransfers/internal/access"
)

// openWarnInterval is how often the log says that everybody may do everything.
const openWarnInterval = time.Minute

// authConfig is who may call.
type authConfig struct {
	Auth             string        `env:"AUTH" default:"auto" enum:"auto,required,off" help:"Whether callers need an API key: required, off, or auto, which is off while LISTEN_ADDR is this machine's own, and else required. Default: ${default}."`
	AuthBootstrapKey string        `env:"AUTH_BOOTSTRAP_KEY" placeholder:"SECRET" secret:"" help:"The secret of the first API key, an administrator's, which is made while there is no key. A file with it can be named by AUTH_BOOTSTRAP_KEY_FILE. Default: none; \"internaltransfers keys create\" makes one."`
	RateLimit        float64       `env:"RATE_LIMIT" help:"How many calls a second each API key may make, and each address without one; 100 items of a batch or rows of a page cost one call more. 0: any number. Default: 0."`
	RateBurst        int           `env:"RATE_BURST" help:"How many of these calls may come at once; 0: what two seconds allow. Default: 0."`
	TrustedProxies   []string      `env:"TRUSTED_PROXIES" placeholder:"NETWORK,…" help:"The networks of proxies whose header X-Forwarded-For is believed, such as 10.0.0.0/8. Default: none."`
	SessionTTL       time.Duration `env:"SESSION_TTL" default:"12h" help:"How long a key that was typed into the console is good there. Default: ${default}."`
}

// Validate is called by kong.
func (c *authConfig) Validate() error {
	if _, err := access.ParseNetworks("TRUSTED_PROXIES", c.TrustedProxies); err != nil {
		return &optionError{optionNames("TRUSTED_PROXIES") + " must be networks such as 10.0.0.0/8 or addresses such as 203.0.113.7"}
	}
	return cmp.Or(
		within("SESSION_TTL", c.SessionTTL, time.Minute, 30*24*time.Hour),
		within("RATE_LIMIT", c.RateLimit, 0, 1e6),
		within("RATE_BURST", c.RateBurst, 0, 1_000_000),
	)
}

// proxies returns the networks of trusted proxies.
func (c *authConfig) proxies() []netip.Prefix {
	networks, err := access.ParseNetworks("TRUSTED_PROXIES", c.TrustedProxies)
	if err != nil {
		panic(err) // they were validated
	}
	return networks
}

// required reports whether callers need a key, on a server that listens on an address.
func (c *authConfig) required(address string) bool {
	return c.Auth == "required" || (c.Auth == "auto" && !isLoopback(address))
}

// isLoopback reports whether only this machine reaches an address to listen on.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || strings.EqualFold(host, "localhost")
}

// errNoKeys: keys are required, and there are none.
var errNoKeys = errors.New(optionNames("AUTH") + " requires an API key of callers, and there is none: make one with " +
	"\"internaltransfers keys create --role admin\", or give its secret as AUTH_BOOTSTRAP_KEY_FILE; " +
	"AUTH=off lets everybody who reaches the port move money")

// prepare makes the first key, and refuses to start a server that nobody could call.
func (c *authConfig) prepare(ctx context.Context, keys *access.Keyring, address string) error {
	if c.AuthBootstrapKey != "" && keys.IsEmpty() {
		if err := keys.Bootstrap(ctx, strings.TrimSpace(c.AuthBootstrapKey)); err != nil {
			return fmt.Errorf("%s: %w", optionNames("AUTH_BOOTSTRAP_KEY"), err)
		}
	}
	if c.required(address) && keys.IsEmpty() {
		return errNoKeys
	}
	return nil
}

// warnOpen says again and again that everybody on the network may do everything, until ctx ends.
func (c *authConfig) warnOpen(ctx context.Context, logger *slog.Logger, address string) {
	if c.required(address) || isLoopback(address) {
		return
	}
	ticker := time.NewTicker(openWarnInterval)
	defer ticker.Stop()
	for {
		logger.WarnContext(ctx, "AUTH is off: everybody who reaches the port may move money", slog.String("address", address))
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
