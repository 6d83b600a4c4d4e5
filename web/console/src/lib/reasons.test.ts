import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, Transfer_ErrorReason, TransferSchema } from "internaltransfers-client";
import { describe, expect, test } from "vitest";
import { reasonText } from "./errors";
import { explainRefusal, explainTransfer } from "./reasons";

const transfer = (reason: Transfer_ErrorReason, change: object = {}) =>
  create(TransferSchema, { errorReason: reason, amount: "1500.00", currency: "USD", ...change });

test("every reason has words, with figures and without", () => {
  for (const [name, value] of Object.entries(Transfer_ErrorReason)) {
    if (typeof value !== "number" || value === 0) continue;
    for (const errorMetadata of [{ seen: "1.00", allowed: "2.00" }, {}]) {
      const words = explainTransfer(transfer(value, { errorMetadata }));
      for (const text of [words.title, words.text, words.advice])
        expect(text, name).not.toMatch(/undefined|_|NaN/);
      expect(words.text, name).toMatch(/^[A-Z].*\.$/);
    }
  }
});

describe("a refused transfer", () => {
  test("has its figures", () => {
    const t = transfer(Transfer_ErrorReason.INSUFFICIENT_FUNDS, {
      errorMetadata: { seen: "80.00", allowed: "-20.00" },
    });
    expect(explainTransfer(t).text).toBe(
      "The paying account had 80.00\u00a0USD available and may go down to \u221220.00\u00a0USD, and 1,500.00\u00a0USD was asked for.",
    );
  });

  test("says the balance where the ledger keeps no figures", () => {
    const t = transfer(Transfer_ErrorReason.INSUFFICIENT_FUNDS, { fromBalance: "80.00" });
    expect(explainTransfer(t).text).toBe(
      "The paying account had 80.00\u00a0USD available, and 1,500.00\u00a0USD was asked for.",
    );
  });

  test("has its window", () => {
    const t = transfer(Transfer_ErrorReason.AMOUNT_LIMIT_EXCEEDED, {
      amount: "10.00",
      errorMetadata: { seen: "32.50", allowed: "40.00", window: "86400s" },
    });
    expect(explainTransfer(t).text).toBe(
      "The paying account may pay at most 40.00\u00a0USD within 1 day. It had paid 32.50\u00a0USD, so 10.00\u00a0USD was too much.",
    );
  });

  test("says why it is blocked", () => {
    const t = transfer(Transfer_ErrorReason.DEBITS_BLOCKED, {
      errorMetadata: { block_reason: "court order." },
    });
    expect(explainTransfer(t).text).toBe("No money may leave the paying account: court order.");
  });

  test("without its figures has a general sentence, not half of one", () => {
    const t = transfer(Transfer_ErrorReason.ALREADY_REVERSED);
    expect(explainTransfer(t).text).toBe(reasonText("ALREADY_REVERSED"));
  });
});

test("a call that was refused says what the transfer would", () => {
  const detail = {
    desc: ErrorInfoSchema,
    value: {
      domain: "transfers",
      reason: "HOLD_AMOUNT_EXCEEDED",
      metadata: { amount: "20.00", currency: "USD" },
    },
  };
  const error = new ConnectError("refused", Code.FailedPrecondition, undefined, [detail]);
  expect(explainRefusal(error)?.text).toBe("The hold reserves less than 20.00\u00a0USD.");
});

test("other errors are no refusals", () => {
  const detail = { desc: ErrorInfoSchema, value: { domain: "transfers", reason: "DATABASE_UNAVAILABLE" } };
  expect(explainRefusal(new ConnectError("away", Code.Unavailable, undefined, [detail]))).toBeUndefined();
  expect(explainRefusal(new TypeError("Failed to fetch"))).toBeUndefined();
});
