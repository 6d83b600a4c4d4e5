// The period that the chart and the statement are of. It lives in the URL: `period` is the name of one that ends now, or
// `from` and `to` are local days, both inclusive.
import { type Timestamp, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Account } from "internaltransfers-client";
import { dayStart, localDay } from "../../lib/time";

/** The periods with a name, in the order in which they are offered. */
export const periods = [
  { name: "hour", label: "1h" },
  { name: "today", label: "Today" },
  { name: "7d", label: "7d" },
  { name: "30d", label: "30d" },
  { name: "90d", label: "90d" },
  { name: "all", label: "All" },
] as const;

export type PeriodName = (typeof periods)[number]["name"] | "custom";

/** What the URL says of the period. */
export type PeriodState = { period: string; from: string; to: string };

/** What it says when it says nothing. */
export const defaultPeriod: PeriodState = { period: "30d", from: "", to: "" };

/** A period: from start, inclusive, to end, exclusive. */
export interface Period {
  name: PeriodName;
  /** Undefined: since the account was opened. */
  start: Date | undefined;
  /** Undefined: until now. */
  end: Date | undefined;
  /** Of a custom period: its days, as date fields have them. */
  from: string;
  to: string;
}

const days: Partial<Record<PeriodName, number>> = { today: 1, "7d": 7, "30d": 30, "90d": 90 };

/**
 * Reads the period from the URL's parameters. Named periods begin at a full minute or day, so that they are the same from one
 * moment to the next. What makes no sense is taken as the last 30 days.
 */
export function readPeriod({ period, from, to }: PeriodState, now: Date): Period {
  if (from || to) {
    const start = dayStart(from);
    const end = dayStart(to, 1);
    const sound =
      (start || !from) && (end || !to) && !(start && end && start >= end) && !(start && start > now);
    if (sound) return { name: "custom", start, end: end && end < now ? end : undefined, from, to };
  }
  const name = periods.find((p) => p.name === period)?.name ?? "30d";
  return { name, start: startOf(name, now), end: undefined, from: "", to: "" };
}

function startOf(name: PeriodName, now: Date): Date | undefined {
  if (name === "hour") return new Date(Math.floor(now.getTime() / 60_000 - 60) * 60_000);
  const count = days[name];
  return count === undefined ? undefined : dayStart(localDay(now), 1 - count);
}

/** The period as the API takes it, for an account. */
export function boundsOf(
  { start, end }: Period,
  { createTime }: Pick<Account, "createTime">,
): { startTime: Timestamp; endTime?: Timestamp } {
  const opened = createTime ?? timestampFromDate(new Date(0));
  return {
    startTime: start ? timestampFromDate(start) : opened,
    ...(end && { endTime: timestampFromDate(end) }),
  };
}
