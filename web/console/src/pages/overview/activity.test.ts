import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import {
  ActivityStepSchema,
  GetActivityResponseSchema,
  Transfer_ErrorReason,
} from "internaltransfers-client";
import { describe, expect, test } from "vitest";
import { busiest, formatRate, formatShare, readActivity, volumeLine } from "./activity";

const step = (second: number, fields: MessageInitShape<typeof ActivityStepSchema>) =>
  Object.assign(create(ActivityStepSchema, fields), {
    startTime: create(TimestampSchema, { seconds: BigInt(1_000 + second) }),
  });

const activity = (steps: MessageInitShape<typeof ActivityStepSchema>[], seconds = 1n) =>
  readActivity(create(GetActivityResponseSchema, { steps, step: { seconds } }));

describe("readActivity", () => {
  test("of nothing is nothing", () => {
    const a = activity([]);
    expect(a.times).toEqual([]);
    expect(a.rate).toBe(0);
    expect(a.total).toEqual({ succeeded: 0n, pending: 0n, refused: 0n });
  });

  test("leaves the step that is not over out of the lines, and counts it in the sums", () => {
    const a = activity([
      step(0, { successCount: 4n, initCount: 1n }),
      step(1, { successCount: 6n }),
      step(2, { successCount: 1n }),
    ]);
    expect(a.times).toEqual([1000, 1001]);
    expect(a.succeeded).toEqual([4, 6]);
    expect(a.rate).toBe(5);
    expect(a.total.succeeded).toBe(11n);
    expect(a.total.pending).toBe(1n);
  });

  test("is per second whatever the step", () => {
    const a = activity([step(0, { successCount: 10n }), step(5, { successCount: 25n }), step(10, {})], 5n);
    expect(a.succeeded).toEqual([2, 5]);
    expect(a.rate).toBe(5);
  });

  test("counts refusals by reason, the most frequent first", () => {
    const { INSUFFICIENT_FUNDS, ACCOUNT_FROZEN, ACCOUNT_CLOSED } = Transfer_ErrorReason;
    const a = activity([
      step(0, {
        refusals: [
          { reason: ACCOUNT_FROZEN, count: 1n },
          { reason: INSUFFICIENT_FUNDS, count: 2n },
        ],
      }),
      step(1, {
        refusals: [
          { reason: INSUFFICIENT_FUNDS, count: 3n },
          { reason: ACCOUNT_CLOSED, count: 1n },
        ],
      }),
      step(2, {}),
    ]);
    expect(a.refused).toEqual([3, 4]);
    expect(a.total.refused).toBe(7n);
    expect(a.reasons).toEqual([
      { reason: INSUFFICIENT_FUNDS, count: 5n },
      { reason: ACCOUNT_CLOSED, count: 1n },
      { reason: ACCOUNT_FROZEN, count: 1n },
    ]);
  });

  test("adds volumes exactly, with a zero where nothing moved", () => {
    const a = activity([
      step(0, { volumes: [{ currency: "USD", amount: "0.10" }] }),
      step(1, { volumes: [{ currency: "JPY", amount: "5" }] }),
      step(2, { volumes: [{ currency: "USD", amount: "12345678901234567890.20" }] }),
    ]);
    expect(a.volumes).toEqual([
      { currency: "JPY", total: "5", amounts: ["0", "5"] },
      { currency: "USD", total: "12345678901234567890.30", amounts: ["0.10", "0"] },
    ]);
    const [, usd] = a.volumes;
    if (!usd) throw new Error("no USD");
    expect(volumeLine(usd).values).toEqual([0.1, 0]);
    expect(volumeLine(usd).format(0)).toBe("0.10 USD");
  });
});

test("the busiest currency is the one that moves most often", () => {
  const volume = (currency: string, ...amounts: string[]) => ({ currency, total: "0", amounts });
  expect(busiest([])).toBeUndefined();
  expect(busiest([volume("EUR", "9", "0"), volume("USD", "1", "1"), volume("XTS", "1", "1")])?.currency).toBe(
    "USD",
  );
});

test("rates have about three digits", () => {
  expect(formatRate(0.44)).toBe("0.4");
  expect(formatRate(12.4)).toBe("12");
  expect(formatRate(1480.2)).toBe("1,480");
});

test("a small share is not said to be none", () => {
  expect(formatShare(0n, 10n)).toBe("0%");
  expect(formatShare(1n, 0n)).toBe("0%");
  expect(formatShare(1n, 3n)).toBe("33.3%");
  expect(formatShare(1n, 1_000_000n)).toBe("less than 0.1%");
});
