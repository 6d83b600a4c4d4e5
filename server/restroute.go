package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// restRoutes are the routes of the google.api.http annotations in the proto files.
type restRoutes struct {
	routes []*restRoute
}

// A restRoute is one binding of one method.
type restRoute struct {
	method    string
	segments  []string // of the path; a variable is empty
	verb      string   // behind the colon
	variables []restVariable
	takesBody bool
	bodyField protoreflect.FieldDescriptor            // that the body is; nil: the whole message, or no body
	kind      bodyKind                                // of the procedure
	plan      *jsonPlan                               // of the body
	query     map[string]protoreflect.FieldDescriptor // the query parameters by each of their names
	procedure string                                  // such as /transfers.v1.AccountService/GetAccount
	export    connect.StreamingHandlerFunc            // if the route streams bodies; else nil
}

// A restVariable is a path segment that sets a field.
type restVariable struct {
	segment int
	field   string   // its path, such as account.account_id
	inBody  []string // its names in the body too; nil: not in it
}

// add reads the annotations of a service.
func (routes *restRoutes) add(service service, bodies *bodies) error {
	descriptor, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service.name))
	if err != nil {
		return fmt.Errorf("REST routes of %s: %w", service.name, err)
	}
	methods := descriptor.(protoreflect.ServiceDescriptor).Methods()
	for i := range methods.Len() {
		method := methods.Get(i)
		rule, ok := proto.GetExtension(method.Options(), annotations.E_Http).(*annotations.HttpRule)
		if !ok || rule == nil {
			continue
		}
		for _, binding := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
			route, err := newRoute(binding, method.Input())
			if err != nil {
				return fmt.Errorf("REST route of %s: %w", method.FullName(), err)
			}
			route.procedure = "/" + service.name + "/" + string(method.Name())
			route.kind = bodies.kinds[route.procedure]
			route.export = service.exports[route.procedure]
			if method.IsStreamingServer() && route.export == nil {
				return fmt.Errorf("REST route of %s: nobody answers its stream", method.FullName())
			}
			routes.routes = append(routes.routes, route)
		}
	}
	return nil
}

func newRoute(rule *annotations.HttpRule, input protoreflect.MessageDescriptor) (*restRoute, error) {
	route := &restRoute{takesBody: rule.GetBody() != ""}
	var template string
	switch pattern := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		route.method, template = http.MethodGet, pattern.Get
	case *annotations.HttpRule_Post:
		route.method, template = http.MethodPost, pattern.Post
	case *annotations.HttpRule_Put:
		route.method, template = http.MethodPut, pattern.Put
	case *annotations.HttpRule_Patch:
		route.method, template = http.MethodPatch, pattern.Patch
	case *annotations.HttpRule_Delete:
		route.method, template = http.MethodDelete, pattern.Delete
	default:
		return nil, fmt.Errorf("patterns of type %T are not supported here", pattern)
	}
	template, route.verb, _ = strings.Cut(template, ":")
	bound := map[string]bool{rule.GetBody(): true}
	for i, segment := range strings.Split(strings.TrimPrefix(template, "/"), "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			name = strings.TrimSuffix(name, "}")
			if strings.ContainsAny(name, "=*{}") {
				return nil, fmt.Errorf("path templates such as %s are not supported here", template)
			}
			route.variables = append(route.variables, restVariable{segment: i, field: name})
			bound[name] = true
			segment = ""
		}
		route.segments = append(route.segments, segment)
	}
	route.bodyField = input.Fields().ByName(protoreflect.Name(rule.GetBody()))
	route.plan = planOf(input)
	if route.bodyField != nil && route.bodyField.Message() != nil {
		route.plan = planOf(route.bodyField.Message())
	}
	for i := range route.variables {
		route.variables[i].inBody = bodyNames(route.variables[i].field, rule.GetBody(), input)
	}
	route.query = queryFields(input, bound)
	return route, nil
}

// bodyNames returns the names of a variable's field in the body: account.account_id is account_id
// in the body account.
func bodyNames(variable, body string, input protoreflect.MessageDescriptor) []string {
	name, owner := variable, input
	if body != "*" {
		field := input.Fields().ByName(protoreflect.Name(body))
		if field == nil || field.Message() == nil || !strings.HasPrefix(variable, body+".") {
			return nil
		}
		name, owner = strings.TrimPrefix(variable, body+"."), field.Message()
	}
	field := owner.Fields().ByName(protoreflect.Name(name))
	if field == nil {
		return nil
	}
	return []string{string(field.Name()), field.JSONName()}
}

// bodyFields returns the names of the fields that are bodies, by the names of their messages.
func (routes *restRoutes) bodyFields() map[protoreflect.FullName]string {
	fields := map[protoreflect.FullName]string{}
	for _, route := range routes.routes {
		if route.bodyField != nil && route.bodyField.Message() != nil {
			fields[route.bodyField.Message().FullName()] = string(route.bodyField.Name())
		}
	}
	return fields
}

// queryFields returns the fields that neither path nor body sets. A body of * sets them all.
func queryFields(input protoreflect.MessageDescriptor, bound map[string]bool) map[string]protoreflect.FieldDescriptor {
	fields := map[string]protoreflect.FieldDescriptor{}
	for i := range input.Fields().Len() {
		field := input.Fields().Get(i)
		if bound["*"] || bound[string(field.Name())] || field.IsMap() {
			continue
		}
		fields[string(field.Name())] = field
		fields[field.JSONName()] = field
	}
	return fields
}

// match finds the route of a request and the values of its path variables. Without a route, allow
// lists the methods that the path has; empty: the path is unknown.
func (routes *restRoutes) match(path, method string) (route *restRoute, values []string, allow string) {
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	last, verb, hasVerb := strings.Cut(segments[len(segments)-1], ":")
	if hasVerb && verb == "" {
		return nil, nil, ""
	}
	segments[len(segments)-1] = last
	var methods []string
	for _, candidate := range routes.routes {
		if !candidate.matches(segments, verb) {
			continue
		}
		if candidate.method == method {
			for _, variable := range candidate.variables {
				values = append(values, segments[variable.segment])
			}
			return candidate, values, ""
		}
		methods = append(methods, candidate.method)
	}
	slices.Sort(methods)
	return nil, nil, strings.Join(slices.Compact(methods), ", ")
}

func (route *restRoute) matches(segments []string, verb string) bool {
	if verb != route.verb || len(segments) != len(route.segments) {
		return false
	}
	for i, segment := range route.segments {
		if segment != "" && segment != segments[i] {
			return false
		}
	}
	return true
}
