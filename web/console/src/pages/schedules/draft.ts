// What is typed for a new schedule.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type CreateScheduleRequest,
  CreateScheduleRequestSchema,
  Schedule_CatchUp,
} from "internaltransfers-client";

export type Repeat = "daily" | "weekly" | "monthly" | "cron" | "interval";

export type IntervalUnit = "seconds" | "minutes" | "hours" | "days";

export interface Draft {
  from: string;
  to: string;
  amount: string;
  repeat: Repeat;
  /** The time of day, as a field for time has it. */
  time: string;
  /** 0 is Sunday. */
  weekday: string;
  monthday: string;
  cron: string;
  zone: string;
  every: string;
  unit: IntervalUnit;
  /** Local times, as fields have them; empty: none. */
  start: string;
  end: string;
  count: string;
  catchUp: keyof typeof Schedule_CatchUp;
  reference: string;
}

export function emptyDraft(): Draft {
  return {
    from: "",
    to: "",
    amount: "",
    repeat: "monthly",
    time: "09:00",
    weekday: "1",
    monthday: "1",
    cron: "",
    zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    every: "1",
    unit: "hours",
    start: "",
    end: "",
    count: "",
    catchUp: "ALL",
    reference: "",
  };
}

/** The cron expression that the draft comes to. */
export function cronOf(draft: Draft): string {
  const [hour = "0", minute = "0"] = draft.time.split(":").map((part) => String(Number(part)));
  switch (draft.repeat) {
    case "daily":
      return `${minute} ${hour} * * *`;
    case "weekly":
      return `${minute} ${hour} * * ${draft.weekday}`;
    case "monthly":
      return `${minute} ${hour} ${draft.monthday} * *`;
    default:
      return draft.cron.trim();
  }
}

/** What is wrong with when, by the fields' names in the API. */
export function whenProblems(draft: Draft): Record<string, string> {
  const problems: Record<string, string> = {};
  if (draft.repeat === "interval") {
    if (!(/^[0-9]{1,9}$/.test(draft.every) && Number(draft.every) > 0))
      problems.interval = "Use a whole number, 1 or more.";
  } else if (draft.repeat === "cron") {
    if (draft.cron.trim().split(/\s+/).length !== 5)
      problems.cron = "Five fields: minute, hour, day of month, month, day of week.";
  } else if (!/^[0-9]{2}:[0-9]{2}/.test(draft.time)) problems.cron = "Choose a time.";
  if (draft.count !== "" && !(/^[0-9]{1,9}$/.test(draft.count) && Number(draft.count) > 0))
    problems.max_count = "Use a whole number, 1 or more.";
  return problems;
}

const unitSeconds: Record<IntervalUnit, number> = { seconds: 1, minutes: 60, hours: 3_600, days: 86_400 };

/** The call that a sound draft asks for, with its amount as it was checked. */
export function requestOf(draft: Draft, amount: string): CreateScheduleRequest {
  const request: MessageInitShape<typeof CreateScheduleRequestSchema> = {
    fromAccountId: draft.from,
    toAccountId: draft.to,
    amount,
    reference: draft.reference.trim(),
    catchUp: Schedule_CatchUp[draft.catchUp],
  };
  if (draft.repeat === "interval") {
    const seconds = BigInt(Number(draft.every) * unitSeconds[draft.unit]);
    request.recurrence = { case: "interval", value: { seconds } };
  } else {
    request.recurrence = { case: "cron", value: cronOf(draft) };
    request.timeZone = draft.zone.trim();
  }
  if (draft.start) request.startTime = timestampFromDate(new Date(draft.start));
  if (draft.end) request.endTime = timestampFromDate(new Date(draft.end));
  if (draft.count) request.maxCount = BigInt(draft.count);
  return create(CreateScheduleRequestSchema, request);
}
