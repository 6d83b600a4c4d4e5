import { expect, describe as group, test } from "vitest";
import { type Call, calls, describe } from "./calls";
import { bufCurl, curlConnect, curlREST, quote, typeScript, type Values } from "./write";

const origin = "http://localhost:9091";

function call(id: string): Call {
  const found = calls.find((one) => one.id === id);
  if (!found) throw new Error(`no call ${id}`);
  return found;
}

group("the calls", () => {
  test.each(calls)("$id has fields that the API has", (one) => {
    for (const field of one.fields) expect(describe(one, field).localName).toBe(field.name);
    const answers = one.method.output.fields.map((field) => field.localName);
    for (const name of one.answer.split(", ").filter(Boolean)) expect(answers).toContain(name);
  });

  test.each(calls)("$id has a route whose path is made of its fields", (one) => {
    for (const [, name] of one.rest?.path.matchAll(/\{(\w+)\}/g) ?? []) {
      expect(one.fields.map((field) => field.name)).toContain(name);
    }
  });
});

const transfer: Values = {
  transferId: "t1",
  fromAccountId: "a1",
  toAccountId: "a2",
  amount: " 1.50 ",
  reference: "it's 5%",
};

group("a transfer", () => {
  test("over REST", () => {
    expect(curlREST(call("create-transfer"), transfer, origin)).toBe(
      `curl --request POST 'http://localhost:9091/api/v1/transfers' \\
  --header 'Content-Type: application/json' \\
  --data '{
    "transfer_id": "t1",
    "from_account_id": "a1",
    "to_account_id": "a2",
    "amount": "1.50",
    "reference": "it'\\''s 5%"
  }'`,
    );
  });

  test("over Connect", () => {
    expect(curlConnect(call("create-transfer"), { amount: "2" }, origin)).toBe(
      `curl --request POST 'http://localhost:9091/transfers.v1.TransferService/CreateTransfer' \\
  --header 'Content-Type: application/json' \\
  --data '{"amount": "2"}'`,
    );
  });

  test("with buf", () => {
    expect(bufCurl(call("create-transfer"), { amount: "2" }, origin)).toBe(
      `buf curl \\
  --data '{"amount": "2"}' \\
  http://localhost:9091/transfers.v1.TransferService/CreateTransfer`,
    );
  });

  test("in TypeScript", () => {
    expect(typeScript(call("create-transfer"), transfer, origin)).toBe(
      `import { createClients } from "internaltransfers-client";

const { transfers } = createClients("http://localhost:9091");
const { transfer } = await transfers.createTransfer({
  transferId: "t1",
  fromAccountId: "a1",
  toAccountId: "a2",
  amount: "1.50",
  reference: "it's 5%",
});
`,
    );
  });
});

test("a hold has its own types", () => {
  const values = { hold: "true", holdTtl: "3600" };
  expect(curlREST(call("hold"), values, origin)).toContain(
    `--data '{\n    "hold": true,\n    "hold_ttl": "3600s"\n  }'`,
  );
  expect(typeScript(call("hold"), values, origin)).toContain("hold: true,\n  holdTtl: { seconds: 3600n },");
});

test("what says no is left out", () => {
  expect(curlConnect(call("post"), { transferId: "t1", final: "false" }, origin)).toContain(
    `'{"transfer_id": "t1"}'`,
  );
});

test("fields of the path are not in the body", () => {
  expect(curlREST(call("post"), { transferId: "a/b", amount: "1" }, origin)).toBe(
    `curl --request POST 'http://localhost:9091/api/v1/transfers/a%2Fb:post' \\
  --header 'Content-Type: application/json' \\
  --data '{"amount": "1"}'`,
  );
});

test("a list is asked for in the query", () => {
  expect(
    curlREST(call("list-transfers"), { status: "FAILED", reference: "a b&c", pageSize: "5" }, origin),
  ).toBe("curl 'http://localhost:9091/api/v1/transfers?status=FAILED&reference=a+b%26c&page_size=5'");
  expect(curlREST(call("list-accounts"), {}, origin)).toBe("curl 'http://localhost:9091/api/v1/accounts'");
  expect(typeScript(call("list-transfers"), { status: "FAILED", pageSize: "5" }, origin)).toContain(
    `import { createClients, Transfer_Status } from "internaltransfers-client";`,
  );
  expect(typeScript(call("list-transfers"), { status: "FAILED", pageSize: "5" }, origin)).toContain(
    "  status: Transfer_Status.FAILED,\n  pageSize: 5,\n",
  );
});

group("a stream", () => {
  test("has no REST route", () => {
    expect(curlREST(call("watch"), {}, origin)).toBeUndefined();
  });

  test("is asked for in an envelope", () => {
    expect(curlConnect(call("watch"), { after: "0" }, origin)).toBe(
      `printf '\\000\\000\\000\\000\\016{"after": "0"}' | curl --no-buffer --request POST 'http://localhost:9091/transfers.v1.LedgerService/WatchTransfers' \\
  --header 'Content-Type: application/connect+json' \\
  --data-binary @- --output -`,
    );
  });

  test("is a loop in TypeScript", () => {
    expect(typeScript(call("watch"), {}, origin)).toContain(
      "for await (const event of events(ledger.watchTransfers, {})) {\n  console.log(event.cursor, event.transfer);\n}",
    );
  });
});

test("quote makes one word of anything", () => {
  expect(quote("a'b $c \\")).toBe(`'a'\\''b $c \\'`);
});

group("where callers need a key", () => {
  const header = '--header "Authorization: Bearer $KEY"';

  test.each(calls)("$id is sent with one", (one) => {
    for (const write of [curlREST, curlConnect, bufCurl]) {
      const text = write(one, transfer, origin, true);
      if (text !== undefined) expect(text).toContain(`\\\n  ${header}`);
      expect(write(one, transfer, origin) ?? "").not.toContain("Authorization");
    }
    expect(typeScript(one, transfer, origin, true)).toContain('request.header.set("Authorization", ');
    expect(typeScript(one, transfer, origin)).not.toContain("Authorization");
  });
});
