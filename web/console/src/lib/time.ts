// Times are shown in the zone of who looks, to the second; the exact instant, in UTC and as exact as the ledger knows it,
// is never further away than a hover.

/** A moment: a Date, or a google.protobuf.Timestamp, which is exact to the nanosecond. */
export type Moment = Date | { seconds: bigint; nanos: number };

/** The moment as a Date, which is exact to the millisecond. */
export function toDate(moment: Moment): Date {
  if (moment instanceof Date) return moment;
  return new Date(Number(moment.seconds) * 1000 + Math.floor(moment.nanos / 1_000_000));
}

/** A Date as the API takes it. */
export function fromDate(date: Date): { seconds: bigint; nanos: number } {
  const seconds = Math.floor(date.getTime() / 1000);
  return { seconds: BigInt(seconds), nanos: (date.getTime() - seconds * 1000) * 1_000_000 };
}

const dateAndTime = new Intl.DateTimeFormat("en-GB", {
  day: "2-digit",
  month: "short",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const timeOfDay = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const inFull = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "long" });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** A moment in the local zone, such as 22 Nov 2026, 15:49:14. */
export function formatTime(moment: Moment): string {
  // In some versions of its data en-GB abbreviates September to four letters, which would not line up.
  return dateAndTime.format(toDate(moment)).replace("Sept", "Sep");
}

/** The time of day of a moment in the local zone, such as 15:49:14. */
export function formatClock(moment: Moment): string {
  return timeOfDay.format(toDate(moment));
}

/** A moment in full with the local zone, such as Sunday 22 November 2026 at 15:49:14 CET. */
export function formatFullTime(moment: Moment): string {
  return inFull.format(toDate(moment));
}

/** A moment in UTC with all its digits, such as 2026-11-22T14:49:14.550806Z. */
export function exactTime(moment: Moment): string {
  const iso = toDate(moment).toISOString();
  if (moment instanceof Date) return iso;
  const nanos = moment.nanos.toString().padStart(9, "0");
  const digits = nanos.endsWith("000000")
    ? nanos.slice(0, 3)
    : nanos.endsWith("000")
      ? nanos.slice(0, 6)
      : nanos;
  return iso.replace(/\.[0-9]{3}Z$/, `.${digits}Z`);
}

/** How far a moment is from now, in the greatest unit that fits: 3 minutes ago, in 2 hours, yesterday. */
export function relativeTime(moment: Moment, now: Date | number): string {
  const seconds = Math.trunc((toDate(moment).getTime() - now.valueOf()) / 1000);
  for (const [unit, length] of [
    ["year", 365 * 86_400],
    ["month", 30 * 86_400],
    ["day", 86_400],
    ["hour", 3_600],
    ["minute", 60],
    ["second", 1],
  ] as const) {
    if (Math.abs(seconds) >= length) return relative.format(Math.trunc(seconds / length), unit);
  }
  return "just now";
}

/** The local day of a moment as a date field has it, such as 2026-11-22. */
export function localDay(moment: Moment): string {
  return toLocalInput(toDate(moment)).slice(0, 10);
}

/**
 * The moment at which a day begins in the local zone, for the value of a date field and, with days, for a day that many
 * later. A text that is no day of the years 1 to 9999 gives undefined.
 */
export function dayStart(text: string, days = 0): Date | undefined {
  const parts = /^([0-9]{4})-([0-9]{2})-([0-9]{2})$/.exec(text);
  if (!parts) return undefined;
  const [year = 0, month = 0, day = 0] = parts.slice(1).map(Number);
  const start = new Date(2000, 0, 1);
  start.setFullYear(year, month - 1, day);
  if (year < 1 || localDay(start) !== text) return undefined;
  start.setDate(start.getDate() + days);
  return start;
}

/** What a field for date and time shows for a moment, in the local zone: 2026-11-22T15:49:14. */
export function toLocalInput(date: Date): string {
  const two = (n: number) => n.toString().padStart(2, "0");
  const day = `${date.getFullYear().toString().padStart(4, "0")}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** A length of time in words, such as 1 day, 90 minutes or 61 seconds: in the greatest unit of which it is a whole number. */
export function formatSeconds(seconds: number): string {
  for (const [unit, length] of [
    ["day", 86_400],
    ["hour", 3_600],
    ["minute", 60],
  ] as const) {
    if (seconds >= length && seconds % length === 0) return plural(seconds / length, unit);
  }
  return plural(seconds, "second");
}

/** A count with its noun: 1 account, 2 accounts. */
export function plural(count: number | bigint, noun: string, nouns = `${noun}s`): string {
  return `${count.toLocaleString("en-US")} ${Number(count) === 1 ? noun : nouns}`;
}
