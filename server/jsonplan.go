package server

import (
	"math"
	"strings"
	"sync"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	transfersv1 "internaltransfers/gen/transfers/v1"
)

// A jsonPlan is what the JSON scanner knows about a message: its fields by each name that protojson
// accepts.
type jsonPlan struct {
	fields map[string]*jsonField
}

// A jsonField is what the JSON scanner knows about the value of a field.
type jsonField struct {
	name    string     // the field's name in the proto file
	decimal bool       // a number is quoted here
	isMap   bool       // the value is an object whose names are keys, not fields
	message *jsonPlan  // the value is an object with these fields; nil: its fields are not known
	element *jsonField // the value is an array of these
	most    int        // how many items or pairs the value may have
}

// wellKnown is the package of messages that have forms of their own in JSON.
const wellKnown = "google.protobuf."

// jsonPlans caches a *jsonPlan by the full name of its message.
var jsonPlans sync.Map

func planOf(message protoreflect.MessageDescriptor) *jsonPlan {
	if plan, ok := jsonPlans.Load(message.FullName()); ok {
		return plan.(*jsonPlan)
	}
	// Two callers may build the same plan at once; either is good, since a plan never changes once
	// it is stored.
	plan := buildPlan(message, map[protoreflect.FullName]*jsonPlan{})
	jsonPlans.Store(message.FullName(), plan)
	return plan
}

// buildPlan gets the plans that are being built, because messages may contain themselves.
func buildPlan(message protoreflect.MessageDescriptor, building map[protoreflect.FullName]*jsonPlan) *jsonPlan {
	if strings.HasPrefix(string(message.FullName()), wellKnown) {
		return nil
	}
	if plan, ok := building[message.FullName()]; ok {
		return plan
	}
	fields := message.Fields()
	plan := &jsonPlan{fields: make(map[string]*jsonField, 2*fields.Len())}
	building[message.FullName()] = plan
	for i := range fields.Len() {
		descriptor := fields.Get(i)
		field := &jsonField{name: string(descriptor.Name()), most: math.MaxInt}
		switch {
		case descriptor.IsMap():
			field.isMap, field.most = true, itemsMax(descriptor)
		case descriptor.IsList():
			field.element, field.most = &jsonField{decimal: isDecimal(descriptor), most: math.MaxInt}, itemsMax(descriptor)
			if descriptor.Message() != nil {
				field.element.message = buildPlan(descriptor.Message(), building)
			}
		case descriptor.Message() != nil:
			field.message = buildPlan(descriptor.Message(), building)
		default:
			field.decimal = isDecimal(descriptor)
		}
		plan.fields[field.name] = field
		plan.fields[descriptor.JSONName()] = field
	}
	return plan
}

// isDecimal reports whether the field has the validation rule transfers.v1.decimal, for itself or
// for its items.
func isDecimal(field protoreflect.FieldDescriptor) bool {
	if field.Kind() != protoreflect.StringKind || !proto.HasExtension(field.Options(), validate.E_Field) {
		return false
	}
	rules, ok := proto.GetExtension(field.Options(), validate.E_Field).(*validate.FieldRules)
	if !ok {
		return false
	}
	if field.IsList() {
		rules = rules.GetRepeated().GetItems()
	}
	marked, ok := proto.GetExtension(rules.GetString(), transfersv1.E_Decimal).(bool)
	return ok && marked
}
