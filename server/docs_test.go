package server_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"internaltransfers/server"
)

// The page of the API reference, its description and the viewer come from this server, and a strict
// policy lets nothing else in.
func TestDocsAreServed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	for path, contentType := range map[string]string{
		"/docs": "text/html; charset=utf-8", "/docs/": "text/html; charset=utf-8", "/docs/docs.js": "text/javascript; charset=utf-8",
		"/docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8", "/docs/swagger-ui.css": "text/css; charset=utf-8",
		"/docs/openapi.json": "application/json",
	} {
		answer, body := f.send(t, "GET", path, "", "Accept", "text/html")
		if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != contentType || body == "" {
			t.Errorf("%s: %d %s", path, answer.StatusCode, answer.Header.Get("Content-Type"))
		}
		policy := answer.Header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "connect-src 'self';", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s: the policy %q lacks %s", path, policy, part)
			}
		}
		if strings.Contains(policy, "unsafe") || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, answer.Header)
		}
		for _, inline := range []string{"<style", " style=", " onclick=", "<script>"} {
			if strings.HasPrefix(contentType, "text/html") && strings.Contains(body, inline) {
				t.Errorf("%s has something inline: %s", path, inline)
			}
		}
		for _, address := range regexp.MustCompile(`(?:src|href)="[^"]*"`).FindAllString(body, -1) {
			if strings.HasPrefix(contentType, "text/html") && !strings.Contains(address, `docs/`) && !strings.Contains(address, `"data:`) {
				t.Errorf("%s asks another place: %s", path, address)
			}
		}
	}
	for _, path := range []string{"/docs/nothing", "/docs/../docs.go", "/docs/index.html", "/docs/viewer/LICENSE", "/docs/%00"} {
		if answer, _ := f.send(t, "GET", path, ""); answer.StatusCode == 200 {
			t.Errorf("%s is served", path)
		}
	}
	if answer, _ := f.send(t, "POST", "/docs", "{}"); answer.StatusCode != 405 {
		t.Errorf("POST /docs: %d", answer.StatusCode)
	}
}

// An openAPI is the part of the description that the tests read.
type openAPI struct {
	OpenAPI string
	Info    struct{ Title, Version string }
	Servers []struct{ URL string }
	Paths   map[string]map[string]struct {
		OperationID string
		Parameters  []struct {
			Name, In string
			Required bool
			Schema   *schema
		}
		Responses map[string]struct {
			Content map[string]struct{ Schema *schema }
		}
	}
	Components struct{ Schemas map[string]*schema }
}

// A schema is the part of JSON Schema that the description uses.
type schema struct {
	Ref                  string          `json:"$ref"`
	Type                 json.RawMessage // a name or a list of names
	Properties           map[string]*schema
	AdditionalProperties json.RawMessage
	Items                *schema
	Enum                 []string
	AllOf, OneOf         []*schema
}

func (f *fixture) openAPI(t *testing.T) (*openAPI, string) {
	t.Helper()
	_, text := f.send(t, "GET", "/docs/openapi.json", "")
	api := &openAPI{}
	if err := json.Unmarshal([]byte(text), api); err != nil {
		t.Fatal(err)
	}
	return api, text
}

