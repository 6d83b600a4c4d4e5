// Finishes what protoc-gen-connect-openapi has written, so that it says what our REST routes do, and puts the viewer and
// a Go package beside it. `make generate` calls it with the directory of openapi.json.
//
// What it changes, and why, is said at each step.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const dir = process.argv[2];
const file = join(dir, "openapi.json");
const generated = JSON.parse(readFileSync(file, "utf8"));
const schemas = generated.components.schemas;

// Its input has no title, and no servers.
const { openapi, paths, components, tags } = generated;
const api = {
  openapi,
  info: {
    title: "Internal transfers",
    version: "v1",
    description: `The REST routes. The same methods, and those that stream, answer Connect, gRPC and gRPC-Web at
\`/transfers.v1.SERVICE/METHOD\`.

An amount is a decimal string, or a JSON number, which is read digit by digit. Field names in bodies are
camelCase; snake_case is understood too, in query parameters as well. Answers name every field. 64-bit numbers are answered
as strings.`,
  },
  // Relative to this document, /docs/openapi.json, wherever a proxy shows it.
  servers: [{ url: "..", description: "The server that shows this page" }],
  paths,
  components,
  tags,
};

// The comments of Google's own types are about programming with them; these are about JSON.
const wellKnown = {
  "google.protobuf.Timestamp": {
    type: "string",
    format: "date-time",
    description: "A time as RFC 3339 writes it, such as 2026-01-31T08:00:00.25Z. Microseconds count.",
  },
  // Not the format "duration", which is that of ISO 8601.
  "google.protobuf.Duration": {
    type: "string",
    pattern: "^-?[0-9]+(\\.[0-9]{1,9})?s$",
    description: "A duration in seconds, such as 90s or 0.5s.",
  },
  "google.protobuf.FieldMask": { type: "string", description: "Names of fields, separated by commas." },
  "google.protobuf.Any": {
    type: "object",
    properties: { "@type": { type: "string", description: "Which message it is, such as type.googleapis.com/google.rpc.ErrorInfo." } },
    required: ["@type"],
    additionalProperties: true,
    description: "A message of a type that it names, with the fields of that.",
  },
  "google.rpc.Status": {
    type: "object",
    properties: {
      code: { type: "integer", format: "int32", description: "The code of gRPC: 3 invalid_argument, 5 not_found, 6 already_exists, 8 resource_exhausted, 9 failed_precondition, 10 aborted, 14 unavailable, and so on." },
      message: { type: "string", description: "What is wrong, in words." },
      details: {
        type: "array",
        items: { $ref: "#/components/schemas/google.protobuf.Any" },
        description: "google.rpc.ErrorInfo with the reason, such as INSUFFICIENT_FUNDS, and its figures; google.rpc.BadRequest with the fields that are wrong; google.rpc.RetryInfo.",
      },
    },
    description: "Why a call failed.",
  },
};
const byFormat = { "date-time": "google.protobuf.Timestamp", duration: "google.protobuf.Duration" };

// What bodies are tried with at first; an empty one where there is none here. Without these the viewer would fill every
// field with something.
const [a, b] = ["12359cc6-6ea6-41a6-9c52-79734acbf191", "12359cc6-6ea6-41a6-9c52-79734acbf192"];
const transfer = { fromAccountId: a, toAccountId: b, amount: "20.00" };
const bodies = {
  CreateAccount: { accountId: a, displayName: "Ada", initialBalance: "100.00" },
  GetAccount: { accountId: a },
  UpdateAccount: { displayName: "Ada L." },
  CreateCurrency: { code: "SEK", scale: 2 },
  CreateTransfer: transfer,
  BatchCreateTransfers: { transfers: [transfer] },
  ImportTransfers: { transfers: [{ ...transfer, effectiveTime: "2026-01-31T08:00:00Z" }] },
  PostTransfer: { amount: "12.50" },
  ReverseTransfer: { amount: "2.50" },
  CreateSchedule: { ...transfer, interval: "86400s" },
  CreateWebhookEndpoint: { url: "https://example.com/hook" },
  UpdateWebhookEndpoint: { url: "https://example.com/hook" },
  RedeliverWebhookEvents: { firstCursor: "1" },
};

