import { describe, expect, test, vi } from "vitest";
import {
  dayStart,
  exactTime,
  formatClock,
  formatFullTime,
  formatSeconds,
  formatTime,
  fromDate,
  localDay,
  plural,
  relativeTime,
  toDate,
  toLocalInput,
} from "./time";

// Before time.ts is loaded, which keeps its formatter.
vi.hoisted(() => {
  process.env.TZ = "America/New_York";
});

const moment = { seconds: 1795358954n, nanos: 550806000 };

describe("a moment", () => {
  test("is shown in the local zone", () => {
    expect(formatTime(new Date("2026-11-22T04:09:05Z"))).toBe("21 Nov 2026, 23:09:05");
    expect(formatTime(new Date("2026-09-01T04:00:00Z"))).toBe("01 Sep 2026, 00:00:00");
  });

  test("with its time of day alone, and in full", () => {
    expect(formatClock(new Date("2026-11-22T05:00:00Z"))).toBe("00:00:00");
    expect(formatFullTime(new Date("2026-11-22T04:09:05Z"))).toMatch(
      /^Saturday,? 21 November 2026 at 23:09:05 /,
    );
  });

  test("is exact on demand", () => {
    expect(exactTime(moment)).toBe("2026-11-22T14:49:14.550806Z");
    expect(exactTime({ ...moment, nanos: 0 })).toBe("2026-11-22T14:49:14.000Z");
    expect(exactTime({ ...moment, nanos: 7 })).toBe("2026-11-22T14:49:14.000000007Z");
    expect(exactTime({ seconds: -1n, nanos: 999_000_000 })).toBe("1969-12-31T23:59:59.999Z");
    expect(exactTime(new Date(1.5e12))).toBe("2017-07-14T02:40:00.000Z");
  });

  test("as a date and back", () => {
    expect(fromDate(toDate(moment))).toEqual({ ...moment, nanos: 550_000_000 });
    expect(fromDate(new Date(-1))).toEqual({ seconds: -1n, nanos: 999_000_000 });
    expect(toDate(moment).toISOString()).toBe("2026-11-22T14:49:14.550Z");
  });
});

describe("relativeTime", () => {
  const now = new Date("2026-11-22T12:00:00Z");
  test.each([
    [0, "just now"],
    [-0.9, "just now"],
    [-1, "1 second ago"],
    [-59, "59 seconds ago"],
    [-60, "1 minute ago"],
    [-7199, "1 hour ago"],
    [-86_400, "yesterday"],
    [-86_400 * 45, "last month"],
    [90, "in 1 minute"],
    [86_400 * 3, "in 3 days"],
    [86_400 * 800, "in 2 years"],
  ])("%d s: %s", (seconds, words) => {
    expect(relativeTime(new Date(now.getTime() + seconds * 1000), now)).toBe(words);
  });
});

describe("days", () => {
  test("begin at local midnight, also where a day has 23 hours", () => {
    expect(dayStart("2026-11-22")?.toISOString()).toBe("2026-11-22T05:00:00.000Z");
    expect(dayStart("2026-03-08")?.toISOString()).toBe("2026-03-08T05:00:00.000Z");
    expect(dayStart("2026-03-08", 1)?.toISOString()).toBe("2026-03-09T04:00:00.000Z");
    expect(dayStart("2026-12-31", 1)?.toISOString()).toBe("2027-01-01T05:00:00.000Z");
  });

  test("of a moment", () => {
    expect(localDay(new Date("2026-11-22T04:59:59Z"))).toBe("2026-11-21");
    expect(localDay(new Date("2026-11-22T05:00:00Z"))).toBe("2026-11-22");
  });

  test.each(["", "2026-02-30", "2026-13-01", "26-01-01", "2026-1-1", "0000-01-01", "2026-01-01T00:00"])(
    "%j is none",
    (text) => {
      expect(dayStart(text)).toBeUndefined();
    },
  );
});

test("the value of a field", () => {
  expect(toLocalInput(new Date("2026-01-02T04:05:06Z"))).toBe("2026-01-01T23:05:06");
});

test("lengths of time in words", () => {
  expect(formatSeconds(0)).toBe("0 seconds");
  expect(formatSeconds(1)).toBe("1 second");
  expect(formatSeconds(86_400)).toBe("1 day");
  expect(formatSeconds(5_400)).toBe("90 minutes");
  expect(formatSeconds(61)).toBe("61 seconds");
  expect(formatSeconds(31_622_400)).toBe("366 days");
});

test("counts", () => {
  expect(plural(1, "account")).toBe("1 account");
  expect(plural(0n, "account")).toBe("0 accounts");
  expect(plural(12_345n, "entry", "entries")).toBe("12,345 entries");
});
