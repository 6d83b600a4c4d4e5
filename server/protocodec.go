package server

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// withCodecs makes a handler speak our JSON, by both names that clients give it, and binary with
// our error texts.
func withCodecs() connect.HandlerOption {
	return connect.WithHandlerOptions(
		connect.WithCodec(connectJSON{name: "json"}),
		connect.WithCodec(connectJSON{name: "json; charset=utf-8"}),
		connect.WithCodec(connectProto{}),
	)
}

// A decodeError describes what is wrong with a request that could not be decoded.
type decodeError struct {
	field  string // such as transfers[3].amount; empty: no field in particular
	reason string
}

func (e *decodeError) Error() string {
	if e.field == "" {
		return e.reason
	}
	return e.field + ": " + e.reason
}

func errNoMessage(value any) error { return fmt.Errorf("%T is no proto.Message", value) }

// A connectProto is the codec of binary requests. It differs from Connect's own in its errors,
// which name the field and no Go types.
type connectProto struct{}

// Name returns the part of the content type behind application/.
func (connectProto) Name() string { return "proto" }

// IsBinary is true: Connect GET encodes messages as base64.
func (connectProto) IsBinary() bool { return true }

// Marshal encodes a message.
func (c connectProto) Marshal(message any) ([]byte, error) { return c.MarshalAppend(nil, message) }

// MarshalAppend encodes a message behind what base holds.
func (connectProto) MarshalAppend(base []byte, message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, errNoMessage(message)
	}
	return proto.MarshalOptions{}.MarshalAppend(base, m)
}

// MarshalStable encodes a message with its map entries in order.
func (connectProto) MarshalStable(message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, errNoMessage(message)
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// Unmarshal decodes a message. Connect sends its errors as invalid_argument.
func (connectProto) Unmarshal(data []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return errNoMessage(message)
	}
	if err := checkBounds(data, m.ProtoReflect().Descriptor(), protoDepthMax); err != nil {
		return err
	}
	if proto.Unmarshal(data, m) == nil {
		return nil
	}
	if field := invalidTextField(data, m.ProtoReflect().Descriptor(), protoDepthMax); field != "" {
		return &decodeError{field: field, reason: "must be valid UTF-8"}
	}
	return &decodeError{reason: "the message is malformed"}
}

// protoDepthMax is how deep messages may nest; ours are four deep at most.
const protoDepthMax = 10

// invalidTextField names the first text that is not UTF-8 in an encoded message; empty: none was
// found.
func invalidTextField(data []byte, message protoreflect.MessageDescriptor, depth int) string {
	items := map[protowire.Number]int{} // of each list so far
	for len(data) > 0 {
		number, wireType, size := protowire.ConsumeTag(data)
		if size < 0 {
			return ""
		}
		data = data[size:]
		if size = protowire.ConsumeFieldValue(number, wireType, data); size < 0 {
			return ""
		}
		field := message.Fields().ByNumber(number)
		if field != nil && wireType == protowire.BytesType {
			path := string(field.Name())
			if field.IsList() {
				path += "[" + strconv.Itoa(items[number]) + "]"
				items[number]++
			}
			value, _ := protowire.ConsumeBytes(data)
			switch {
			case field.Kind() == protoreflect.StringKind && !utf8.Valid(value):
				return path
			case field.IsMap() && invalidTextField(value, field.Message(), depth-1) != "":
				return path
			case field.Message() != nil && depth > 0:
				if inner := invalidTextField(value, field.Message(), depth-1); inner != "" {
					return path + "." + inner
				}
			}
		}
		data = data[size:]
	}
	return ""
}
