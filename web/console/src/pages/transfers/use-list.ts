import { useEffect, useMemo, useSyncExternalStore } from "react";
import { clients } from "../../lib/rpc";
import { type StreamState, streamPatience, usePolling, useTransferTail } from "../../lib/stream";
import { toDate } from "../../lib/time";
import { type Filters, isFamily, listFilter, passes, watchFilter } from "./filters";
import { type Snapshot, TransferList } from "./list";

/** The least time between two paints of the list, in milliseconds: nobody reads faster. */
const paintGap = 200;

export interface LiveList {
  snapshot: Snapshot;
  /** Undefined: the list is of a time that is over, and nothing new can come. */
  state: StreamState | undefined;
  readOlder(): void;
  retry(): void;
}

/** The transfers that pass the filters, newest first, live. While it is held nothing new comes in. */
export function useTransferList(filters: Filters, held: boolean): LiveList {
  const key = JSON.stringify(filters);
  const { list, filter } = useMemo(() => makeList(JSON.parse(key) as Filters), [key]);
  const snapshot = useSyncExternalStore(list.subscribe, list.get);
  const over = filter.endTime !== undefined && toDate(filter.endTime).getTime() <= Date.now();
  const { state, restart } = useTransferTail(watchFilter(filter), {
    enabled: !over,
    onMessage: (message, begins) => {
      if (begins) void list.begin();
      list.take(message.events);
    },
  });
  // The list is read when the stream has begun. Where it goes on, there is none, or a proxy keeps it
  // back, the list begins all the same; it is read anew when the stream begins after all.
  const connecting = state.phase === "connecting";
  useEffect(() => {
    const timer = setTimeout(() => list.start(), connecting ? streamPatience : 0);
    return () => clearTimeout(timer);
  }, [connecting, list]);
  usePolling(over ? { phase: "paused" } : state, () => {
    if (!held) list.refresh();
  });
  useEffect(() => list.hold(held), [held, list]);
  useEffect(() => () => list.close(), [list]);
  return {
    snapshot,
    state: over ? undefined : state,
    readOlder: () => void list.readOlder(),
    retry: () => {
      if (state.phase === "stopped") restart();
      else void list.begin();
    },
  };
}

function makeList(filters: Filters) {
  const filter = listFilter(filters);
  const list = new TransferList({
    read: (pageToken, before, signal) =>
      clients.transfers.listTransfers(
        { ...filter, ...(before && { endTime: before }), pageToken },
        { signal },
      ),
    matches: (transfer) => passes(filter, transfer),
    bounded: !isFamily(filters),
    schedule: scheduler(),
  });
  return { list, filter };
}

/** Calls back before a paint, but not before paintGap is over since the last time. */
function scheduler(): (flush: () => void) => void {
  let last = 0;
  return (flush) => {
    const draw = () =>
      requestAnimationFrame(() => {
        last = performance.now();
        flush();
      });
    const wait = last + paintGap - performance.now();
    if (wait > 0) setTimeout(draw, wait);
    else draw();
  };
}
