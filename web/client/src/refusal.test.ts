import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { refusal } from "./refusal.js";

const info = (reason: string, metadata: Record<string, string> = {}, domain = "transfers") => ({
  desc: ErrorInfoSchema,
  value: { reason, domain, metadata },
});

test("reads why a transfer was refused", () => {
  const error = new ConnectError("account a cannot pay", Code.FailedPrecondition, undefined, [
    info("INSUFFICIENT_FUNDS", { available: "70.00" }),
  ]);
  expect(refusal(error)).toEqual({
    reason: "INSUFFICIENT_FUNDS",
    metadata: { available: "70.00" },
    message: "account a cannot pay",
    code: Code.FailedPrecondition,
    fields: [],
    retryAfter: undefined,
  });
});

test("reads wrong fields, and when to try again", () => {
  const invalid = new ConnectError("amount: too small", Code.InvalidArgument, undefined, [
    { desc: BadRequestSchema, value: { fieldViolations: [{ field: "amount", description: "too small" }] } },
    info("INVALID_ARGUMENT"),
  ]);
  expect(refusal(invalid)?.fields).toEqual([{ field: "amount", description: "too small" }]);
  const busy = new ConnectError("busy", Code.ResourceExhausted, undefined, [
    info("OVERLOADED"),
    { desc: RetryInfoSchema, value: { retryDelay: { seconds: 1n, nanos: 500_000_000 } } },
  ]);
  expect(refusal(busy)?.retryAfter).toBe(1500);
});

test.each([
  new TypeError("fetch failed"),
  new ConnectError("away", Code.Unavailable),
  new ConnectError("a proxy's", Code.Unavailable, undefined, [info("AWAY", {}, "proxy")]),
  undefined,
])("is silent about what the ledger did not answer: %s", (error) => {
  expect(refusal(error)).toBeUndefined();
});
