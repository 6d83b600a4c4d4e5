// The balance over time as a line of steps. Amounts stay decimal strings; only where they are on the screen is a number.
import { compareDecimals } from "../../lib/money";

/** A balance, and since when the account has had it, in milliseconds since 1970. */
export interface BalancePoint {
  time: number;
  balance: string;
}

/**
 * The balance from start on: the one that the period began with, then the one after each movement. The movements are oldest first;
 * of several in the same millisecond the last one counts.
 */
export function balancePoints(
  start: number,
  opening: string,
  movements: readonly BalancePoint[],
): BalancePoint[] {
  const points = [{ time: start, balance: opening }];
  for (const { time, balance } of movements) {
    const last = points[points.length - 1];
    if (last && time <= last.time) last.balance = balance;
    else points.push({ time, balance });
  }
  return points;
}

/** Count moments from start to end, both included, evenly spaced, in whole milliseconds. */
export function sampleTimes(start: number, end: number, count: number): number[] {
  const times = Array.from({ length: count }, (_, i) =>
    Math.round(start + ((end - start) * i) / (count - 1)),
  );
  return times.filter((time, i) => time !== times[i - 1]);
}

/** The least and the greatest balance. */
export function balanceRange(points: readonly BalancePoint[]): { low: string; high: string } {
  let low = points[0]?.balance ?? "0";
  let high = low;
  for (const { balance } of points) {
    if (compareDecimals(balance, low) < 0) low = balance;
    if (compareDecimals(balance, high) > 0) high = balance;
  }
  return { low, high };
}
