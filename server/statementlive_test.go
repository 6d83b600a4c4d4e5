package server_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/server"
)

// TestStatementsAreTheSameBytes reads statements while transfers go on, backdated ones among them,
// and reads each again at its position: page by page in JSON and in binary, as a stream, and as a
// file.
func TestStatementsAreTheSameBytes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	c := f.protocol(t, "grpc")
	a, b := open(t, c, "1000"), open(t, c, "1000")
	start := timestamppb.New(time.Now().Add(-time.Hour))
	settle := payAround(t, c, a, b, start.AsTime())
	read := func(req *transfersv1.GetStatementRequest) string {
		var all bytes.Buffer
		page := proto.CloneOf(req)
		for page.PageSize = 70; ; {
			body, err := protojson.Marshal(page)
			if err != nil {
				t.Fatal(err)
			}
			res, text := f.send(t, http.MethodPost, "/transfers.v1.AccountService/GetStatement", string(body))
			answer := &transfersv1.GetStatementResponse{}
			if err := protojson.Unmarshal([]byte(text), answer); err != nil || res.StatusCode != http.StatusOK {
				t.Fatalf("%d %s: %v", res.StatusCode, text, err)
			}
			all.WriteString(text)
			if page.PageToken = answer.GetNextPageToken(); page.GetPageToken() == "" {
				break
			}
		}
		if got, failed := streamedStatement(t, f.protocol(t, "grpc-web").(*rpcClient), req); failed != nil {
			t.Fatal(failed)
		} else if binary, err := (proto.MarshalOptions{Deterministic: true}).Marshal(got); err != nil {
			t.Fatal(err)
		} else {
			all.Write(binary)
		}
		_, file := f.send(t, http.MethodGet, csvPath(req), "")
		all.WriteString(file)
		return all.String()
	}
	requests, texts := []*transfersv1.GetStatementRequest{}, []string{}
	for n := range 10 {
		req := &transfersv1.GetStatementRequest{AccountId: a.GetAccountId(), StartTime: start, Basis: bases[n%2]}
		head := mustCall(t, c, "AccountService/GetStatement", req, &transfersv1.GetStatementResponse{}).GetStatement()
		req.EndTime, req.Position = head.GetEndTime(), proto.Int64(head.GetPosition())
		requests, texts = append(requests, req), append(texts, read(req))
		if read(req) != texts[n] || read(requests[n/2]) != texts[n/2] {
			t.Fatalf("other bytes at %d or %d", n, n/2)
		}
	}
	settle()
	for n, req := range requests {
		if read(req) != texts[n] {
			t.Errorf("other bytes at %d in the end", n)
		}
	}
	if first, last := requests[0].GetPosition(), requests[9].GetPosition(); last < first+20 {
		t.Errorf("nothing went on: from %d entries to %d", first, last)
	}
}

// payAround has eight callers make transfers between two accounts, every third of them backdated,
// until end is called.
func payAround(t *testing.T, c client, a, b *transfersv1.Account, start time.Time) (end func()) {
	stop := make(chan struct{})
	var payers sync.WaitGroup
	for i := range 8 {
		payers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				req := transferRequest(a, b, "1")
				if (i+n)%2 == 0 {
					req = transferRequest(b, a, "1")
				}
				if n%3 == 0 {
					req.EffectiveTime = timestamppb.New(start.Add(time.Duration(n%50) * time.Second))
				}
				if _, err := c.call(t.Context(), "TransferService/CreateTransfer", req, &transfersv1.CreateTransferResponse{}); err != nil {
					t.Errorf("transfer: %v", err)
					return
				}
			}
		})
	}
	return func() {
		close(stop)
		payers.Wait()
	}
}

// TestLargeStatement streams more entries than fit into the memory that it may take, to a slow
// client: a server that reads ahead would hold them all.
func TestLargeStatement(t *testing.T) {
	const (
		entries   = 20_000
		reference = 200 // characters, of four bytes: 16 MB in all, 19 MB as a file
		allowed   = 16 << 20
	)
	f := newFixture(t, server.Config{})
	c := f.protocol(t, "grpc")
	a, b := open(t, c, fmt.Sprint(entries)), open(t, c, "")
	for range 20 {
		req := &transfersv1.BatchCreateTransfersRequest{}
		for range entries / 20 {
			item := transferRequest(a, b, "1")
			item.Reference = strings.Repeat("🐟", reference)
			req.Transfers = append(req.Transfers, item)
		}
		mustCall(t, c, "TransferService/BatchCreateTransfers", req, &transfersv1.BatchCreateTransfersResponse{})
	}
	req := &transfersv1.GetStatementRequest{AccountId: b.GetAccountId(), StartTime: b.GetCreateTime()}
	for i, name := range []string{"connect+json", "grpc"} {
		basis := bases[i]
		req.Basis = basis
		rpc := f.protocol(t, name).(*rpcClient)
		memory, got, size := newMemory(), 0, 0
		var head *transfersv1.Statement
		if _, failed := streamOver(t, rpc, "AccountService/StreamStatement", &transfersv1.StreamStatementRequest{
			AccountId: req.GetAccountId(), StartTime: req.GetStartTime(), Basis: basis,
		}, func(part *transfersv1.StreamStatementResponse) {
			if part.GetStatement() != nil {
				head = part.GetStatement()
			}
			got += len(part.GetEntries().GetEntries())
			memory.measure()
		}); failed != nil || got != entries || head.GetEntryCount() != entries || head.GetClosingBalance() != fmt.Sprint(entries, ".00") {
			t.Errorf("%s: %d of %v, %v", name, got, head, failed)
		}
		memory.require(t, name+" stream", allowed)
		memory = newMemory()
		if _, failed := streamOver(t, rpc, "AccountService/ExportStatement", &transfersv1.ExportStatementRequest{
			AccountId: req.GetAccountId(), StartTime: req.GetStartTime(), Basis: basis,
		}, func(part *httpbody.HttpBody) {
			size += len(part.GetData())
			memory.measure()
		}); failed != nil || size < entries*reference*4 {
			t.Errorf("%s: %d bytes, %v", name, size, failed)
		}
		memory.require(t, name+" export", allowed)
		memory = newMemory()
		lines := 0
		res, err := f.http1.Get(f.url + csvPath(req))
		if err != nil {
			t.Fatal(err)
		}
		scanner := bufio.NewScanner(res.Body)
		for scanner.Scan() {
			if lines++; lines%250 == 0 {
				memory.measure()
			}
		}
		if scanner.Err() != nil || lines != entries+3 {
			t.Errorf("over REST: %d lines, %v", lines, scanner.Err())
		}
		_ = res.Body.Close()
		memory.require(t, "REST", allowed)
	}
}

// A memory is the peak of the bytes in use beyond those at its start.
type memory struct{ before, most, measured int64 }

func newMemory() *memory { return &memory{before: live()} }

// live returns how many bytes are in use. The second collection frees what pools keep.
func live() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// measure samples the memory in use, at every eighth call.
func (m *memory) measure() {
	if m.measured++; m.measured%8 == 0 {
		m.most = max(m.most, live()-m.before)
	}
}

func (m *memory) require(t *testing.T, what string, allowed int64) {
	t.Helper()
	t.Logf("%s: %d bytes more than before", what, m.most)
	if m.most > allowed {
		t.Errorf("%s: up to %d bytes more than before", what, m.most)
	}
}
