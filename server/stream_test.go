package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/protobuf/types/known/timestamppb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/gen/transfers/v1/transfersv1connect"
	"internaltransfers/ledger"
)

// A streamFixture serves one stream, whose handler is a function of the test, by every protocol and
// by REST.
type streamFixture struct {
	t        *testing.T
	url      string
	log      *lockedBuffer
	registry *prometheus.Registry
	ended    chan error // what each call's handler returned
}

type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

type sender func(*httpbody.HttpBody) error

func newStreamFixture(t *testing.T, timeout time.Duration, answer func(ctx context.Context, send sender) error) *streamFixture {
	t.Helper()
	f := &streamFixture{t: t, log: &lockedBuffer{}, registry: prometheus.NewRegistry(), ended: make(chan error, 1)}
	s := newTestServer(t, Config{
		RequestTimeout: timeout, Metrics: f.registry,
		Logger: slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	run := func(ctx context.Context, send sender) (err error) {
		defer func() { f.ended <- err }()
		return answer(ctx, send)
	}
	const procedure = transfersv1connect.AccountServiceExportStatementProcedure
	handler := connect.NewServerStreamHandlerSimple(procedure,
		func(ctx context.Context, _ *transfersv1.ExportStatementRequest, stream *connect.ServerStream[httpbody.HttpBody]) error {
			return run(ctx, stream.Send)
		}, withCodecs(), s.interceptors())
	rest, err := newREST([]service{{
		name: transfersv1connect.AccountServiceName, path: procedure, handler: handler,
		exports: map[string]connect.StreamingHandlerFunc{procedure: s.export(
			func(ctx context.Context, conn connect.StreamingHandlerConn) error {
				if err := conn.Receive(&transfersv1.ExportStatementRequest{}); err != nil {
					return err
				}
				return run(ctx, func(body *httpbody.HttpBody) error { return conn.Send(body) })
			})},
	}}, s.bodies)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(procedure, handler)
	mux.Handle("/api/", rest)
	s.handler = s.withCall(withLength(mux))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		<-served //nolint:errcheck // other tests check how it ends
	})
	f.url = "http://" + listener.Addr().String()
	return f
}

// each runs a test for each way to make the call, or for those that are named. The call returns
// what came and the error that it ended with.
func (f *streamFixture) each(test func(t *testing.T, call func(ctx context.Context, each func([]byte)) error), names ...string) {
	run := func(name string, test func(t *testing.T)) {
		if len(names) == 0 || slices.Contains(names, name) {
			f.t.Run(name, test)
		}
	}
	for _, c := range []struct {
		name    string
		http2   bool
		options []connect.ClientOption
	}{
		{"connect", false, nil},
		{"connect+h2", true, nil},
		{"grpc", true, []connect.ClientOption{connect.WithGRPC()}},
		{"grpc-web", false, []connect.ClientOption{connect.WithGRPCWeb()}},
		{"grpc-web+h2", true, []connect.ClientOption{connect.WithGRPCWeb()}},
	} {
		run(c.name, func(t *testing.T) {
			client := f.client(t, c.http2)
			test(t, func(ctx context.Context, each func([]byte)) error {
				raw := connect.NewClient[transfersv1.ExportStatementRequest, httpbody.HttpBody](client,
					f.url+transfersv1connect.AccountServiceExportStatementProcedure, c.options...)
				stream, err := raw.CallServerStream(ctx, connect.NewRequest(&transfersv1.ExportStatementRequest{
					AccountId: uuid.NewString(), StartTime: timestamppb.Now(),
				}))
				if err != nil {
					return err
				}
				defer stream.Close()
				for stream.Receive() {
					each(stream.Msg().GetData())
				}
				return stream.Err()
			})
		})
	}
	for _, http2 := range []bool{false, true} {
		run(map[bool]string{false: "rest", true: "rest+h2"}[http2], func(t *testing.T) {
			client := f.client(t, http2)
			test(t, func(ctx context.Context, each func([]byte)) error { return f.download(ctx, client, each) })
		})
	}
}

