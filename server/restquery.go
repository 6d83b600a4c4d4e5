package server

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// checkQuery refuses, by name, parameters that the route does not have or whose values cannot be
// read.
func (route *restRoute) checkQuery(r *http.Request) *restError {
	if r.URL.RawQuery == "" {
		return nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return restInvalid("", "the query string is malformed")
	}
	given := map[string]bool{}
	for name, values := range query {
		field := route.query[name]
		if field == nil {
			return restInvalid(clip(name, 64), "is no query parameter of this route"+route.queryNames())
		}
		path := string(field.Name())
		if given[path] || (len(values) > 1 && !field.IsList()) {
			return restInvalid(path, "is given more than once")
		}
		given[path] = true
		for _, value := range values {
			if reason := checkParameter(field, value); reason != "" {
				return restInvalid(path, reason)
			}
		}
		if isFieldMask(field) {
			query.Set(name, camelPaths(values[0]))
			if values[0] == "" {
				query.Del(name) // vanguard cannot read a mask without paths, which equals none
			}
		}
	}
	r.URL.RawQuery = query.Encode()
	return nil
}

// queryNames lists the parameters that the route takes.
func (route *restRoute) queryNames() string {
	var names []string
	for name, field := range route.query {
		if name == string(field.Name()) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ", which has none"
	}
	slices.Sort(names)
	return "; it has " + strings.Join(names, ", ")
}

// checkParameter returns what is wrong with a value; empty: nothing.
func checkParameter(field protoreflect.FieldDescriptor, value string) string {
	if !utf8.ValidString(value) {
		return "must be UTF-8"
	}
	switch field.Kind() {
	case protoreflect.StringKind:
		return ""
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		bits := 64
		if field.Kind() == protoreflect.Int32Kind {
			bits = 32
		}
		if number, err := strconv.ParseInt(value, 10, bits); err != nil || strconv.FormatInt(number, 10) != value {
			return "must be a whole number"
		}
		return ""
	case protoreflect.BoolKind:
		if value != "true" && value != "false" {
			return "must be true or false"
		}
		return ""
	case protoreflect.EnumKind:
		if field.Enum().Values().ByName(protoreflect.Name(value)) == nil {
			return "must be one of " + enumNames(field.Enum())
		}
		return ""
	case protoreflect.MessageKind:
		return checkMessageParameter(field, value)
	default:
		return "cannot be given as a query parameter"
	}
}

func checkMessageParameter(field protoreflect.FieldDescriptor, value string) string {
	quoted := strconv.Quote(value)
	switch field.Message().FullName() {
	case "google.protobuf.Timestamp":
		if protojson.Unmarshal([]byte(quoted), &timestamppb.Timestamp{}) != nil {
			return "must be a time such as 2026-01-31T12:00:00Z"
		}
		return ""
	case "google.protobuf.Duration":
		if protojson.Unmarshal([]byte(quoted), &durationpb.Duration{}) != nil {
			return "must be a duration such as 90s"
		}
		return ""
	case "google.protobuf.FieldMask":
		if protojson.Unmarshal([]byte(strconv.Quote(camelPaths(value))), &fieldmaskpb.FieldMask{}) != nil {
			return "must be names of fields, separated by commas"
		}
		return ""
	default:
		return "cannot be given as a query parameter"
	}
}

func isFieldMask(field protoreflect.FieldDescriptor) bool {
	return field.Message() != nil && field.Message().FullName() == "google.protobuf.FieldMask"
}

// camelPaths writes a field mask as JSON does, display_name as displayName; both are accepted in a
// query.
func camelPaths(mask string) string {
	parts := strings.Split(mask, "_")
	for i, part := range parts[1:] {
		if part != "" && part[0] >= 'a' && part[0] <= 'z' {
			parts[i+1] = strings.ToUpper(part[:1]) + part[1:]
		} else {
			parts[i+1] = "_" + part // no name in proto; it is refused as it is
		}
	}
	return strings.Join(parts, "")
}

func enumNames(enum protoreflect.EnumDescriptor) string {
	var names []string
	for i := 1; i < enum.Values().Len(); i++ { // without the zero value, which means unset
		names = append(names, string(enum.Values().Get(i).Name()))
	}
	return strings.Join(names, ", ")
}
