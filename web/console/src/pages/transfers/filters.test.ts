import { create } from "@bufbuild/protobuf";
import { Transfer_Status, TransferSchema } from "internaltransfers-client";
import { describe, expect, test } from "vitest";
import { filterProblems, instant, listFilter, noFilters, passes, watchFilter } from "./filters";

const id = "0198c5a8-5d70-7c3e-9d3f-6f2f8c1f7a01";

test("the API's names and types", () => {
  expect(
    listFilter({
      ...noFilters,
      account: id,
      status: "FAILED",
      currency: "USD",
      reference: "rent",
      from: "2026-03-01T00:00:00.123456Z",
    }),
  ).toEqual({
    accountId: id,
    status: Transfer_Status.FAILED,
    currency: "USD",
    reference: "rent",
    startTime: instant("2026-03-01T00:00:00.123456Z"),
  });
  expect(instant("2026-03-01T00:00:00.123456Z")?.nanos).toBe(123_456_000);
});

test("a group goes with the status alone", () => {
  expect(
    listFilter({
      ...noFilters,
      group: id,
      account: id,
      currency: "USD",
      status: "SUCCESS",
      to: "2026-03-01T00:00:00Z",
    }),
  ).toEqual({
    groupId: id,
    status: Transfer_Status.SUCCESS,
  });
});

test("what makes no sense is named, and not asked for", () => {
  const f = { ...noFilters, account: "x", currency: "usd", from: "yesterday", status: "DONE" };
  expect(Object.keys(filterProblems(f))).toEqual(["account", "currency", "from"]);
  expect(listFilter(f)).toEqual({});
});

describe("the stream", () => {
  test("knows no times, and tells when a transfer is INIT no more", () => {
    const f = listFilter({ ...noFilters, status: "INIT", from: "2026-03-01T00:00:00Z", currency: "USD" });
    expect(watchFilter(f)).toEqual({ currency: "USD" });
    expect(f.status).toBe(Transfer_Status.INIT);
  });

  test("is filtered by the rest", () => {
    const f = listFilter({
      ...noFilters,
      status: "INIT",
      from: "2026-03-01T00:00:00Z",
      to: "2026-03-02T00:00:00Z",
    });
    const t = (time: string, status = Transfer_Status.INIT) =>
      create(TransferSchema, { status, createTime: instant(time)! });
    expect(passes(f, t("2026-03-01T00:00:00Z"))).toBe(true);
    expect(passes(f, t("2026-03-01T00:00:00Z", Transfer_Status.SUCCESS))).toBe(false);
    expect(passes(f, t("2026-02-28T23:59:59.999999Z"))).toBe(false);
    expect(passes(f, t("2026-03-02T00:00:00Z"))).toBe(false);
  });
});