// download makes the call over REST.
func (f *streamFixture) download(ctx context.Context, client *http.Client, each func([]byte)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet,
		f.url+"/api/v1/accounts/"+uuid.NewString()+"/statement.csv?start_time=2020-01-01T00:00:00Z", nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(res.Body)
		return errors.New(string(text))
	}
	for {
		var part [1000]byte
		n, err := res.Body.Read(part[:])
		if n > 0 {
			each(part[:n])
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (f *streamFixture) client(t *testing.T, http2 bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// counted returns how many calls ended with the code.
func (f *streamFixture) counted(t *testing.T, code string) (n uint64) {
	t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetName() == "code" && label.GetValue() == code {
					n += metric.GetHistogram().GetSampleCount()
				}
			}
		}
	}
	return n
}

func body(text string) *httpbody.HttpBody {
	return &httpbody.HttpBody{ContentType: "text/plain", Data: []byte(text)}
}

// TestStreamPanics: a handler that panics half-way ends one call, which its client cannot take for
// a whole response.
func TestStreamPanics(t *testing.T) {
	t.Parallel()
	f := newStreamFixture(t, time.Minute, func(_ context.Context, send sender) error {
		if err := send(body("half")); err != nil {
			return err
		}
		panic("secret")
	})
	calls := uint64(0)
	f.each(func(t *testing.T, call func(context.Context, func([]byte)) error) {
		calls++
		var got []byte
		err := call(t.Context(), func(part []byte) { got = append(got, part...) })
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.HasPrefix("half", string(got)) {
			t.Errorf("%q, %v", got, err)
		}
		if rest := strings.HasPrefix(t.Name()[strings.LastIndex(t.Name(), "/"):], "/rest"); !rest && connect.CodeOf(err) != connect.CodeInternal {
			t.Errorf("%v", err)
		}
		<-f.ended //nolint:errcheck // it only has to have ended
	})
	if n := f.counted(t, "internal"); n != calls {
		t.Errorf("%d of %d were counted", n, calls)
	}
	if log := f.log.String(); strings.Count(log, "msg=panic") != int(calls) || strings.Count(log, "msg=call") != int(calls) ||
		strings.Count(log, "protocol=rest") != 2 || !strings.Contains(log, "secret") {
		t.Errorf("the log says %s", log)
	}
}

// TestStreamErrors: an error before the first message, of a kind that clients may see, and of one
// that they may not.
func TestStreamErrors(t *testing.T) {
	t.Parallel()
	var answer error
	f := newStreamFixture(t, time.Minute, func(context.Context, sender) error { return answer })
	for _, c := range []struct {
		err  error
		want string
	}{
		{&ledger.NotFoundError{Kind: "account"}, "there is no account"},
		{errors.New("secret"), "internal error"},
		{ledger.ErrUnavailable, "not available"},
	} {
		answer = c.err
		f.each(func(t *testing.T, call func(context.Context, func([]byte)) error) {
			err := call(t.Context(), func(part []byte) { t.Errorf("got %q", part) })
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
			<-f.ended //nolint:errcheck // it only has to have ended
		})
	}
}

// TestStreamOutlastsTimeLimits: a stream whose handler waits for news may last longer than any
// call.
func TestStreamOutlastsTimeLimits(t *testing.T) {
	const limit = 300 * time.Millisecond // so the server would cut a response off after 900 ms
	f := newStreamFixture(t, limit, func(ctx context.Context, send sender) error {
		for range 2 {
			// No news for a while, and then some.
			idle, cancel := context.WithTimeout(ctx, 4*limit)
			defer cancel()
			if <-idle.Done(); ctx.Err() != nil {
				return ctx.Err()
			}
			if err := send(body("x")); err != nil {
				return err
			}
		}
		return send(body("end"))
	})
	f.each(func(t *testing.T, call func(context.Context, func([]byte)) error) {
		var last []byte
		err := call(t.Context(), func(part []byte) { last = append(last, part...) })
		if ended := <-f.ended; err != nil || ended != nil || string(last) != "xxend" {
			t.Errorf("%q, %v; the handler %v", last, err, ended)
		}
	}, "connect", "grpc", "rest")
}