// Every REST route is described, and nothing else is; every reference leads somewhere; no other
// host is named.
func TestDocsDescribeTheRoutes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	api, text := f.openAPI(t)
	if !strings.HasPrefix(api.OpenAPI, "3.1.") || api.Info.Title == "" || api.Info.Version == "" ||
		len(api.Servers) != 1 || api.Servers[0].URL != ".." {
		t.Errorf("got %s %+v %+v", api.OpenAPI, api.Info, api.Servers)
	}
	described := map[string]bool{}
	ids := map[string]bool{}
	for path, operations := range api.Paths {
		for method, operation := range operations {
			described[strings.ToUpper(method)+" "+path] = true
			if ids[operation.OperationID] || operation.OperationID == "" {
				t.Errorf("%s %s: operation %q", method, path, operation.OperationID)
			}
			ids[operation.OperationID] = true
			if operation.Responses["default"].Content["application/json"].Schema.Ref != "#/components/schemas/google.rpc.Status" {
				t.Errorf("%s %s does not say what an error is", method, path)
			}
			var variables []string
			for _, p := range operation.Parameters {
				if p.In == "path" && p.Required {
					variables = append(variables, "{"+p.Name+"}")
				}
			}
			if want := pathVariable.FindAllString(path, -1); !slices.Equal(variables, want) {
				t.Errorf("%s %s: path parameters %q", method, path, variables)
			}
		}
	}
	for _, route := range annotatedRoutes() {
		if !described[route] {
			t.Errorf("%s is not described", route)
		}
		delete(described, route)
	}
	for route := range described {
		t.Errorf("%s is described, but there is none", route)
	}
	for _, ref := range regexp.MustCompile(`"\$ref": "([^"]*)"`).FindAllStringSubmatch(text, -1) {
		if name, ok := strings.CutPrefix(ref[1], "#/components/schemas/"); !ok || api.Components.Schemas[name] == nil {
			t.Errorf("a reference leads nowhere: %s", ref[1])
		}
	}
	for _, host := range regexp.MustCompile(`https?://[^"/\s)]*`).FindAllString(text, -1) {
		// The first is only mentioned in a comment, the other stands for one.
		if host != "https://www.standardwebhooks.com" && host != "https://example.com" && host != "https?://" {
			t.Errorf("another host is named: %s", host)
		}
	}
	for _, untidy := range []string{" = true //", "duration.gte", `"format": "duration"`, `\n `} {
		if i := strings.Index(text, untidy); i >= 0 {
			t.Errorf("what tools/openapi.mjs should have removed: %s", text[max(0, i-100):i+50])
		}
	}
}

// annotatedRoutes returns the REST routes of the annotations, such as "GET /api/v1/status".
func annotatedRoutes() []string {
	var routes []string
	protoregistry.GlobalFiles.RangeFilesByPackage("transfers.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				rule, ok := proto.GetExtension(methods.Get(j).Options(), annotations.E_Http).(*annotations.HttpRule)
				if !ok || rule == nil {
					continue
				}
				for _, r := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
					for method, path := range map[string]string{
						"GET": r.GetGet(), "POST": r.GetPost(), "PATCH": r.GetPatch(), "PUT": r.GetPut(), "DELETE": r.GetDelete(),
					} {
						if path != "" {
							routes = append(routes, method+" "+path)
						}
					}
				}
			}
		}
		return true
	})
	return routes
}

