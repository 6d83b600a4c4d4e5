import { create } from "@bufbuild/protobuf";
import { AccountSchema } from "internaltransfers-client";
import { describe, expect, test, vi } from "vitest";
import { draftOf, type PolicyDraft, readDraft, withLimit } from "./policy-draft";

vi.hoisted(() => {
  process.env.TZ = "America/New_York";
});

const seen = create(AccountSchema, {
  currency: "USD",
  minBalance: "0.00",
  maxBalance: "1000.00",
  debitBlock: { reason: "lost", endTime: { seconds: 1_800_000_000n, nanos: 123_000_000 } },
  limits: [
    { window: { seconds: 86_400n, nanos: 5 }, maxAmount: "50.00" },
    { window: { seconds: 90n }, maxCount: 3n },
  ],
});

const read = (patch: Partial<PolicyDraft>) => readDraft({ ...draftOf(seen), ...patch }, seen, 2);
const block = { on: true, reason: "why", until: "" };

describe("a draft", () => {
  test("is in the units of people", () => {
    const draft = draftOf(seen);
    expect(draft).toMatchObject({ floor: "0.00", ceiling: "1000.00", cap: "" });
    expect(draft.debit).toEqual({ on: true, reason: "lost", until: "2027-01-15T03:00:00" });
    expect(draft.limits).toEqual([
      { number: 0, length: "1", unit: "days", maxAmount: "50.00", maxCount: "" },
      { number: 1, length: "90", unit: "seconds", maxAmount: "", maxCount: "3" },
    ]);
  });

  test("that was not touched changes nothing", () => {
    expect(read({})).toMatchObject({ paths: [], problems: {} });
    expect(read({ ceiling: "1,000" })).toMatchObject({ paths: [], problems: {} });
  });

  test.each([
    [{ floor: "-5" }, "min_balance", { minBalance: "-5.00" }],
    [{ ceiling: "" }, "max_balance", { maxBalance: undefined }],
    [{ cap: "10" }, "max_transfer_amount", { maxTransferAmount: "10.00" }],
    [{ debit: { ...block, on: false } }, "debit_block", { debitBlock: undefined }],
    [{ debit: { on: true, reason: "lost", until: "" } }, "debit_block", { debitBlock: { reason: "lost" } }],
    [{ credit: block }, "credit_block", { creditBlock: { reason: "why" } }],
    [{ limits: [] }, "limits", { limits: [] }],
  ] as const)("that was touched changes that alone: %#", (patch, path, change) => {
    const { paths, change: made, problems } = read(patch as Partial<PolicyDraft>);
    expect(problems).toEqual({});
    expect(paths).toEqual([path]);
    expect(made).toMatchObject(change);
  });

  test("keeps what its fields cannot show", () => {
    const { change } = read({ debit: { on: true, reason: "found", until: "2027-01-15T03:00:00" } });
    expect(change.debitBlock).toMatchObject({ reason: "found", endTime: { nanos: 123_000_000 } });
    expect(change.limits?.[0]?.window).toMatchObject({ seconds: 86_400n, nanos: 5 });
  });

  test("adds a limit", () => {
    const limits = withLimit(draftOf(seen).limits).map((limit) =>
      limit.number === 2 ? { ...limit, length: "2", unit: "hours" as const, maxCount: "7" } : limit,
    );
    const { change, paths, problems } = read({ limits });
    expect(problems).toEqual({});
    expect(paths).toEqual(["limits"]);
    expect(change.limits?.[2]).toMatchObject({ window: { seconds: 7200n }, maxCount: 7n });
  });

  test.each([
    [{ floor: "" }, "floor"],
    [{ floor: "x" }, "floor"],
    [{ ceiling: "1.005" }, "ceiling"],
    [{ cap: "0" }, "cap"],
    [{ debit: { ...block, reason: " " } }, "debit.reason"],
    [{ credit: { ...block, until: "soon" } }, "credit.until"],
    [{ limits: withLimit([]) }, "limits.0.maxAmount"],
    [
      { limits: [{ number: 4, length: "367", unit: "days", maxAmount: "1", maxCount: "" }] },
      "limits.4.length",
    ],
    [{ limits: [{ number: 4, length: "0", unit: "days", maxAmount: "1", maxCount: "" }] }, "limits.4.length"],
    [
      { limits: [{ number: 4, length: "1", unit: "days", maxAmount: "-1", maxCount: "" }] },
      "limits.4.maxAmount",
    ],
    [
      { limits: [{ number: 4, length: "1", unit: "days", maxAmount: "", maxCount: "1.5" }] },
      "limits.4.maxCount",
    ],
  ] as const)("says what is wrong: %#", (patch, field) => {
    expect(Object.keys(read(patch as Partial<PolicyDraft>).problems)).toEqual([field]);
  });
});
