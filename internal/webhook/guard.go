package webhook

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// guardian knows the addresses that are not public on the Internet, as IANA's registries of special
// purpose addresses list them: private, shared, loopback, link-local (where clouds have their
// metadata), multicast, and those that carry another address inside, such as IPv4-mapped, NAT64 and
// 6to4 ones. The denied prefix looks public, but in Azure leads to the machine's host.
var guardian = ssrf.New(ssrf.WithAnyPort(), ssrf.WithDeniedV4Prefixes(netip.MustParsePrefix("168.63.129.16/32")))

// errPrivate is the error of a connection to a forbidden address.
var errPrivate = errors.New("the host is in a private network")

// CheckURL returns why events cannot be posted to a URL; nil: they can. Unless private networks are
// allowed, hosts that are in one by their name are refused. The address of any other name is
// checked each time a connection is made.
func CheckURL(text string, allowPrivate bool) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return errors.New("must be an http or https URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("must begin with http:// or https://")
	case u.User != nil:
		return errors.New("must not have a user or password")
	case u.Fragment != "" || strings.HasSuffix(text, "#"):
		return errors.New("must not have a fragment")
	case u.Hostname() == "":
		return errors.New("must have a host")
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return errors.New("must have a port of 1 to 65535, or none")
		}
	}
	return checkHost(u.Hostname(), allowPrivate)
}

// checkHost returns why nothing can be posted to a host. Texts that some resolvers take for the
// numbers of an IPv4 address, such as 127.1 or 0x7f000001, are no names of hosts.
func checkHost(host string, allowPrivate bool) error {
	if address, err := netip.ParseAddr(host); err == nil {
		if !allowPrivate && guardian.SafeAddr(address) != nil {
			return errors.New("must not have a host in a private network")
		}
		return nil
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	last := name[strings.LastIndexByte(name, '.')+1:]
	if last == "" || strings.ContainsAny(name, ":%[] ") {
		return errors.New("must have a host name or an IP address")
	}
	if last[0] >= '0' && last[0] <= '9' {
		return errors.New("must have a host name, or an IP address of four decimal numbers")
	}
	if !allowPrivate && (last == "localhost" || last == "local" || last == "internal") {
		return errors.New("must not have a host in a private network")
	}
	return nil
}

// newDialer returns the dialer for endpoints. Unless private networks are allowed, it checks the
// address that a name was resolved to right before it connects there, so that a name whose address
// changes from one moment to the next is no way in.
func newDialer(allowPrivate bool) *net.Dialer {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	if !allowPrivate {
		dialer.Control = func(network, address string, conn syscall.RawConn) error {
			if guardian.Safe(network, address, conn) != nil {
				return errPrivate
			}
			return nil
		}
	}
	return dialer
}
