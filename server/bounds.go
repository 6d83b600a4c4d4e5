package server

import (
	"fmt"
	"math"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// A list of empty items takes two or three bytes an item on the wire, next to nothing when it is
// compressed, and hundreds of bytes an item as messages. Validation would refuse it, but sees
// messages. So the decoders count first, by the same rules.

// wellKnownItemsMax bounds the lists of messages whose rules are not ours: the paths of a field
// mask.
const wellKnownItemsMax = 100

// itemsMax returns how many items a list, or pairs a map, may have. Lists without a rule are those
// of responses, and are not bounded.
func itemsMax(field protoreflect.FieldDescriptor) int {
	if strings.HasPrefix(string(field.ContainingMessage().FullName()), wellKnown) {
		return wellKnownItemsMax
	}
	rules, ok := proto.GetExtension(field.Options(), validate.E_Field).(*validate.FieldRules)
	if !ok {
		return math.MaxInt
	}
	for _, most := range [...]uint64{rules.GetRepeated().GetMaxItems(), rules.GetMap().GetMaxPairs()} {
		if most > 0 && most <= math.MaxInt32 {
			return int(most)
		}
	}
	return math.MaxInt
}

// tooMany returns the error for a list or a map with more than most items.
func tooMany(field string, most int) *decodeError {
	return &decodeError{field: field, reason: fmt.Sprintf("must have at most %d items", most)}
}

// countedMax is above the numbers of all fields in requests.
const countedMax = 64

// checkBounds refuses an encoded message in which a list or a map has more items than its rule
// allows, or which nests too deeply. A field that holds one message must be there once: the lists
// of several would be joined. Malformed messages are left to the decoder, nil.
func checkBounds(data []byte, message protoreflect.MessageDescriptor, depth int) *decodeError {
	if depth == 0 {
		return &decodeError{reason: "is nested too deeply"}
	}
	var counts [countedMax]int
	for len(data) > 0 {
		number, wireType, size := protowire.ConsumeTag(data)
		if size < 0 {
			return nil
		}
		data = data[size:]
		if size = protowire.ConsumeFieldValue(number, wireType, data); size < 0 {
			return nil
		}
		value := data[:size]
		data = data[size:]
		field := message.Fields().ByNumber(number)
		if field == nil || number >= countedMax || (field.Cardinality() != protoreflect.Repeated && field.Message() == nil) {
			continue
		}
		counts[number] += itemsIn(field, wireType, value)
		switch name := string(field.Name()); {
		case field.Cardinality() == protoreflect.Repeated && counts[number] > itemsMax(field):
			return tooMany(name, itemsMax(field))
		case field.Cardinality() != protoreflect.Repeated && counts[number] > 1:
			return &decodeError{field: name, reason: "is given more than once"}
		case field.Message() != nil && !field.IsMap() && wireType == protowire.BytesType:
			inner, _ := protowire.ConsumeBytes(value)
			if err := checkBounds(inner, field.Message(), depth-1); err != nil {
				if field.IsList() {
					name = fmt.Sprintf("%s[%d]", name, counts[number]-1)
				}
				return &decodeError{field: strings.TrimSuffix(name+"."+err.field, "."), reason: err.reason}
			}
		}
	}
	return nil
}

// itemsIn returns how many items an encoded value adds to its field: several where numbers are
// packed.
func itemsIn(field protoreflect.FieldDescriptor, wireType protowire.Type, value []byte) int {
	if wireType != protowire.BytesType || field.Message() != nil ||
		field.Kind() == protoreflect.StringKind || field.Kind() == protoreflect.BytesKind {
		return 1
	}
	packed, _ := protowire.ConsumeBytes(value)
	n := 0
	for _, b := range packed {
		if b < 0x80 { // the last byte of a number, and of some kinds of numbers any byte
			n++
		}
	}
	return n
}

// fewestItems returns the least of the numbers of items that the lists and maps of a message may
// have.
func fewestItems(message protoreflect.MessageDescriptor) int {
	fewest := math.MaxInt
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		if field.Cardinality() == protoreflect.Repeated {
			fewest = min(fewest, itemsMax(field))
		}
		if field.Message() != nil && !field.IsMap() {
			fewest = min(fewest, fewestItems(field.Message()))
		}
	}
	return fewest
}

const (
	bodyMax         = 64 << 10  // of a request with neither of what follows
	bodyMaxWithData = 384 << 10 // with the caller's own data: 50 pairs of 564 characters, each \ud83d\ude00 in JSON
	bulkItems       = 1000      // a list of messages that may be longer makes a request as large as any
)

// bodyMaxOf returns how large a request may be, in bytes and uncompressed; most is the limit of
// all.
func bodyMaxOf(request protoreflect.MessageDescriptor, most int) int {
	size := min(bodyMax, most)
	for i := range request.Fields().Len() {
		switch field := request.Fields().Get(i); {
		case field.IsMap():
			size = max(size, min(bodyMaxWithData, most))
		case field.IsList() && field.Message() != nil && itemsMax(field) > bulkItems:
			return most
		case field.Message() != nil && !strings.HasPrefix(string(field.Message().FullName()), wellKnown):
			size = max(size, bodyMaxOf(field.Message(), most))
		}
	}
	return size
}
