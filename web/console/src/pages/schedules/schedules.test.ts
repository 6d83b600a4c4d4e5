import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { type CreateScheduleRequest, ScheduleSchema } from "internaltransfers-client";
import { describe, expect, test } from "vitest";
import { cronOf, emptyDraft, requestOf, whenProblems } from "./draft";
import { nextOccurrences } from "./occurrences";
import { recurrenceText } from "./words";

const draft = { ...emptyDraft(), zone: "Europe/Berlin", time: "08:05", weekday: "3", monthday: "15" };

test.each([
  ["daily", "5 8 * * *", "Every day at 08:05", "15"],
  ["weekly", "5 8 * * 3", "Every Wednesday at 08:05", "15"],
  ["monthly", "5 8 15 * *", "On day 15 of each month at 08:05", "15"],
  ["monthly", "5 8 L * *", "On the last day of each month at 08:05", "L"],
] as const)("%s is cron, and cron is words again", (repeat, cron, words, monthday) => {
  expect(cronOf({ ...draft, repeat, monthday })).toBe(cron);
  const { recurrence, timeZone } = requestOf({ ...draft, repeat, monthday }, "1.00");
  expect(recurrenceText(create(ScheduleSchema, { recurrence, timeZone }))).toBe(words);
});

test.each([
  [3600n, "Every hour"],
  [5400n, "Every 90 minutes"],
])("an interval of %i s", (seconds, words) => {
  const recurrence = {
    case: "interval",
    value: { $typeName: "google.protobuf.Duration", seconds, nanos: 0 },
  } as const;
  expect(recurrenceText(create(ScheduleSchema, { recurrence }))).toBe(words);
});

test("cron that is no simple sentence stays as it is", () => {
  for (const cron of [
    "*/15 8-18 * * 1-5",
    "0 8 1 JAN *",
    "0 8 1 * 1",
    "60 8 * * *",
    "0 8 L * 5",
    "0 8 15W * *",
    "0 8 * * 5L",
  ]) {
    expect(recurrenceText(create(ScheduleSchema, { recurrence: { case: "cron", value: cron } }))).toBe(cron);
  }
});

test("what is wrong is named by its field", () => {
  expect(whenProblems({ ...draft, repeat: "interval", every: "0" })).toHaveProperty("interval");
  expect(whenProblems({ ...draft, repeat: "cron", cron: "* * *" })).toHaveProperty("cron");
  expect(whenProblems({ ...draft, count: "1.5" })).toHaveProperty("max_count");
  expect(whenProblems({ ...draft, repeat: "interval", every: "5" })).toEqual({});
});

describe("the next occurrences", () => {
  /** A ledger in which something happens at each full minute until the tenth. */
  const minutes =
    (asked: (CreateScheduleRequest & { startTime?: unknown })[]) =>
    async (request: CreateScheduleRequest) => {
      asked.push(request);
      const from = request.startTime ? timestampMs(request.startTime) : 0;
      const next = Math.ceil(from / 60_000) * 60_000;
      if (next > 600_000) throw new Error("names no time that is to come");
      return create(ScheduleSchema, { nextTime: timestampFromMs(next) });
    };
  const cron = requestOf({ ...draft, repeat: "cron", cron: "* * * * *" }, "1.00");
  const signal = new AbortController().signal;
  const minutesOf = (times: { seconds: bigint }[]) => times.map((t) => Number(t.seconds) / 60);

  test("of cron are what the ledger says, one after the other", async () => {
    expect(minutesOf(await nextOccurrences(cron, minutes([]), signal))).toEqual([0, 1, 2, 3, 4]);
  });

  test("end with the last", async () => {
    const late = { ...cron, startTime: timestampFromMs(9 * 60_000) };
    expect(minutesOf(await nextOccurrences(late, minutes([]), signal))).toEqual([9, 10]);
    expect(minutesOf(await nextOccurrences({ ...cron, maxCount: 2n }, minutes([]), signal))).toEqual([0, 1]);
  });

  test("of an interval need one question", async () => {
    const asked: CreateScheduleRequest[] = [];
    const hourly = {
      ...requestOf({ ...draft, repeat: "interval", every: "1", unit: "hours" }, "1.00"),
      endTime: timestampFromMs(3 * 3_600_000),
    };
    expect(minutesOf(await nextOccurrences(hourly, minutes(asked), signal))).toEqual([0, 60, 120]);
    expect(asked.length).toBe(1);
  });

  test("fail as the call would", async () => {
    const never = { ...cron, startTime: timestampFromMs(11 * 60_000) };
    await expect(nextOccurrences(never, minutes([]), signal)).rejects.toThrow("to come");
  });
});
