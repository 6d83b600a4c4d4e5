package server_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/internal/access"
	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/server"
)

var peer = netip.MustParseAddr("127.0.0.1")

var updateGolden = flag.Bool("update", false, "write testdata/permissions.txt instead of comparing it")

// A guarded fixture has a server that requires keys.
type guarded struct {
	*fixture
	keys *access.Keyring
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	database := pgtest.NewDatabase(t)
	return guard(t, database, openLedger(t, postgres.Config{DatabaseURL: database}))
}

// openKeys opens the keys of a database, which are closed when the test ends.
func openKeys(t *testing.T, database string) *access.Keyring {
	t.Helper()
	d, err := pgdb.Open(t.Context(), pgdb.Target{URL: database, Schema: "ledger"}, pgdb.Writing)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := access.Open(t.Context(), access.Config{Database: d})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(keys.Close)
	return keys
}

// guard starts one more server on a database.
func guard(t *testing.T, database string, l *postgres.Ledger) *guarded {
	t.Helper()
	keys := openKeys(t, database)
	f := serve(t, server.Config{Ledger: l, Keys: keys, AuthRequired: true})
	f.database = database
	return &guarded{f, keys}
}

// key makes a key for the operator and returns its secret.
func (g *guarded) key(t *testing.T, p access.Params) (access.Key, string) {
	t.Helper()
	if p.Name == "" {
		p.Name = "key of " + t.Name()
	}
	key, secret, err := g.keys.Create(t.Context(), nil, p)
	if err != nil {
		t.Fatal(err)
	}
	return key, secret
}

// role returns the fixture for a caller with a new key of that role.
func (g *guarded) role(t *testing.T, role string) *fixture {
	t.Helper()
	_, secret := g.key(t, access.Params{Role: role})
	return g.as("Bearer " + secret)
}

// as returns the fixture for a caller who sends that header; empty: none.
func (g *guarded) as(header string) *fixture {
	f := *g.fixture
	f.http1 = &http.Client{Transport: &authorized{g.http1.Transport, header}, Timeout: time.Minute}
	f.http2 = &http.Client{Transport: &authorized{g.http2.Transport, header}, Timeout: time.Minute}
	return &f
}

// authorized adds the header Authorization to requests.
type authorized struct {
	http.RoundTripper
	header string
}

func (a *authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	if a.header != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", a.header)
	}
	return a.RoundTripper.RoundTrip(r)
}

// infoOf returns the reason of an error and its metadata.
func infoOf(err *connect.Error) (reason string, metadata map[string]string) {
	for _, detail := range err.Details() {
		if message, err := detail.Value(); err == nil {
			if info, ok := message.(*errdetails.ErrorInfo); ok {
				return info.GetReason(), info.GetMetadata()
			}
		}
	}
	return "", nil
}

// methods returns all methods of the API, such as AccountService/GetAccount.
func methods(t *testing.T) []protoreflect.MethodDescriptor {
	t.Helper()
	var all []protoreflect.MethodDescriptor
	protoregistry.GlobalFiles.RangeFilesByPackage("transfers.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				all = append(all, service.Methods().Get(j))
			}
		}
		return true
	})
	slices.SortFunc(all, func(a, b protoreflect.MethodDescriptor) int {
		return strings.Compare(string(a.FullName()), string(b.FullName()))
	})
	return all
}

func nameOf(m protoreflect.MethodDescriptor) string {
	return string(m.Parent().Name()) + "/" + string(m.Name())
}

// anyRequest is a request of a method with ids where its REST routes have variables.
func anyRequest(m protoreflect.MethodDescriptor) proto.Message {
	message := dynamicpb.NewMessage(m.Input())
	fill := func(owner protoreflect.Message) {
		fields := owner.Descriptor().Fields()
		for i := range fields.Len() {
			f := fields.Get(i)
			if f.Kind() == protoreflect.StringKind && !f.IsList() && !f.IsMap() && strings.HasSuffix(string(f.Name()), "_id") {
				owner.Set(f, protoreflect.ValueOfString("0192a1b2-0000-7000-8000-000000000001"))
			}
		}
	}
	fill(message)
	if f := m.Input().Fields().ByName("account"); f != nil {
		fill(message.Mutable(f).Message())
	}
	return message
}

