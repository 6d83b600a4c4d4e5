package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/gen/transfers/v1/transfersv1connect"
	"internaltransfers/internal/pgtest"
)

// bearer sends a key with each request.
type bearer string

func (key bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(key))
	return http.DefaultTransport.RoundTrip(r)
}

// serveKeys starts the program on a new database, where callers need a key. The clients beside the
// browser have one with the role treasurer.
func serveKeys(t *testing.T) *server {
	t.Helper()
	s := &server{address: freeAddress(t), env: []string{"DATABASE_URL=" + pgtest.NewDatabase(t), "AUTH=required"}}
	treasurer := s.key(t, "treasurer", "--name=till")
	s.start(t)
	client := &http.Client{Transport: bearer(treasurer)}
	s.accounts = transfersv1connect.NewAccountServiceClient(client, s.url(""))
	s.transfers = transfersv1connect.NewTransferServiceClient(client, s.url(""))
	s.ledger = transfersv1connect.NewLedgerServiceClient(client, s.url(""))
	t.Cleanup(func() {
		check, err := s.ledger.CheckLedger(context.Background(), &transfersv1.CheckLedgerRequest{})
		if err != nil || !check.GetOk() {
			t.Errorf("the ledger is broken: %v %v", check, err)
		}
		s.stop(t)
	})
	return s
}

// key makes a key on the command line and returns its secret.
func (s *server) key(t *testing.T, role string, args ...string) string {
	t.Helper()
	return s.keysCommand(t, append([]string{"create", "--role=" + role}, args...)...)
}

// keysCommand runs a command about keys and returns what it prints.
func (s *server) keysCommand(t *testing.T, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), buildProgram(t), append([]string{"keys"}, args...)...)
	command.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, s.env...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Fatalf("keys %v: %v\n%s", args, err, &stderr)
	}
	return strings.TrimSpace(stdout.String())
}

// newSignedOutPage opens a tab in which calls may be refused for want of a session.
func newSignedOutPage(t *testing.T, address string) *page {
	t.Helper()
	p := newPage(t, address)
	p.expect("status of 401 (Unauthorized) http://" + address)
	return p
}

// signIn types a key where the console asks for it.
func (p *page) signIn(key string) {
	p.t.Helper()
	p.has(heading("Sign in"))
	p.fill(textbox("API key"), key)
	p.click(button("Sign in"))
}

// signOut clicks the button.
func (p *page) signOut() {
	p.t.Helper()
	p.click(button("Sign out"))
	p.has(heading("Sign in"))
}

// TestSignIn: who has no session is asked for a key, and then sees the page of the address. The
// session outlives a reload, and no script can read it.
func TestSignIn(t *testing.T) {
	s := serveKeys(t)
	viewer := s.key(t, "viewer", "--name=Vera")
	s.account(t, "Ada Lovelace", "100")
	p := newSignedOutPage(t, s.address)
	p.open("/accounts?status=OPEN")
	p.has(heading("Sign in"))
	p.focuses("API key")
	p.seesNo("Ada Lovelace")
	p.click(button("Sign in"))
	p.sees("Enter an API key.")
	p.signIn("itk_wrong")
	p.sees("This key is not valid.")
	p.waitFor("an empty field", `document.querySelector("input[type=password]").value === ""`)
	p.signIn(" " + viewer + "\n")
	p.has(heading("Accounts"), row("Ada Lovelace"))
	p.waitFor("the address as it was", `location.pathname + location.search === "/accounts?status=OPEN"`)
	p.sees("Vera", "viewer")
	if got := evaluate[string](p, "document.cookie"); got != "" {
		t.Errorf("scripts can read the cookie %q", got)
	}
	if got := evaluate[string](p, "JSON.stringify([localStorage, sessionStorage, location.href])"); strings.Contains(got, "itk_") {
		t.Errorf("the key is kept: %s", got)
	}
	p.reload()
	p.has(row("Ada Lovelace"))

	p.signOut()
	p.seesNo("Ada Lovelace")
	p.reload()
	p.has(heading("Sign in"))
}

// TestSignInWithoutKeys: where nobody needs a key, nobody is asked for one or told who they are.
func TestSignInWithoutKeys(t *testing.T) {
	s := serve(t)
	p := newPage(t, s.address)
	p.open("/accounts")
	p.has(row("USD equity"), pageLink("Keys"))
	p.hasNo(button("Sign out"))
	p.click(pageLink("Keys"))
	p.sees("Nobody needs a key at present")
}

