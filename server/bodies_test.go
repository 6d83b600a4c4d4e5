package server

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"internaltransfers/gen/transfers/v1/transfersv1connect"
)

const batchProcedure = transfersv1connect.TransferServiceBatchCreateTransfersProcedure

func zipped(t *testing.T, text []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func enveloped(flags byte, message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(message))), message...)
}

// A hostileForm is a request in one protocol, from a message in JSON and one in binary.
type hostileForm struct {
	name   string
	header []string
	http2  bool
	rest   bool
	body   func(inJSON, binary []byte) []byte
}

func hostileForms(t *testing.T) []hostileForm {
	t.Helper()
	inJSON := func(text, _ []byte) []byte { return text }
	binary := func(_, text []byte) []byte { return text }
	zip := func(of func(a, b []byte) []byte) func(a, b []byte) []byte {
		return func(a, b []byte) []byte { return zipped(t, of(a, b)) }
	}
	envelope := func(flags byte, of func(a, b []byte) []byte) func(a, b []byte) []byte {
		return func(a, b []byte) []byte { return enveloped(flags, of(a, b)) }
	}
	return []hostileForm{
		{"REST", []string{"Content-Type", "application/json"}, false, true, inJSON},
		{"REST, compressed", []string{"Content-Type", "application/json", "Content-Encoding", "gzip"}, false, true, zip(inJSON)},
		{"Connect in JSON", []string{"Content-Type", "application/json"}, false, false, inJSON},
		{"Connect in JSON, compressed", []string{"Content-Type", "application/json", "Content-Encoding", "gzip"}, false, false, zip(inJSON)},
		{"Connect", []string{"Content-Type", "application/proto"}, false, false, binary},
		{"Connect, compressed", []string{"Content-Type", "application/proto", "Content-Encoding", "gzip"}, false, false, zip(binary)},
		{"gRPC", []string{"Content-Type", "application/grpc"}, true, false, envelope(0, binary)},
		{"gRPC, compressed", []string{"Content-Type", "application/grpc+proto", "Grpc-Encoding", "gzip"}, true, false, envelope(1, zip(binary))},
		{"gRPC in JSON, compressed", []string{"Content-Type", "application/grpc+json", "Grpc-Encoding", "gzip"}, true, false, envelope(1, zip(inJSON))},
		{"gRPC-Web", []string{"Content-Type", "application/grpc-web+proto"}, false, false, envelope(0, binary)},
		{"gRPC-Web, compressed", []string{"Content-Type", "application/grpc-web", "Grpc-Encoding", "gzip"}, false, false, envelope(1, zip(binary))},
	}
}

func (f *hostileForm) request(procedure, route string, inJSON, binary []byte) *http.Request {
	path := procedure
	if f.rest {
		path = route
	}
	r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(f.body(inJSON, binary)))
	for i := 0; i < len(f.header); i += 2 {
		r.Header.Set(f.header[i], f.header[i+1])
	}
	if f.http2 {
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
	}
	return r
}

// outcome returns the text of a response's body and headers, where gRPC has its errors.
func outcome(w *httptest.ResponseRecorder) string {
	return fmt.Sprint(w.Code, w.Body.String(), w.Header(), w.Result().Trailer)
}

// allocated returns how much memory a function allocates altogether, in MiB.
func allocated(f func()) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc-before.TotalAlloc) / (1 << 20)
}

// TestSmallInputsStaySmall: some kilobytes, compressed, hold millions of empty items, which took
// 0.9 GB as messages. They are counted before they become messages.
func TestSmallInputsStaySmall(t *testing.T) { //nolint:paralleltest // it measures memory
	s := newTestServer(t, Config{Logger: slog.New(slog.DiscardHandler)})
	items := (8<<20 - 100) / 3
	inJSON := []byte(`{"transfers":[` + strings.Repeat("{},", items-1) + `{}]}`)
	pairs := []byte(`{"transfers":[{"metadata":{` + strings.Repeat(`"a":"",`, 1_000_000) + `"b":""}}]}`)
	onePair := protowire.AppendBytes(protowire.AppendTag(nil, 7, protowire.BytesType), []byte("\x0a\x01a\x12\x00"))
	item := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), bytes.Repeat(onePair, 900_000))
	for _, form := range hostileForms(t) {
		for what, c := range map[string]struct {
			inJSON, binary []byte
			field          string
		}{
			"items": {inJSON, bytes.Repeat([]byte{0x0a, 0x00}, 4<<20-100), "transfers: must have at most 10000 items"},
			"pairs": {pairs, item, "metadata: must have at most 50 items"},
		} {
			r, w := form.request(batchProcedure, "/api/v1/transfers:batch", c.inJSON, c.binary), httptest.NewRecorder()
			took := allocated(func() { s.ServeHTTP(w, r) })
			if took > 64 {
				t.Errorf("%s, %s: %.0f MiB are allocated", form.name, what, took)
			}
			if got := strings.ReplaceAll(outcome(w), "%20", " "); !strings.Contains(got, c.field) {
				t.Errorf("%s, %s: %.300s", form.name, what, got)
			}
		}
	}
	if used := s.bodies.memory.used.Load(); used != 0 {
		t.Errorf("%d bytes are still taken", used)
	}
}

