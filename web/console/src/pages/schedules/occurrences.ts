// When the occurrences of a schedule will be, as the ledger says: it is asked what it would make, again and again from
// the moment after the last answer. Whoever reads cron in another place reads it a little differently.
import { durationMs, type Timestamp } from "@bufbuild/protobuf/wkt";
import type { CreateScheduleRequest, Schedule } from "internaltransfers-client";

/** The occurrences that a preview shows. */
export const previewCount = 5;

/** Answers what CreateSchedule would make. */
export type Try = (request: CreateScheduleRequest, signal: AbortSignal) => Promise<Schedule | undefined>;

/** The next occurrences of what the request asks for, at most previewCount. Fails as the call would. */
export async function nextOccurrences(
  request: CreateScheduleRequest,
  attempt: Try,
  signal: AbortSignal,
): Promise<Timestamp[]> {
  const first = await attempt(request, signal);
  const times: Timestamp[] = [];
  const bound = Number(request.maxCount ?? BigInt(previewCount));
  let next = first?.nextTime;
  while (next && times.length < Math.min(bound, previewCount)) {
    times.push(next);
    if (times.length >= Math.min(bound, previewCount)) break;
    if (request.recurrence.case === "interval") {
      next = beforeEnd(plus(next, durationMs(request.recurrence.value)), request.endTime);
    } else {
      const from: Timestamp = plus(next, 1000);
      try {
        next = (await attempt({ ...request, startTime: from }, signal))?.nextTime;
      } catch {
        return times; // nothing is to come after this one
      }
    }
  }
  return times;
}

function plus({ seconds, nanos }: Timestamp, ms: number): Timestamp {
  const total = BigInt(nanos) + BigInt(Math.round(ms * 1e6));
  return {
    $typeName: "google.protobuf.Timestamp",
    seconds: seconds + total / 1_000_000_000n,
    nanos: Number(total % 1_000_000_000n),
  };
}

function beforeEnd(time: Timestamp, end: Timestamp | undefined): Timestamp | undefined {
  if (!end) return time;
  return time.seconds < end.seconds || (time.seconds === end.seconds && time.nanos < end.nanos)
    ? time
    : undefined;
}
