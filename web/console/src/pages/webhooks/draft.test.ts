import { create } from "@bufbuild/protobuf";
import { EventFilterSchema, WebhookEndpointSchema } from "internaltransfers-client";
import { expect, test } from "vitest";
import { type Draft, draftOf, filterOf, urlProblem } from "./draft";

test("a filter that was made can be changed", () => {
  const draft: Draft = {
    url: "https://example.com/hooks",
    description: "books",
    types: ["TRANSFER_CREATED", "ACCOUNT_CHANGED"],
    statuses: ["FAILED"],
    currencies: ["USD"],
    accounts: ["0198c5a8-5d70-7c3e-9d3f-6f2f8c1f7a01"],
  };
  const filter = create(EventFilterSchema, filterOf(draft));
  expect(
    draftOf(create(WebhookEndpointSchema, { url: draft.url, description: draft.description, filter })),
  ).toEqual(draft);
});

test("an account that was not chosen does not filter", () => {
  expect(filterOf({ ...draftOf(create(WebhookEndpointSchema)), accounts: [""] }).accountIds).toEqual([]);
});

test.each(["", "example.com", "ftp://example.com", "https://user:secret@example.com"])(
  "%j is no address for events",
  (text) => {
    expect(urlProblem(text)).toBeTypeOf("string");
  },
);

test("an address is", () => {
  expect(urlProblem(" https://example.com:8443/hooks?a=b ")).toBeUndefined();
});