// TestListsAreJoined: the lists of a message that is sent in several parts are one list.
func TestListsAreJoined(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Config{Logger: slog.New(slog.DiscardHandler)})
	limits := protowire.AppendBytes(protowire.AppendTag(nil, 19, protowire.BytesType), nil)
	account := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), bytes.Repeat(limits, 8))
	for want, body := range map[string][]byte{
		"account: is given more than once":               bytes.Repeat(account, 100),
		"account.limits: must have at most 8 items":      protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), bytes.Repeat(limits, 9)),
		"update_mask.paths: must have at most 100 items": protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), bytes.Repeat([]byte("\x0a\x00"), 101)),
	} {
		r := httptest.NewRequest(http.MethodPost, transfersv1connect.AccountServiceUpdateAccountProcedure, bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/proto")
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, r); !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s, want %q", w.Body, want)
		}
	}
	packed := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), []byte{1, 1, 1, 1, 1})
	packed = protowire.AppendBytes(protowire.AppendTag(nil, 4, protowire.BytesType), packed)
	r := httptest.NewRequest(http.MethodPost, transfersv1connect.WebhookServiceCreateWebhookEndpointProcedure, bytes.NewReader(packed))
	r.Header.Set("Content-Type", "application/proto")
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, r); !strings.Contains(w.Body.String(), "filter.types: must have at most 4 items") {
		t.Errorf("packed: %s", w.Body)
	}
}

// TestBodyLimits: a request is as large as its route needs, before and after decompression.
func TestBodyLimits(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Config{Logger: slog.New(slog.DiscardHandler)})
	large := map[string]int{}
	for procedure, kind := range s.bodies.kinds {
		if kind.max != 64<<10 {
			large[procedure] = kind.max
		}
	}
	const data, most = 384 << 10, 8 << 20
	want := map[string]int{
		transfersv1connect.AccountServiceCreateAccountProcedure:         data,
		transfersv1connect.AccountServiceUpdateAccountProcedure:         data,
		transfersv1connect.TransferServiceCreateTransferProcedure:       data,
		transfersv1connect.TransferServicePostTransferProcedure:         data,
		transfersv1connect.TransferServiceReverseTransferProcedure:      data,
		transfersv1connect.ScheduleServiceCreateScheduleProcedure:       data,
		transfersv1connect.TransferServiceBatchCreateTransfersProcedure: most,
		transfersv1connect.TransferServiceImportTransfersProcedure:      most,
	}
	if !maps.Equal(large, want) {
		t.Errorf("larger than 64 KiB may be %v, want %v", large, want)
	}
	spaces := bytes.Repeat([]byte(" "), 64<<10+1)
	for _, form := range hostileForms(t) {
		r := form.request(transfersv1connect.LedgerServiceCreateCurrencyProcedure, "/api/v1/currencies", spaces, spaces)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if got := strings.ReplaceAll(outcome(w), "%20", " "); !strings.Contains(got, "larger than 65536 bytes") {
			t.Errorf("%s: %.300s", form.name, got)
		}
	}
}

// TestRequestsAreBounded: what the decoders count on is true of all requests.
func TestRequestsAreBounded(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Config{Logger: slog.New(slog.DiscardHandler)})
	if len(s.bodies.kinds) < 30 {
		t.Fatalf("only %d procedures", len(s.bodies.kinds))
	}
	var check func(message protoreflect.MessageDescriptor, depth int)
	check = func(message protoreflect.MessageDescriptor, depth int) {
		if depth == 0 {
			t.Errorf("%s nests too deeply", message.FullName())
			return
		}
		for i := range message.Fields().Len() {
			field := message.Fields().Get(i)
			if field.Number() >= countedMax {
				t.Errorf("%s has the number %d", field.FullName(), field.Number())
			}
			if field.Cardinality() == protoreflect.Repeated && itemsMax(field) == math.MaxInt {
				t.Errorf("%s has no rule of how many items it may have", field.FullName())
			}
			if field.IsMap() && field.MapValue().Message() != nil {
				t.Errorf("%s has messages, which are not counted", field.FullName())
			}
			if field.Message() != nil && !field.IsMap() {
				check(field.Message(), depth-1)
			}
		}
	}
	for procedure := range s.bodies.kinds {
		check(inputOf(t, procedure), protoDepthMax)
	}
}

