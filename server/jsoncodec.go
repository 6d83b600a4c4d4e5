package server

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"connectrpc.com/vanguard"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// jsonMarshal writes every JSON response: all fields but unset optional ones, empty lists and texts
// too.
var jsonMarshal = protojson.MarshalOptions{EmitDefaultValues: true}

// marshalJSON appends the message to base. protojson varies its spaces with each build, so that no
// client relies on them. Without them every build gives the same bytes.
func marshalJSON(base []byte, message proto.Message) ([]byte, error) {
	out, err := jsonMarshal.MarshalAppend(base, message)
	if err != nil {
		return nil, err
	}
	// Compact never makes text longer, so it can write over what it reads.
	compact := bytes.NewBuffer(out[len(base):len(base)])
	if err := json.Compact(compact, out[len(base):]); err != nil {
		return nil, err
	}
	return out[:len(base)+compact.Len()], nil
}

// unmarshalJSON reads a message. Decimal fields take numbers too. Every error is a *decodeError.
func unmarshalJSON(data []byte, message proto.Message) error {
	if len(data) == 0 {
		// The zero bytes of a body that was refused half-way must never pass as a request with
		// default values.
		return &decodeError{reason: "the body is empty; it must be a JSON object"}
	}
	plan := planOf(message.ProtoReflect().Descriptor())
	data, err := quoteDecimals(data, plan)
	if err != nil {
		return err
	}
	if err := protojson.Unmarshal(data, message); err != nil {
		return explainJSON(err, data, plan)
	}
	return nil
}

// jsonPosition matches the place of an error in protojson's texts.
var jsonPosition = regexp.MustCompile(` ?\(line (\d+):(\d+)\)`)

// explainJSON adds the field's name to an error of protojson, which gives line and column only.
// Where protojson does not even give these, the text ends too soon.
func explainJSON(err error, data []byte, plan *jsonPlan) error {
	// The space behind the prefix is sometimes a non-breaking one, so that no caller relies on it.
	reason := strings.TrimLeft(strings.TrimPrefix(err.Error(), "proto:"), " \u00a0")
	offset := -1
	if position := jsonPosition.FindStringSubmatch(reason); position != nil {
		line, _ := strconv.Atoi(position[1])
		column, _ := strconv.Atoi(position[2])
		offset = jsonOffset(data, line, column)
	}
	field := jsonPathAt(data, plan, offset)
	if field != "" {
		reason = jsonPosition.ReplaceAllString(reason, "")
	}
	return &decodeError{field: field, reason: clip(strings.TrimLeft(reason, " :"), 300)}
}

// jsonOffset returns the byte offset of a line and column, which count from 1 and columns in
// characters.
func jsonOffset(data []byte, line, column int) int {
	offset := 0
	for ; line > 1; line-- {
		end := bytes.IndexByte(data[offset:], '\n')
		if end < 0 {
			return len(data)
		}
		offset += end + 1
	}
	for at := range string(data[offset:]) {
		if column--; column == 0 {
			return offset + at
		}
	}
	return len(data)
}

// A connectJSON is the codec of application/json for the Connect protocols. It differs from
// Connect's own: decimal fields take numbers, unknown fields are refused rather than ignored, and
// errors name the field.
type connectJSON struct {
	name string
}

// Name returns the part of the content type behind application/.
func (c connectJSON) Name() string { return c.name }

// IsBinary is false: Connect GET may carry JSON as text.
func (c connectJSON) IsBinary() bool { return false }

// Marshal encodes a message.
func (c connectJSON) Marshal(message any) ([]byte, error) { return c.MarshalAppend(nil, message) }

// MarshalStable is MarshalAppend: this encoding never differs from one call to the next.
func (c connectJSON) MarshalStable(message any) ([]byte, error) { return c.MarshalAppend(nil, message) }

// MarshalAppend encodes a message behind what base holds.
func (c connectJSON) MarshalAppend(base []byte, message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, errNoMessage(message)
	}
	return marshalJSON(base, m)
}

// Unmarshal decodes a message. Connect sends its errors as invalid_argument.
func (c connectJSON) Unmarshal(data []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return errNoMessage(message)
	}
	return unmarshalJSON(data, m)
}

// A restJSON is the codec of the REST routes. Its errors are Connect errors, since vanguard sends
// any other with status 502.
type restJSON struct {
	// For lists, maps and scalars as bodies, of which no route has one. Messages as bodies go to
	// the methods below.
	vanguard.JSONCodec

	bodyFields map[protoreflect.FullName]string // the field that a message is when it is the body, such as account
}

// MarshalAppend implements vanguard.Codec.
func (c restJSON) MarshalAppend(base []byte, message proto.Message) ([]byte, error) {
	return marshalJSON(base, message)
}

// MarshalAppendStable implements vanguard.StableCodec.
func (c restJSON) MarshalAppendStable(base []byte, message proto.Message) ([]byte, error) {
	return marshalJSON(base, message)
}

// Unmarshal implements vanguard.Codec.
func (c restJSON) Unmarshal(data []byte, message proto.Message) error {
	err := unmarshalJSON(data, message)
	if err == nil {
		return nil
	}
	if field, ok := c.bodyFields[message.ProtoReflect().Descriptor().FullName()]; ok {
		err = within(field, err)
	}
	return connectError(err)
}