// shortKey makes a key that ends soon. On a busy machine the time may be over before the key is
// made, which is refused; then it gets more.
func (s *server) shortKey(t *testing.T) string {
	t.Helper()
	client := &http.Client{Transport: bearer(s.key(t, "admin"))}
	keys := transfersv1connect.NewAccessServiceClient(client, s.url(""))
	for life := time.Second; ; life *= 2 {
		made, err := keys.CreateApiKey(t.Context(), &transfersv1.CreateApiKeyRequest{
			DisplayName: "short", Role: "viewer", ExpireTime: timestamppb.New(time.Now().Add(life)),
		})
		if err == nil {
			return made.GetSecret()
		}
		if life > *waitMax {
			t.Fatal(err)
		}
	}
}

// TestSignInExpired: a key whose time is over, and one for another network, are told apart from a
// wrong one.
func TestSignInExpired(t *testing.T) {
	s := serveKeys(t)
	expired := s.shortKey(t)
	elsewhere := s.key(t, "viewer", "--networks=192.0.2.0/24")
	p := newSignedOutPage(t, s.address)
	p.expect("status of 403 (Forbidden) http://" + s.address + "/session")
	p.open("/")
	p.signIn(elsewhere)
	p.sees("must not be used from this network")
	p.wait("the key to expire", func(context.Context) (bool, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url("/api/v1/caller"), http.NoBody)
		if err != nil {
			return false, err
		}
		response, err := (&http.Client{Transport: bearer(expired)}).Do(request)
		if err != nil {
			return false, err
		}
		return response.StatusCode == http.StatusUnauthorized, response.Body.Close()
	})
	p.signIn(expired)
	p.sees("This key has expired.")
}

// TestSignInUnderPath: a browser that does not keep the cookie is told what to do. One that does is
// signed in, also where a proxy shows the console under a path.
func TestSignInUnderPath(t *testing.T) {
	s := serveKeys(t)
	viewer := s.key(t, "viewer")
	target, err := url.Parse(s.url(""))
	if err != nil {
		t.Fatal(err)
	}
	var keep atomic.Bool
	proxy := httptest.NewServer(http.StripPrefix("/ledger", &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
		ModifyResponse: func(r *http.Response) error {
			if !keep.Load() {
				r.Header.Del("Set-Cookie")
			}
			return nil
		},
		FlushInterval: -1,
	}))
	defer proxy.CloseClientConnections() // of streams
	p := newSignedOutPage(t, strings.TrimPrefix(proxy.URL, "http://"))
	p.open("/ledger/accounts")
	p.signIn(viewer)
	p.sees("The browser did not keep the session. Use https://, or http://localhost.")
	keep.Store(true)
	p.signIn(viewer)
	p.has(heading("Accounts"))
	p.waitFor("the address as it was", `location.pathname === "/ledger/accounts"`)
	p.signOut()
}

// TestSignInEnds: a session that ends leads to where one signs in, also from a page that only
// listens; no calls are made then. After the sign-in the page goes on.
func TestSignInEnds(t *testing.T) {
	s := serveKeys(t)
	first, second := s.key(t, "viewer", "--name=first"), s.key(t, "viewer", "--name=second")
	a, b := s.account(t, "Ada Lovelace", "100"), s.account(t, "Grace Hopper", "0")
	p := newSignedOutPage(t, s.address)
	p.open("/transfers")
	p.signIn(first)
	p.says("Live")
	p.remember()
	s.revoke(t, "first")
	p.sees("Your session has ended")
	p.picture("signin-ended-1280-light.png")
	evaluate[bool](p, `performance.clearResourceTimings(); true`)
	s.transfer(t, &transfersv1.CreateTransferRequest{FromAccountId: a, ToAccountId: b, Amount: "1", Reference: "rent"})
	calls := evaluate[int](p, `new Promise((resolve) => setTimeout(() => resolve(
		performance.getEntriesByType("resource").filter((e) => e.name.includes("/transfers.v1.")).length), 3000))`)
	if calls != 0 {
		t.Errorf("%d calls are made while nobody is signed in", calls)
	}
	p.signIn(second)
	p.says("Live")
	p.has(row("rent"))
	p.remembers()
	p.sees("second")
}

// revoke revokes the key of a name on the command line.
func (s *server) revoke(t *testing.T, name string) {
	t.Helper()
	for line := range strings.Lines(s.keysCommand(t, "list")) {
		if strings.Contains(line, fmt.Sprintf("%q", name)) {
			s.keysCommand(t, "revoke", strings.Fields(line)[0])
			return
		}
	}
	t.Fatalf("there is no key %s", name)
}

// TestSignInTabs: who signs out in one tab is signed out in the others.
func TestSignInTabs(t *testing.T) {
	s := serveKeys(t)
	viewer := s.key(t, "viewer")
	p := newSignedOutPage(t, s.address)
	p.open("/accounts")
	p.signIn(viewer)
	p.has(heading("Accounts"))
	evaluate[bool](p, `new Promise((resolve) => {
		fetch("/session", { method: "DELETE" }).then(() => {
			new BroadcastChannel("session ").postMessage("changed");
			resolve(true);
		});
	})`)
	p.has(heading("Sign in"))
}
