// The same call in the ways there are to make it, as text to copy.
import { ScalarType } from "@bufbuild/protobuf";
import { type Call, type CallField, describe } from "./calls";

/** What a field of a call was filled with, by name; empty: it is left out. */
export type Values = Record<string, string>;

/** A value as JSON has it, in the field's own type. */
function jsonValue(call: Call, field: CallField, text: string): string | number | boolean {
  const found = describe(call, field);
  if (found.fieldKind === "message") return `${text}s`; // the only messages here are lengths of time
  if (found.fieldKind === "scalar") {
    if (found.scalar === ScalarType.BOOL) return text === "true";
    if (found.scalar === ScalarType.INT32) return Number(text);
  }
  return text;
}

/** A value as TypeScript has it. */
function typeScriptValue(call: Call, field: CallField, text: string): string {
  const found = describe(call, field);
  if (found.fieldKind === "message") return `{ seconds: ${text}n }`;
  if (found.fieldKind === "enum")
    return `${found.enum.name === "Status" ? "Transfer_Status" : found.enum.name}.${text}`;
  return JSON.stringify(jsonValue(call, field, text));
}

/** The fields that were filled in. A field that says no is as one that says nothing. */
function filled(call: Call, values: Values): [CallField, string][] {
  return call.fields
    .map((field): [CallField, string] => [field, (values[field.name] ?? "").trim()])
    .filter(([, text]) => text !== "" && text !== "false");
}

/** The request as JSON, with the names of the proto files; on a line for each field, or on one. */
function json(call: Call, fields: [CallField, string][], lines = true): string {
  const members = fields.map(
    ([field, text]) =>
      `${JSON.stringify(describe(call, field).name)}: ${JSON.stringify(jsonValue(call, field, text))}`,
  );
  if (!lines || members.length < 2) return `{${members.join(", ")}}`;
  return `{\n${members.map((member) => `    ${member}`).join(",\n")}\n  }`;
}

/** A text as one word of a shell. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Lines of one command. */
function command(...lines: string[]): string {
  return lines.join(" \\\n  ");
}

/** The header with the key, from the shell's environment, where the server needs one. */
const keyHeader = '--header "Authorization: Bearer $KEY"';

function keyLines(withKey: boolean): string[] {
  return withKey ? [keyHeader] : [];
}

const jsonHeader = "--header 'Content-Type: application/json'";

/** The call of its REST route; undefined where it has none. */
export function curlREST(call: Call, values: Values, origin: string, withKey = false): string | undefined {
  if (!call.rest) return undefined;
  const { verb, path } = call.rest;
  const inPath = (field: CallField) => path.includes(`{${field.name}}`);
  const url = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(values[name]?.trim() ?? ""));
  const others = filled(call, values).filter(([field]) => !inPath(field));
  if (verb === "POST") {
    return command(
      `curl --request POST ${quote(origin + url)}`,
      ...keyLines(withKey),
      jsonHeader,
      `--data ${quote(json(call, others))}`,
    );
  }
  const query = new URLSearchParams(
    others.map(([field, text]) => [describe(call, field).name, String(jsonValue(call, field, text))]),
  ).toString();
  return command(`curl ${quote(origin + url + (query && `?${query}`))}`, ...keyLines(withKey));
}

/** The path of the RPC. */
function procedure(call: Call): string {
  return `/${call.method.parent.typeName}/${call.method.name}`;
}

/** The call over Connect with JSON. */
export function curlConnect(call: Call, values: Values, origin: string, withKey = false): string {
  const fields = filled(call, values);
  const url = quote(origin + procedure(call));
  if (call.method.methodKind === "unary") {
    return command(
      `curl --request POST ${url}`,
      ...keyLines(withKey),
      jsonHeader,
      `--data ${quote(json(call, fields))}`,
    );
  }
  // The messages of a stream are in envelopes: a byte of flags, four of the length, then the message.
  const body = json(call, fields, false);
  const length = new TextEncoder().encode(body).length;
  const octal = [24, 16, 8, 0]
    .map((shift) => `\\${((length >> shift) & 255).toString(8).padStart(3, "0")}`)
    .join("");
  const text = body.replaceAll("\\", "\\\\").replaceAll("%", "%%");
  return command(
    `printf ${quote(`\\000${octal}${text}`)} | curl --no-buffer --request POST ${url}`,
    ...keyLines(withKey),
    "--header 'Content-Type: application/connect+json'",
    "--data-binary @- --output -",
  );
}

/** The call with buf, which asks the server what there is. */
export function bufCurl(call: Call, values: Values, origin: string, withKey = false): string {
  const data = quote(json(call, filled(call, values)));
  return command("buf curl", ...keyLines(withKey), `--data ${data}`, origin + procedure(call));
}

/** Sends the key with each call of the TypeScript client. */
const keyOption = `, {
  interceptors: [
    (next) => (request) => {
      request.header.set("Authorization", \`Bearer \${process.env.KEY}\`);
      return next(request);
    },
  ],
}`;

/** The call with the TypeScript client. */
export function typeScript(call: Call, values: Values, origin: string, withKey = false): string {
  const fields = filled(call, values);
  const members = fields.map(([field, text]) => `  ${field.name}: ${typeScriptValue(call, field, text)},\n`);
  const request = members.length === 0 ? "{}" : `{\n${members.join("")}}`;
  const imports = ["createClients"];
  if (call.method.methodKind !== "unary") imports.push("events");
  if (fields.some(([field]) => describe(call, field).fieldKind === "enum")) imports.push("Transfer_Status");
  const head = `import { ${imports.join(", ")} } from "internaltransfers-client";

const { ${call.client} } = createClients(${JSON.stringify(origin)}${withKey ? keyOption : ""});
`;
  const method = `${call.client}.${call.method.localName}`;
  if (call.method.methodKind !== "unary") {
    return `${head}for await (const event of events(${method}, ${request})) {
  console.log(event.cursor, event.transfer);
}
`;
  }
  return `${head}const { ${call.answer} } = await ${method}(${request});\n`;
}
