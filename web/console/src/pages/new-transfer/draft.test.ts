import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Draft, draftFrom, draftProblems, loadDraft, requestOf, saveDraft } from "./draft";

const from = "0198c5a8-5d70-7c3e-9d3f-6f2f8c1f7a01";
const to = "0198c5a8-5d70-7c3e-9d3f-6f2f8c1f7a02";
const draft: Draft = draftFrom(
  new URLSearchParams({ from, to, amount: "12.5", reference: "rent", mode: "hold" }),
);

/** Enough of sessionStorage. */
class Storage {
  setItem(key: string, value: string) {
    Object.assign(this, { [key]: value });
  }
  getItem(key: string) {
    return (this as Record<string, unknown>)[key] ?? null;
  }
  removeItem(key: string) {
    delete (this as Record<string, unknown>)[key];
  }
}

beforeEach(() => vi.stubGlobal("sessionStorage", new Storage()));
afterEach(() => vi.unstubAllGlobals());

test("a link begins a draft", () => {
  expect(draft).toMatchObject({ from, to, amount: "12.5", reference: "rent", mode: "hold", sent: false });
  expect(draftFrom(new URLSearchParams({ mode: "never" })).mode).toBe("now");
});

describe("a draft", () => {
  test("outlives a reload, under its id alone", () => {
    saveDraft("a", { ...draft, sent: true });
    expect(loadDraft("a")).toEqual({ ...draft, sent: true });
    expect(loadDraft("b")).toBeUndefined();
    saveDraft("b", draft);
    expect(loadDraft("a")).toBeUndefined(); // old ones are not kept
  });

  test("that nobody can read is none", () => {
    sessionStorage.setItem("new-transfer a", "{");
    expect(loadDraft("a")).toBeUndefined();
  });

  test("asks for the same each time, or the same id would be refused", () => {
    const later: Draft = { ...draft, mode: "later", at: "2030-01-02T03:04:05" };
    expect(requestOf(later, "12.50")).toEqual(requestOf({ ...later }, "12.50"));
  });

  test("asks only for what its mode has", () => {
    const hold = requestOf({ ...draft, ttl: "2", ttlUnit: "hours", at: "2030-01-02T03:04:05" }, "12.50");
    expect(hold).toMatchObject({
      hold: true,
      holdTtl: { seconds: 7200n },
      amount: "12.50",
      reference: "rent",
    });
    expect(hold.executeTime).toBeUndefined();
    const now = requestOf({ ...draft, mode: "now" }, "12.50");
    expect([now.hold, now.holdTtl, now.executeTime]).toEqual([false, undefined, undefined]);
    expect(requestOf({ ...draft, ttlUnit: "never" }, "12.50").holdTtl).toBeUndefined();
    expect(requestOf({ ...draft, upTo: true, floor: "\u22125" }, "12.50").upToFloor).toBe("-5");
    expect(requestOf({ ...draft, upTo: true, floor: " " }, "12.50").upToFloor).toBeUndefined();
    expect(requestOf({ ...draft, upTo: false, floor: "5" }, "12.50").upToFloor).toBeUndefined();
  });
});

test.each([
  [{ mode: "hold", ttl: "0" }, "hold_ttl"],
  [{ mode: "hold", ttl: "1.5" }, "hold_ttl"],
  [{ mode: "hold", ttl: "x", ttlUnit: "never" }, undefined],
  [{ mode: "later", at: "" }, "execute_time"],
  [{ mode: "now", at: "", ttl: "" }, undefined],
  [{ mode: "now", upTo: true, floor: "" }, undefined],
  [{ mode: "now", upTo: true, floor: " \u221250.5 " }, undefined],
  [{ mode: "now", upTo: true, floor: "much" }, "up_to_floor"],
  [{ mode: "now", upTo: false, floor: "much" }, undefined],
  [{ metadata: [{ number: 0, key: "", value: "x" }] }, "metadata"],
] as [Partial<Draft>, string | undefined][])("%j", (patch, field) => {
  expect(Object.keys(draftProblems({ ...draft, ...patch }))).toEqual(field ? [field] : []);
});