// Rules of validation that JSON Schema cannot say, such as `string.no_nul = true`, are added to the descriptions, and
// those of durations six times. The comments say the same in words.
const isRule = (line) => /^[a-z]+(\.[a-z_]+)+ (=|\/\/) /.test(line.trim());
const isDecimal = (text) => text.includes("string.decimal = true");

// tidy repairs a node and all that is below it. name is its key, within what is called parent.
function tidy(node, name, parent) {
  if (node === null || typeof node !== "object") return;
  for (const [key, value] of Object.entries(node)) tidy(value, key, name);
  // What is in these are fields, whatever their names.
  if (Array.isArray(node) || name === "properties") return;
  if (typeof node.description === "string") {
    // An amount may be a JSON number, too.
    if (isDecimal(node.description)) node.type = [node.type, "number"].flat();
    // A comment's second line and those below it begin with the blank that stood before its words.
    const lines = node.description.split("\n").filter((line) => !isRule(line));
    node.description = lines.map((line) => line.replace(/^ /, "")).join("\n").trim();
    if (node.description === "") delete node.description;
  }
  if (typeof node.summary === "string") node.summary = node.summary.replace(/\n */g, " ").trim();
  // The title of a field is its name in the proto file, which is not its name here.
  if (parent === "properties" || name === "schema") delete node.title;
  // Within such an object no field at all would be allowed: what allOf and oneOf name does not count.
  if (node.allOf || node.oneOf) delete node.additionalProperties;
  // A parameter says what it is about itself.
  if (node.in && node.schema) {
    const { title, description, ...schema } = node.schema;
    node.description ??= description;
    const known = wellKnown[byFormat[schema.format]];
    node.schema = known ? (({ description: _, ...rest }) => rest)(known) : schema;
  }
}
tidy(paths, "paths");
tidy(schemas, "schemas");
tidy(tags, "tags");
for (const [name, schema] of Object.entries(wellKnown)) if (schemas[name]) schemas[name] = schema;

// The id in the path need not be in the body as well.
delete schemas["transfers.v1.Account"].required;

const error = {
  description: "The call failed.",
  content: { "application/json": { schema: { $ref: "#/components/schemas/google.rpc.Status" } } },
};
for (const path of Object.values(paths)) {
  for (const operation of Object.values(path)) {
    operation.responses.default = error;
    // A comment of one paragraph becomes the description alone, with the method's name for a summary.
    if (operation.operationId.replace(/\d+$/, "").endsWith(`_${operation.summary}`)) {
      operation.summary = /^.*?[.:](?=\s|$)/s.exec(operation.description)[0].replaceAll("\n", " ").replace(/[.:]$/, ".");
    }
    const body = operation.requestBody?.content["application/json"];
    if (body) body.example = bodies[operation.operationId.replace(/.*_|\d+$/g, "")] ?? {};
    // The file itself is answered, not a message that has it.
    const answer = operation.responses["200"];
    if (answer.content["application/json"].schema.$ref === "#/components/schemas/google.api.HttpBody") {
      answer.content = { "text/csv": { schema: { type: "string" } } };
    }
  }
}
delete schemas["google.api.HttpBody"];

writeFileSync(file, `${JSON.stringify(api, null, 1)}\n`);

const viewer = join(dir, "viewer");
mkdirSync(viewer);
for (const name of ["swagger-ui-bundle.js", "swagger-ui-bundle.js.LICENSE.txt", "swagger-ui.css", "LICENSE", "NOTICE"]) {
  copyFileSync(join(import.meta.dirname, "node_modules/swagger-ui-dist", name), join(viewer, name));
}
writeFileSync(
  join(dir, "openapi.go"),
  `// Code generated by tools/openapi.mjs. DO NOT EDIT.

// Package openapi is the description of the REST routes, and Swagger UI to show it with.
package openapi

import "embed"

// Document is the description, OpenAPI 3.1 in JSON.
//
//go:embed openapi.json
var Document []byte

// Viewer has the files of Swagger UI.
//
//go:embed viewer
var Viewer embed.FS
`,
);
