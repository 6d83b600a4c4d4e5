package server

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"

	"connectrpc.com/connect"
)

// A page of another site can reach a server of its reader's network by DNS rebinding: its name
// first leads to the page's own server, then to ours. The browser takes both for one origin, and
// sends the page's name as the Host. So only names that are known to be ours are served. An IP
// address as the Host is always served: no name was looked up, so none can have been rebound.

// hosts are the names that the Host of a request may have, beside IP addresses and localhost.
type hosts struct {
	any     bool
	names   map[string]bool
	domains []string // each with a dot before it: all names that end so are allowed
}

// hostForm matches a name, as an operator writes it: *.example.com is every name below example.com.
var hostForm = regexp.MustCompile(`^(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*$`)

const hostBytesMax = 253 // of a name, by the rules of DNS

// CheckHosts returns an error for what cannot be one of Config.AllowedHosts.
func CheckHosts(names []string) error {
	for _, name := range names {
		if _, isAddress := address(name); name == "*" || isAddress {
			continue
		}
		if len(name) > hostBytesMax || !hostForm.MatchString(name) {
			return fmt.Errorf("%q is not the name of a host, such as ledger.example.com or *.example.com, without a port",
				clip(name, hostBytesMax))
		}
	}
	return nil
}

func newHosts(names []string) *hosts {
	h := &hosts{names: map[string]bool{"localhost": true}}
	for _, name := range names {
		name = strings.ToLower(name)
		switch domain, below := strings.CutPrefix(name, "*"); {
		case name == "*":
			h.any = true
		case below:
			h.domains = append(h.domains, domain)
		default:
			h.names[name] = true
		}
	}
	return h
}

// allows reports whether requests for a host, with or without a port, are served. A request without
// a host comes from no browser.
func (h *hosts) allows(host string) bool {
	if h.any || host == "" {
		return true
	}
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	if _, ok := address(name); ok {
		return true
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if h.names[name] {
		return true
	}
	for _, domain := range h.domains {
		if strings.HasSuffix(name, domain) {
			return true
		}
	}
	return false
}

// address reads an IP address, with or without the brackets that URLs have.
func address(text string) (netip.Addr, bool) {
	if inner, ok := strings.CutPrefix(text, "["); ok {
		text = strings.TrimSuffix(inner, "]")
	}
	addr, err := netip.ParseAddr(text)
	return addr, err == nil
}

// only refuses requests for other hosts. Health is shown to all: probes of load balancers have
// hosts of their own, and learn nothing else.
func (h *hosts) only(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h.allows(r.Host) && r.URL.Path != "/healthcheck" && r.URL.Path != "/readycheck" {
			refuse(w, r, restRefusal(http.StatusMisdirectedRequest, connect.CodePermissionDenied, "HOST_REFUSED",
				"this server does not serve the host %q; ALLOWED_HOSTS names those that it does", clip(r.Host, 100)))
			return
		}
		next.ServeHTTP(w, r)
	})
}
