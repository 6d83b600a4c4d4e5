import { type Schedule, type Schedule_CatchUp, Schedule_Status } from "internaltransfers-client";
import { formatSeconds } from "../../lib/time";
import type { Tone } from "../../ui";

export const weekdays = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/** When a schedule repeats: in words where its cron expression is a simple one, else the expression. */
export function recurrenceText(schedule: Schedule): string {
  const { recurrence } = schedule;
  if (recurrence.case === "interval")
    return `Every ${formatSeconds(Number(recurrence.value.seconds)).replace(/^1 /, "")}`;
  if (recurrence.case !== "cron") return "";
  const parts = /^([0-9]{1,2}) ([0-9]{1,2}) (\*|L|[0-9]{1,2}) \* (\*|[0-7])$/.exec(recurrence.value);
  if (!parts) return recurrence.value;
  const [, minute = "", hour = "", day = "", weekday = ""] = parts;
  const restricted = day !== "*" && weekday !== "*";
  if (restricted || Number(minute) > 59 || Number(hour) > 23) return recurrence.value;
  const time = `${hour.padStart(2, "0")}:${minute.padStart(2, "0")}`;
  if (day === "L") return `On the last day of each month at ${time}`;
  if (day !== "*") return `On day ${day} of each month at ${time}`;
  if (weekday !== "*") return `Every ${weekdays[Number(weekday) % 7]} at ${time}`;
  return `Every day at ${time}`;
}

/** The status of a schedule. */
export const statusWords: Record<Schedule_Status, [Tone, string]> = {
  [Schedule_Status.STATUS_UNSPECIFIED]: ["neutral", "Unknown"],
  [Schedule_Status.ACTIVE]: ["good", "Active"],
  [Schedule_Status.PAUSED]: ["warn", "Paused"],
  [Schedule_Status.ENDED]: ["neutral", "Ended"],
  [Schedule_Status.DELETED]: ["neutral", "Deleted"],
};

/** What is done about occurrences that were missed. */
export const catchUpWords: Record<Exclude<keyof typeof Schedule_CatchUp, "CATCH_UP_UNSPECIFIED">, string> = {
  ALL: "Make each, late",
  LATEST: "Make only the latest",
  NONE: "Leave them out",
};
