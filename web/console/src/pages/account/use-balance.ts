import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { type Account, type Entry, ListEntriesRequest_Order } from "internaltransfers-client";
import { subtractDecimals } from "../../lib/money";
import { clients, queryClient } from "../../lib/rpc";
import { fromDate, toDate } from "../../lib/time";
import type { Period } from "./period";
import { type BalancePoint, balancePoints, sampleTimes } from "./series";

/** The most movements that are read one by one. Of more, the balance is read at so many moments. */
export const movementsMax = 1_000;
const samples = 48;
/** How often it is then read anew, in milliseconds, when the period ends now. */
const sampleMs = 30_000;

const queryName = "balance over time";

/** The balance within a period, as far as it was read. */
interface Balance {
  points: BalancePoint[];
  sampled: boolean;
}

/** The balance within a period, until its end or now. Points are undefined while it is read. */
export function useBalance(account: Account, period: Period) {
  const { accountId } = account;
  const opened = account.createTime ? toDate(account.createTime).getTime() : 0;
  const start = Math.max(period.start?.getTime() ?? 0, opened);
  const end = period.end?.getTime();
  const query = useQuery({
    queryKey: [queryName, accountId, start, end ?? "now"],
    queryFn: ({ signal }) => readBalance(accountId, { opened, start, end }, signal),
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) => (state.data?.sampled && end === undefined ? sampleMs : false),
  });
  const points = query.data && upTo(query.data.points, end, account.balance);
  return {
    points,
    sampled: query.data?.sampled ?? false,
    error: query.error,
    retry: () => void query.refetch(),
  };
}

/** Reads the balance anew where that is one call. */
export function readBalanceAnew(): void {
  void queryClient.invalidateQueries({
    queryKey: [queryName],
    predicate: ({ state }) => !(state.data as Balance | undefined)?.sampled,
  });
}

/** The points with one more, at the end of the period or now. */
function upTo(points: readonly BalancePoint[], end: number | undefined, balanceNow: string): BalancePoint[] {
  const last = points.at(-1);
  if (!last) return [];
  // A clock that is behind the ledger's must not draw a line backwards.
  const time = end ?? Math.max(Date.now(), last.time + 1);
  if (time <= last.time) return [...points];
  return [...points, { time, balance: end === undefined ? balanceNow : last.balance }];
}

interface Bounds {
  /** When the account was opened, in milliseconds since 1970. */
  opened: number;
  start: number;
  /** Undefined: until now. */
  end: number | undefined;
}

async function readBalance(accountId: string, bounds: Bounds, signal: AbortSignal): Promise<Balance> {
  const { opened, start, end } = bounds;
  const { entries, nextPageToken } = await clients.accounts.listEntries(
    {
      accountId,
      order: ListEntriesRequest_Order.OLDEST_FIRST,
      pageSize: movementsMax,
      startTime: fromDate(new Date(start)),
      ...(end !== undefined && { endTime: fromDate(new Date(end)) }),
    },
    { signal },
  );
  // An opening balance comes a moment after the account, in the same commit: the account never was empty.
  const first = entries[0];
  const openedWith = first?.sequence === 1n && timeOf(first) - opened < 1_000;
  const begin = openedWith ? Math.max(start, timeOf(first) + 1) : start;
  if (nextPageToken !== "") {
    const times = sampleTimes(begin, end ?? Date.now(), samples);
    const points = await Promise.all(
      times.map(async (time) => ({ time, balance: await balanceBefore(accountId, time, signal) })),
    );
    return { points, sampled: true };
  }
  const opening = first
    ? subtractDecimals(first.balance, first.amount)
    : await balanceBefore(accountId, start, signal);
  const movements = entries.map((entry) => ({ time: timeOf(entry), balance: entry.balance }));
  return { points: balancePoints(begin, opening, movements), sampled: false };
}

/** The balance right before a moment, in milliseconds since 1970: that of the last entry before it. */
async function balanceBefore(accountId: string, time: number, signal: AbortSignal): Promise<string> {
  const { entries } = await clients.accounts.listEntries(
    { accountId, pageSize: 1, endTime: fromDate(new Date(time)) },
    { signal },
  );
  return entries[0]?.balance ?? "0";
}

function timeOf({ createTime }: Entry): number {
  return createTime ? toDate(createTime).getTime() : 0;
}
