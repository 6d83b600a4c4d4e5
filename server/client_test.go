package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// A client calls a method, such as AccountService/GetAccount, over one protocol. It returns the
// response's headers, of an error too.
type client interface {
	name() string
	call(ctx context.Context, method string, req, res proto.Message) (http.Header, *connect.Error)
}

// protocols returns clients for all ways to call a method. Methods without side effects have one
// more.
func (f *fixture) protocols() []client {
	return []client{
		&rpcClient{label: "connect+proto", url: f.url, http: f.http1},
		&rpcClient{label: "connect+json", url: f.url, http: f.http1, json: true},
		&rpcClient{label: "connect+get", url: f.url, http: f.http1, json: true, options: []connect.ClientOption{connect.WithHTTPGet()}},
		&rpcClient{label: "connect+h2", url: f.url, http: f.http2},
		&rpcClient{label: "grpc", url: f.url, http: f.http2, options: []connect.ClientOption{connect.WithGRPC()}},
		&rpcClient{label: "grpc+json", url: f.url, http: f.http2, json: true, options: []connect.ClientOption{connect.WithGRPC()}},
		&rpcClient{label: "grpc-web", url: f.url, http: f.http1, options: []connect.ClientOption{connect.WithGRPCWeb()}},
		&restClient{label: "rest", url: f.url, http: f.http1},
		&restClient{label: "rest+h2", url: f.url, http: f.http2, last: true},
	}
}

func (f *fixture) protocol(t *testing.T, name string) client {
	t.Helper()
	for _, c := range f.protocols() {
		if c.name() == name {
			return c
		}
	}
	t.Fatalf("there is no protocol %s", name)
	return nil
}

// eachProtocol runs a test once for each protocol, against one server.
func eachProtocol(t *testing.T, f *fixture, test func(t *testing.T, c client)) {
	for _, c := range f.protocols() {
		t.Run(c.name(), func(t *testing.T) { test(t, c) })
	}
}

func methodOf(method string) protoreflect.MethodDescriptor {
	name := protoreflect.FullName("transfers.v1." + strings.ReplaceAll(method, "/", "."))
	descriptor, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		panic(err)
	}
	return descriptor.(protoreflect.MethodDescriptor)
}

// An rpcClient speaks one of Connect's protocols.
type rpcClient struct {
	label   string
	url     string
	http    *http.Client
	json    bool
	options []connect.ClientOption
}

func (c *rpcClient) name() string { return c.label }

func (c *rpcClient) call(ctx context.Context, method string, req, res proto.Message) (http.Header, *connect.Error) {
	options := append([]connect.ClientOption{connect.WithCodec(messageCodec{json: c.json, res: res})}, c.options...)
	if isRead(method) {
		options = append(options, connect.WithIdempotency(connect.IdempotencyNoSideEffects))
	}
	raw := connect.NewClient[message, message](c.http, c.url+"/transfers.v1."+method, options...)
	answer, err := raw.CallUnary(ctx, connect.NewRequest(&message{req}))
	if err == nil {
		return answer.Header(), nil
	}
	var failed *connect.Error
	if !errors.As(err, &failed) {
		failed = connect.NewError(connect.CodeUnknown, err)
	}
	return failed.Meta(), failed
}

// isRead reports whether a method has no side effects, from its name.
func isRead(method string) bool {
	_, name, _ := strings.Cut(method, "/")
	return strings.HasPrefix(name, "Get") || strings.HasPrefix(name, "List") || strings.HasPrefix(name, "Check")
}

// A message lets one Connect client type carry every message.
type message struct{ proto.Message }

// A messageCodec encodes what a message holds. It decodes into res.
type messageCodec struct {
	json bool
	res  proto.Message
}

func (c messageCodec) Name() string {
	if c.json {
		return "json"
	}
	return "proto"
}

func (c messageCodec) IsBinary() bool { return !c.json }

func (c messageCodec) MarshalStable(m any) ([]byte, error) { return c.Marshal(m) }

func (c messageCodec) Marshal(m any) ([]byte, error) {
	if c.json {
		return protojson.Marshal(m.(*message).Message)
	}
	return proto.Marshal(m.(*message).Message)
}

func (c messageCodec) Unmarshal(data []byte, m any) error {
	target, ok := m.(proto.Message) // the status of a gRPC error
	if wrapped, isMessage := m.(*message); isMessage {
		wrapped.Message = c.res
		target, ok = c.res, true
	}
	if !ok {
		return fmt.Errorf("%T", m)
	}
	if c.json {
		return protojson.Unmarshal(data, target)
	}
	return proto.Unmarshal(data, target)
}

