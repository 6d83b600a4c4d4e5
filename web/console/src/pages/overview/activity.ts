// What the overview makes of GetActivity: steps of time as lines, sums and shares. It knows nothing of React.
import type { ActivityStep, GetActivityResponse, Transfer_ErrorReason } from "internaltransfers-client";
import { addDecimals, approximate, groupThousands } from "../../lib/money";

/** A range of time that the overview can show. */
export type Range = "1m" | "10m" | "1h";

/** For each range its length and that of its steps, in seconds, and how often it is read again, in milliseconds. */
export const ranges: Record<Range, { label: string; window: number; step: number; pollMs: number }> = {
  "1m": { label: "1 minute", window: 60, step: 1, pollMs: 1_000 },
  "10m": { label: "10 minutes", window: 600, step: 5, pollMs: 2_000 },
  "1h": { label: "1 hour", window: 3600, step: 30, pollMs: 5_000 },
};

/** The activity of a range of time. */
export interface Activity {
  /** When each step begins, in seconds since 1970. */
  times: number[];
  /** Of each step, a second: what moved money, what waits, what was refused. */
  succeeded: number[];
  pending: number[];
  refused: number[];
  /** Transfers that moved money a second, lately. */
  rate: number;
  /** The sums over the range. */
  total: { succeeded: bigint; pending: bigint; refused: bigint };
  /** The reasons for which transfers were refused, the most frequent first. */
  reasons: { reason: Transfer_ErrorReason; count: bigint }[];
  /** The volume by currency, by code. */
  volumes: Volume[];
}

/** How much money moved in a currency. */
export interface Volume {
  currency: string;
  /** The exact sum over the range. */
  total: string;
  /** Of each step, as it was given; "0" where nothing moved. */
  amounts: string[];
}

/** How far back the rate of now looks, in seconds: one step alone would flicker. */
export const rateSeconds = 5;

/** Puts the answer together. The last step is left out of lines and rate, because it is not over. */
export function readActivity(response: GetActivityResponse): Activity {
  const seconds = Math.max(1, Number(response.step?.seconds ?? 1n));
  const whole = response.steps.slice(0, -1);
  const perSecond = (count: (step: ActivityStep) => bigint) =>
    whole.map((step) => Number(count(step)) / seconds);
  const succeeded = perSecond((step) => step.successCount);
  const recent = succeeded.slice(-Math.max(1, Math.ceil(rateSeconds / seconds)));
  const sum = (count: (step: ActivityStep) => bigint) =>
    response.steps.reduce((n, step) => n + count(step), 0n);
  return {
    times: whole.map((step) => Number(step.startTime?.seconds ?? 0n)),
    succeeded,
    pending: perSecond((step) => step.initCount),
    refused: perSecond(refusedCount),
    rate: recent.length === 0 ? 0 : recent.reduce((a, b) => a + b, 0) / recent.length,
    total: {
      succeeded: sum((step) => step.successCount),
      pending: sum((step) => step.initCount),
      refused: sum(refusedCount),
    },
    reasons: reasonsOf(response.steps),
    volumes: volumesOf(response.steps, whole.length),
  };
}

function refusedCount(step: ActivityStep): bigint {
  return step.refusals.reduce((n, refusal) => n + refusal.count, 0n);
}

function reasonsOf(steps: ActivityStep[]): Activity["reasons"] {
  const counts = new Map<Transfer_ErrorReason, bigint>();
  for (const refusal of steps.flatMap((step) => step.refusals)) {
    counts.set(refusal.reason, (counts.get(refusal.reason) ?? 0n) + refusal.count);
  }
  return [...counts]
    .map(([reason, count]) => ({ reason, count }))
    .sort((a, b) => (a.count === b.count ? a.reason - b.reason : a.count < b.count ? 1 : -1));
}

function volumesOf(steps: ActivityStep[], whole: number): Volume[] {
  const volumes = new Map<string, Volume>();
  steps.forEach((step, i) => {
    for (const { currency, amount } of step.volumes) {
      let volume = volumes.get(currency);
      if (!volume) {
        volume = { currency, total: "0", amounts: Array.from({ length: whole }, () => "0") };
        volumes.set(currency, volume);
      }
      volume.total = addDecimals(volume.total, amount);
      if (i < whole) volume.amounts[i] = amount;
    }
  });
  return [...volumes.values()].sort((a, b) => (a.currency < b.currency ? -1 : 1));
}

/** The volume that has most steps in which money moved; of several, the first by code. */
export function busiest(volumes: Volume[]): Volume | undefined {
  const steps = (volume: Volume) => volume.amounts.filter((amount) => amount !== "0").length;
  return volumes.reduce<Volume | undefined>(
    (best, volume) => (best && steps(best) >= steps(volume) ? best : volume),
    undefined,
  );
}

/** A rate in three digits or so: 0.4, 12, 1,480. */
export function formatRate(rate: number): string {
  return rate.toLocaleString("en-US", { maximumFractionDigits: rate < 10 ? 1 : 0 });
}

/** A share in percent: "less than 0.1%" rather than a false zero. */
export function formatShare(part: bigint, whole: bigint): string {
  if (whole === 0n || part === 0n) return "0%";
  const share = (Number(part) / Number(whole)) * 100;
  return share < 0.1 ? "less than 0.1%" : `${share.toLocaleString("en-US", { maximumFractionDigits: 1 })}%`;
}

/** A volume as heights of bars, with the exact amounts in words. */
export function volumeLine(volume: Volume): { values: number[]; format: (index: number) => string } {
  return {
    values: volume.amounts.map(approximate),
    format: (index) => `${groupThousands(volume.amounts[index] ?? "0")} ${volume.currency}`,
  };
}