// TestStreamToNobody: a client that takes nothing any more holds a stream for no longer than a call
// may take.
func TestStreamToNobody(t *testing.T) {
	noise := make([]byte, 100_000) // which does not compress
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	f := newStreamFixture(t, 50*time.Millisecond, func(_ context.Context, send sender) error {
		for {
			if err := send(body(string(noise))); err != nil {
				return err
			}
		}
	})
	f.each(func(t *testing.T, call func(context.Context, func([]byte)) error) {
		var ended error
		var once sync.Once
		hang := func() { once.Do(func() { ended = <-f.ended }) }
		_ = call(t.Context(), func([]byte) { hang() })
		hang() // if nothing came
		if !errors.Is(ended, context.Canceled) {
			t.Errorf("the handler ended with %v", ended)
		}
	})
	if strings.Contains(f.log.String(), "level=ERROR") {
		t.Errorf("that is no error of the server's: %s", f.log)
	}
}

// TestStreamStep: one step of a handler may take as long as a call.
func TestStreamStep(t *testing.T) {
	f := newStreamFixture(t, time.Second, func(ctx context.Context, _ sender) error {
		step, cancel := withinStep(ctx)
		defer cancel()
		<-step.Done()
		return errors.Join(step.Err(), ctx.Err())
	})
	f.each(func(t *testing.T, call func(context.Context, func([]byte)) error) {
		err := call(t.Context(), func([]byte) {})
		if ended := <-f.ended; err == nil || !strings.Contains(err.Error(), "deadline passed") || ended.Error() != context.DeadlineExceeded.Error() {
			t.Errorf("%v; the handler %v", err, ended)
		}
	})
}

// TestStreamIsLeft: a handler sees that its client has gone.
func TestStreamIsLeft(t *testing.T) {
	t.Parallel()
	f := newStreamFixture(t, time.Minute, func(ctx context.Context, send sender) error {
		if err := send(body("x")); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	})
	f.each(func(t *testing.T, call func(context.Context, func([]byte)) error) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if err := call(ctx, func([]byte) { cancel() }); err == nil {
			t.Error("the call ended well")
		}
		if ended := <-f.ended; !errors.Is(ended, context.Canceled) {
			t.Errorf("the handler ended with %v", ended)
		}
	})
}

// TestBrokenExportOverHTTP10: over HTTP/1.0, which nginx speaks to servers by default, a file ends
// where its connection does. So a connection whose file is broken off is reset, or half a file
// would be taken for a whole one.
func TestBrokenExportOverHTTP10(t *testing.T) {
	t.Parallel()
	for _, broken := range []bool{false, true} {
		release := make(chan struct{})
		f := newStreamFixture(t, time.Minute, func(_ context.Context, send sender) error {
			if err := send(body("half")); err != nil {
				return err
			}
			<-release
			if broken {
				panic("secret")
			}
			return send(body(" and half"))
		})
		conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, err = io.WriteString(conn, "GET /api/v1/accounts/"+uuid.NewString()+"/statement.csv?start_time=2020-01-01T00:00:00Z HTTP/1.0\r\n\r\n")
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var half [4]byte
		if _, err := io.ReadFull(res.Body, half[:]); err != nil {
			t.Fatal(err)
		}
		close(release)
		rest, err := io.ReadAll(res.Body)
		if broken != errors.Is(err, syscall.ECONNRESET) || !broken && (err != nil || string(rest) != " and half") {
			t.Errorf("broken off: %t; %q, %v", broken, rest, err)
		}
		<-f.ended //nolint:errcheck // it only has to have ended
	}
}