// A restClient makes the HTTP request that a method's annotation describes.
type restClient struct {
	label string
	url   string
	http  *http.Client
	last  bool // the last binding of the method, not the first
}

func (c *restClient) name() string { return c.label }

var pathVariable = regexp.MustCompile(`\{[a-z_.]+\}`)

func (c *restClient) call(ctx context.Context, method string, req, res proto.Message) (http.Header, *connect.Error) {
	rule := proto.GetExtension(methodOf(method).Options(), annotations.E_Http).(*annotations.HttpRule)
	if bindings := rule.GetAdditionalBindings(); c.last && len(bindings) > 0 {
		rule = bindings[len(bindings)-1]
	}
	verb, path, body, err := restRequest(rule, proto.Clone(req).ProtoReflect())
	if err != nil {
		return nil, connect.NewError(connect.CodeUnknown, err)
	}
	request, err := http.NewRequestWithContext(ctx, verb, c.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, connect.NewError(connect.CodeUnknown, err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, connect.NewError(connect.CodeUnknown, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, connect.NewError(connect.CodeUnknown, err)
	}
	if response.StatusCode != http.StatusOK {
		return response.Header, restFailure(response.StatusCode, answer)
	}
	target := res
	if field := rule.GetResponseBody(); field != "" {
		inner := res.ProtoReflect()
		target = inner.Mutable(inner.Descriptor().Fields().ByName(protoreflect.Name(field))).Message().Interface()
	}
	if err := protojson.Unmarshal(answer, target); err != nil {
		return response.Header, connect.NewError(connect.CodeUnknown, fmt.Errorf("%w in %s", err, answer))
	}
	return response.Header, nil
}

// restRequest takes from the message what goes into path and body; the rest is the query.
func restRequest(rule *annotations.HttpRule, m protoreflect.Message) (verb, path string, body []byte, err error) {
	switch {
	case rule.GetGet() != "":
		verb, path = http.MethodGet, rule.GetGet()
	case rule.GetPut() != "":
		verb, path = http.MethodPut, rule.GetPut()
	case rule.GetPatch() != "":
		verb, path = http.MethodPatch, rule.GetPatch()
	case rule.GetDelete() != "":
		verb, path = http.MethodDelete, rule.GetDelete()
	default:
		verb, path = http.MethodPost, rule.GetPost()
	}
	path = pathVariable.ReplaceAllStringFunc(path, func(variable string) string {
		owner := m
		names := strings.Split(strings.Trim(variable, "{}"), ".")
		for _, name := range names[:len(names)-1] {
			owner = owner.Mutable(owner.Descriptor().Fields().ByName(protoreflect.Name(name))).Message()
		}
		field := owner.Descriptor().Fields().ByName(protoreflect.Name(names[len(names)-1]))
		value := owner.Get(field).String()
		owner.Clear(field)
		return url.PathEscape(value)
	})
	if name := rule.GetBody(); name == "*" {
		body, err = protojson.Marshal(m.Interface())
		return verb, path, body, err
	} else if name != "" {
		field := m.Descriptor().Fields().ByName(protoreflect.Name(name))
		if body, err = protojson.Marshal(m.Get(field).Message().Interface()); err != nil {
			return "", "", nil, err
		}
		m.Clear(field)
	}
	query := url.Values{}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsList():
			for i := range value.List().Len() {
				query.Add(string(field.Name()), value.List().Get(i).String())
			}
		case field.Enum() != nil:
			query.Set(string(field.Name()), string(field.Enum().Values().ByNumber(value.Enum()).Name()))
		case field.Message() != nil:
			text, _ := protojson.Marshal(value.Message().Interface())
			query.Set(string(field.Name()), strings.Trim(string(text), `"`))
		default:
			query.Set(string(field.Name()), value.String())
		}
		return true
	})
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return verb, path, body, nil
}

// restFailure reads the google.rpc.Status of an error. Anything else is a failure of the server.
func restFailure(code int, body []byte) *connect.Error {
	var answer status.Status
	if err := protojson.Unmarshal(body, &answer); err != nil || answer.GetCode() == 0 {
		return connect.NewError(connect.CodeUnknown, fmt.Errorf("HTTP %d with no google.rpc.Status: %s", code, body))
	}
	failed := connect.NewError(connect.Code(answer.GetCode()), errors.New(answer.GetMessage()))
	for _, detail := range answer.GetDetails() {
		if wrapped, err := connect.NewErrorDetail(detail); err == nil {
			failed.AddDetail(wrapped)
		}
	}
	return failed
}