func inputOf(t *testing.T, procedure string) protoreflect.MessageDescriptor {
	t.Helper()
	name := strings.ReplaceAll(strings.TrimPrefix(procedure, "/"), "/", ".")
	descriptor, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		t.Fatal(err)
	}
	return descriptor.(protoreflect.MethodDescriptor).Input()
}

// TestUnfinishedBodiesStaySmall: bodies that do not end take the memory that their senders had to
// send, not that of what they would be when decompressed.
func TestUnfinishedBodiesStaySmall(t *testing.T) { //nolint:paralleltest // it measures memory
	s := newTestServer(t, Config{Logger: slog.New(slog.DiscardHandler)})
	url, client := listenHTTP2(t, s)
	const bodies = 100
	body := zipped(t, []byte(`{"transfers":[`+strings.Repeat("{},", 2_700_000)))
	body = body[:len(body)-12] // without its end
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	end := hold(t, s, client, url, "/api/v1/transfers:batch", body, bodies, int64(bodies*len(body)))
	runtime.GC()
	runtime.ReadMemStats(&after)
	if took := (float64(after.HeapInuse) - float64(before.HeapInuse)) / (1 << 20); took > 64 {
		t.Errorf("%d unfinished bodies of %d bytes take %.0f MiB", bodies, len(body), took)
	}
	end()
}

// listenHTTP2 serves on a port, and returns a client that speaks HTTP/2 without TLS.
func listenHTTP2(t *testing.T, s *Server) (url string, client *http.Client) {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: s, Protocols: protocols, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: streamsMax}} //nolint:gosec // a test
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return "http://" + listener.Addr().String(), &http.Client{Transport: &http.Transport{Protocols: protocols}}
}

// hold begins n requests with a body that does not end, and waits until they take so much memory of
// the server's budget.
func hold(t *testing.T, s *Server, client *http.Client, url, path string, body []byte, n int, taken int64) (end func()) {
	t.Helper()
	var pipes []*io.PipeWriter
	var responses sync.WaitGroup
	for range n {
		r, w := io.Pipe()
		pipes = append(pipes, w)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+path, r)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Content-Encoding", "gzip")
		responses.Go(func() {
			if res, err := client.Do(req); err == nil {
				_ = res.Body.Close()
			}
		})
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for s.bodies.memory.used.Load() < taken {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%d bytes are taken of %d", s.bodies.memory.used.Load(), taken)
		}
	}
	return func() {
		for _, w := range pipes {
			_ = w.CloseWithError(io.ErrUnexpectedEOF)
		}
		responses.Wait()
	}
}

// TestMemoryBusy: what does not fit into the memory of all requests is refused at once, and served
// when the others have ended.
func TestMemoryBusy(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Config{Logger: slog.New(slog.DiscardHandler), MaxRequestBytes: 64 << 10, RequestMemoryBytes: 256 << 10})
	url, client := listenHTTP2(t, s)
	end := hold(t, s, client, url, "/api/v1/transfers:batch", bytes.Repeat([]byte("x"), 33<<10), 4, 256<<10)
	spaces := append(bytes.Repeat([]byte(" "), 30<<10), 'x')
	try := func(form hostileForm) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, form.request(batchProcedure, "/api/v1/transfers:batch", spaces, spaces))
		return w
	}
	for _, form := range hostileForms(t) {
		w := try(form)
		got := strings.ReplaceAll(outcome(w), "%20", " ")
		if !strings.Contains(got, "take all memory") || (!strings.Contains(form.name, "gRPC") && (w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1")) {
			t.Errorf("%s: %.300s", form.name, got)
		}
	}
	end()
	waitUnused(t, s)
	for _, form := range hostileForms(t) {
		if got := outcome(try(form)); strings.Contains(got, "memory") {
			t.Errorf("%s, afterwards: %.300s", form.name, got)
		}
	}
	if used := s.bodies.memory.used.Load(); used != 0 {
		t.Errorf("%d bytes are still taken", used)
	}
}

func waitUnused(t *testing.T, s *Server) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for s.bodies.memory.used.Load() != 0 {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%d bytes are still taken", s.bodies.memory.used.Load())
		}
	}
}