// callAny calls a method over one protocol; of a stream it returns how it ends.
func callAny(t *testing.T, c client, m protoreflect.MethodDescriptor) *connect.Error {
	t.Helper()
	if !m.IsStreamingServer() {
		_, err := c.call(t.Context(), nameOf(m), anyRequest(m), dynamicpb.NewMessage(m.Output()))
		return err
	}
	rpc, isRPC := c.(*rpcClient)
	if !isRPC || rpc.json {
		return nil // of a stream there is no such form
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := connect.NewClient[transfersv1.WatchAccountRequest, transfersv1.WatchAccountResponse](
		rpc.http, rpc.url+"/transfers.v1."+nameOf(m), rpc.options...).
		CallServerStream(ctx, connect.NewRequest(&transfersv1.WatchAccountRequest{AccountId: uuid.NewString()}))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if stream.Receive() {
		return nil // it may be read, and may never end
	}
	failed, _ := stream.Err().(*connect.Error) //nolint:errorlint // connect returns no other
	return failed
}

// TestNobodyUnknownCalls: every method, over every protocol, refuses callers without a right key,
// with one reason and one text for all that are wrong, and does nothing.
func TestNobodyUnknownCalls(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	treasurer := g.role(t, "treasurer")
	before := treasurer.counts(t)
	key, secret := g.key(t, access.Params{Role: "viewer"})
	gone, revoked := g.key(t, access.Params{Role: "treasurer"})
	if _, err := g.keys.Revoke(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	_, elsewhere := g.key(t, access.Params{Role: "treasurer", Networks: []string{"192.0.2.0/24"}})
	other := "itk_" + strings.ReplaceAll(key.ID.String(), "-", "") + secret[36:len(secret)-1]
	for _, c := range []struct {
		what, header, reason string
		code                 connect.Code
	}{
		{"none", "", "CREDENTIALS_MISSING", connect.CodeUnauthenticated},
		{"another scheme", "Basic " + secret, "CREDENTIALS_INVALID", connect.CodeUnauthenticated},
		{"malformed", "Bearer itk_x", "CREDENTIALS_INVALID", connect.CodeUnauthenticated},
		{"bad checksum", "Bearer " + other + "_", "CREDENTIALS_INVALID", connect.CodeUnauthenticated},
		{"revoked", "Bearer " + revoked, "CREDENTIALS_INVALID", connect.CodeUnauthenticated},
		{"another network", "Bearer " + elsewhere, "NETWORK_NOT_ALLOWED", connect.CodePermissionDenied},
	} {
		f := g.as(c.header)
		texts := map[string]bool{}
		for _, p := range f.protocols() {
			for _, m := range methods(t) {
				if _, isREST := p.(*restClient); isREST && (m.IsStreamingServer() || !proto.HasExtension(m.Options(), annotations.E_Http)) {
					continue
				}
				if m.IsStreamingServer() && p.(*rpcClient).json {
					continue
				}
				err := callAny(t, p, m)
				if err == nil || err.Code() != c.code {
					t.Errorf("%s: %s over %s: %v", c.what, nameOf(m), p.name(), err)
					continue
				}
				if reason, _ := infoOf(err); reason != c.reason {
					t.Errorf("%s: %s over %s: the reason is %q", c.what, nameOf(m), p.name(), reason)
				}
				texts[err.Message()] = true
			}
		}
		if len(texts) != 1 {
			t.Errorf("%s: there are several texts: %v", c.what, texts)
		}
	}
	if after := treasurer.counts(t); after != before {
		t.Errorf("refused calls left %v where %v were", after, before)
	}
}

// TestPermissions: each role may call just the methods that testdata/permissions.txt says. A new
// method fails until it is listed there: go test -run TestPermissions ./server -args -update.
func TestPermissions(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	const golden = "testdata/permissions.txt"
	clients := map[string]client{}
	for _, role := range access.Roles() {
		clients[role] = g.role(t, role).protocol(t, "connect+proto")
	}
	var table strings.Builder
	for _, m := range methods(t) {
		option, _ := proto.GetExtension(m.Options(), transfersv1.E_Access).(*transfersv1.Access)
		fmt.Fprintf(&table, "%s\n  needs %s\n  roles", nameOf(m), strings.Join(option.GetPermissions(), " "))
		for _, role := range access.Roles() {
			err := callAny(t, clients[role], m)
			if err == nil || err.Code() != connect.CodePermissionDenied {
				if err != nil && err.Code() == connect.CodeUnauthenticated {
					t.Errorf("%s of %s: %v", nameOf(m), role, err)
				}
				fmt.Fprintf(&table, " %s", role)
				continue
			}
			reason, metadata := infoOf(err)
			if reason != "PERMISSION_MISSING" || !slices.Contains(option.GetPermissions(), metadata["permission"]) {
				t.Errorf("%s of %s: %s %v", nameOf(m), role, reason, metadata)
			}
		}
		table.WriteString("\n")
	}
	if *updateGolden {
		if err := os.WriteFile(golden, []byte(table.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != table.String() {
		t.Errorf("the roles may call other methods than %s says:\n%s", golden, table.String())
	}
}