// The routes respond as the description says, with errors too.
func TestDocsDescribeTheAnswers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	api, _ := f.openAPI(t)
	a, b := "12359cc6-6ea6-41a6-9c52-79734acbf191", "12359cc6-6ea6-41a6-9c52-79734acbf192"
	transfer := `"from_account_id": "` + a + `", "to_account_id": "` + b + `", "amount": 2.5`
	for i, call := range []struct{ method, path, route, body string }{
		{"POST", "/api/v1/accounts", "", `{"account_id": "` + a + `", "initial_balance": 100.5, "metadata": {"k": "v"}}`},
		{"POST", "/api/v1/account/create", "", `{"account_id": "` + b + `", "limits": [{"window": "60s", "max_count": 5}]}`},
		{"GET", "/api/v1/accounts/" + a, "/api/v1/accounts/{account_id}", ""},
		{"GET", "/api/v1/accounts?search=1235", "/api/v1/accounts", ""},
		{"POST", "/api/v1/transfers", "", `{"transfer_id": "0198c5a8-5d70-7c3e-9d3f-6f2f8c1f7a02", "hold": true, ` + transfer + `}`},
		{"POST", "/api/v1/transfers/0198c5a8-5d70-7c3e-9d3f-6f2f8c1f7a02:post", "/api/v1/transfers/{transfer_id}:post", `{"amount": 1}`},
		{"POST", "/api/v1/transfers", "", `{"amount": 1000, "from_account_id": "` + a + `", "to_account_id": "` + b + `"}`},
		{"POST", "/api/v1/transfers:batch", "", `{"transfers": [{` + transfer + `}, {"amount": 1e9}, {}]}`},
		{"POST", "/api/v1/transfers:batch", "", `{"transfers": [{` + transfer + `}]}`},
		{"GET", "/api/v1/transfers", "", ""},
		{"GET", "/api/v1/accounts/" + a + "/entries", "/api/v1/accounts/{account_id}/entries", ""},
		{"GET", "/api/v1/accounts/" + a + "/statement?startTime=2020-01-01T00:00:00Z", "/api/v1/accounts/{account_id}/statement", ""},
		{"GET", "/api/v1/profiles?accountIds=" + a, "/api/v1/profiles", ""},
		{"GET", "/api/v1/currencies", "", ""},
		{"GET", "/api/v1/check", "", ""},
		{"GET", "/api/v1/status", "", ""},
		{"GET", "/api/v1/activity?window=60s&step=5s", "/api/v1/activity", ""},
		{"GET", "/api/v1/accounts/zzz", "/api/v1/accounts/{account_id}", ""},
		{"POST", "/api/v1/schedules", "", `{` + transfer + `, "interval": "3600s", "start_time": "2999-01-01T00:00:00Z"}`},
		{"GET", "/api/v1/schedules", "", ""},
	} {
		route := call.route
		if route == "" {
			route = call.path
		}
		answer, body := f.send(t, call.method, call.path, call.body)
		responses := api.Paths[route][strings.ToLower(call.method)].Responses
		described, ok := responses[fmt.Sprint(answer.StatusCode)]
		if !ok {
			described = responses["default"]
		}
		var value any
		if err := json.Unmarshal([]byte(body), &value); err != nil || described.Content["application/json"].Schema == nil {
			t.Errorf("call %d: %v in %s", i, err, body)
			continue
		}
		if wrong := api.mismatch(described.Content["application/json"].Schema, value, call.path); wrong != "" {
			t.Errorf("call %d: %s: %s", i, wrong, body)
		}
	}
}

// mismatch returns how a value differs from the schema; empty: not at all.
func (a *openAPI) mismatch(s *schema, value any, at string) string {
	if s.Ref != "" {
		return a.mismatch(a.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")], value, at)
	}
	if s.Type == nil {
		wrong := at + ": there is no schema"
		for _, one := range s.OneOf {
			if wrong = a.mismatch(one, value, at); wrong == "" {
				break
			}
		}
		return wrong
	}
	kind := "null"
	switch v := value.(type) {
	case string:
		kind = "string"
		if len(s.Enum) > 0 && !slices.Contains(s.Enum, v) {
			return at + ": " + v + " is none of " + strings.Join(s.Enum, ", ")
		}
	case bool:
		kind = "boolean"
	case float64:
		kind = "number"
		if v == float64(int64(v)) && strings.Contains(string(s.Type), "integer") {
			kind = "integer"
		}
	case []any:
		kind = "array"
		for i, item := range v {
			if wrong := a.mismatch(s.Items, item, fmt.Sprintf("%s[%d]", at, i)); wrong != "" {
				return wrong
			}
		}
	case map[string]any:
		kind = "object"
		properties := a.properties(s)
		for _, name := range slices.Sorted(maps.Keys(v)) {
			property := properties[name]
			switch {
			case property != nil:
			case string(s.AdditionalProperties) == "true":
				continue
			case strings.HasPrefix(string(s.AdditionalProperties), "{"):
				property = &schema{}
				if err := json.Unmarshal(s.AdditionalProperties, property); err != nil {
					return err.Error()
				}
			default:
				return at + "." + name + " is not described"
			}
			if wrong := a.mismatch(property, v[name], at+"."+name); wrong != "" {
				return wrong
			}
		}
	}
	if !strings.Contains(string(s.Type), `"`+kind+`"`) {
		return fmt.Sprintf("%s is a %s, not a %s", at, kind, s.Type)
	}
	return ""
}

// properties returns the properties of an object, whichever of its parts names them.
func (a *openAPI) properties(s *schema) map[string]*schema {
	all := maps.Clone(s.Properties)
	if all == nil {
		all = map[string]*schema{}
	}
	for _, part := range slices.Concat(s.AllOf, s.OneOf) {
		maps.Copy(all, a.properties(part))
	}
	return all
}
