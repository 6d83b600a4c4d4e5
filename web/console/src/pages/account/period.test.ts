import { describe, expect, test, vi } from "vitest";
import { defaultPeriod, readPeriod } from "./period";

vi.hoisted(() => {
  process.env.TZ = "America/New_York";
});

const now = new Date("2026-03-10T15:30:42Z");
const read = (query: string) =>
  readPeriod({ ...defaultPeriod, ...Object.fromEntries(new URLSearchParams(query)) }, now);

describe("readPeriod", () => {
  test.each([
    ["period=hour", "hour", "2026-03-10T14:30:00.000Z"],
    ["period=today", "today", "2026-03-10T04:00:00.000Z"],
    ["period=7d", "7d", "2026-03-04T05:00:00.000Z"],
    ["", "30d", "2026-02-09T05:00:00.000Z"],
    ["period=century", "30d", "2026-02-09T05:00:00.000Z"],
    ["period=all", "all", undefined],
  ])("%j begins at a full minute or day", (query, name, start) => {
    const period = read(query);
    expect(period.name).toBe(name);
    expect(period.start?.toISOString()).toBe(start);
    expect(period.end).toBeUndefined();
  });

  test("days are whole and inclusive", () => {
    const period = read("from=2026-03-01&to=2026-03-08");
    expect(period).toMatchObject({ name: "custom", from: "2026-03-01", to: "2026-03-08" });
    expect(period.start?.toISOString()).toBe("2026-03-01T05:00:00.000Z");
    expect(period.end?.toISOString()).toBe("2026-03-09T04:00:00.000Z");
  });

  test("one of the two days is enough", () => {
    expect(read("from=2026-03-01").end).toBeUndefined();
    expect(read("to=2026-03-01").start).toBeUndefined();
  });

  test("a period never ends in the future", () => {
    expect(read("from=2026-03-10&to=2026-03-10").end).toBeUndefined();
    expect(read("from=2026-03-10&to=2026-12-31").end).toBeUndefined();
  });

  test.each(["from=yesterday", "from=2026-03-05&to=2026-03-04", "from=2027-01-01", "to=2026-02-30"])(
    "%j makes no sense",
    (query) => {
      expect(read(query).name).toBe("30d");
    },
  );
});
