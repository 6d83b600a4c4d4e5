// The list of transfers, newest first, kept live. It knows nothing of React: it takes events, reads pages, and tells
// who listens that its snapshot is another.
//
// It has no gap between pages and stream: the stream says where it begins, then the first page is read, and the events
// since then are merged in. A page that was read before, because the stream was late, is read again. It is bounded: while it is followed only the newest rows are kept, and while it is held
// only the newest that came meanwhile. Rows that were let go are read again when somebody scrolls down to them.
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { ConnectError } from "@connectrpc/connect";
import type { Event, Transfer } from "internaltransfers-client";

/** The rows that are kept while the list is followed. */
export const headMax = 100;

/** The events that may wait to be merged in. */
const eventsMax = 10_000;

/** A transfer in the list, and whether it came by the stream. */
export interface Row {
  transfer: Transfer;
  live: boolean;
}

/** What there is to see. It is another object whenever it changes. */
export interface Snapshot {
  phase: "loading" | "ready" | "failed";
  rows: readonly Row[];
  /** Of the first page, or of the next one. */
  error: ConnectError | undefined;
  /** Whether there are older rows, and whether they are on their way. */
  older: "none" | "some" | "loading";
  /** How many new transfers wait until the list is no longer held. */
  waiting: number;
}

/** A page of the list. */
export interface Page {
  transfers: Transfer[];
  nextPageToken: string;
}

export interface ListOptions {
  /** Reads a page of those made before a time, if one is given: the first, or that behind the token of such a page. */
  read(token: string, before: Timestamp | undefined, signal: AbortSignal): Promise<Page>;
  /** Whether a transfer of the stream belongs in the list. */
  matches(transfer: Transfer): boolean;
  /** Whether rows may be let go: they can be read again by time. */
  bounded: boolean;
  /** Calls back before the next paint, not more often than the eye needs. */
  schedule(flush: () => void): void;
}

export class TransferList {
  private snapshot: Snapshot = { phase: "loading", rows: [], error: undefined, older: "none", waiting: 0 };
  private readonly listeners = new Set<() => void>();
  private events: Event[] = [];
  private scheduled = false;
  private held = false;
  private kept: Row[] = []; // what came while the list was held, newest first
  private dropped = 0; // how many of those were let go
  private token = "";
  private bound: Timestamp | undefined; // the time that the token's pages are from before
  private cut = false; // rows were let go, so that the token is not behind the last row any more
  private reading = new AbortController();
  private beginning = false; // the first page is on its way: events wait for it

  constructor(private readonly options: ListOptions) {}

  readonly subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  };

  readonly get = () => this.snapshot;

  /** Reads the first page, if nobody has yet. */
  start(): void {
    if (this.snapshot.phase === "loading" && !this.beginning) void this.begin();
  }

  /** Reads the first page. Call it when the stream has said where it begins, or when there is no stream. */
  async begin(): Promise<void> {
    const signal = this.interrupt();
    this.events = []; // the page will be newer
    this.beginning = true;
    if (this.snapshot.phase === "failed") this.set({ phase: "loading", error: undefined });
    try {
      const page = await this.options.read("", undefined, signal);
      if (signal.aborted) return;
      this.beginning = false;
      this.token = page.nextPageToken;
      this.bound = undefined;
      this.cut = false;
      this.kept = [];
      this.dropped = 0;
      const rows = page.transfers.map((transfer) => ({ transfer, live: false }));
      this.set({
        phase: "ready",
        rows,
        error: undefined,
        older: page.nextPageToken ? "some" : "none",
        waiting: 0,
      });
      this.flush();
    } catch (error) {
      if (signal.aborted) return;
      this.beginning = false;
      // What is on the screen is worth more than an error in its place.
      const phase = this.snapshot.rows.length > 0 ? "ready" : "failed";
      const older = this.snapshot.older === "loading" ? "some" : this.snapshot.older;
      this.set({ phase, older, error: ConnectError.from(error) });
    }
  }

  /** Reads the first page again, where that takes nothing away: for when there is no stream. */
  refresh(): void {
    if (this.snapshot.phase === "ready" && !this.beginning && this.snapshot.older !== "loading")
      void this.begin();
  }

  /** Takes what the stream says. */
  take(events: readonly Event[]): void {
    // What comes before the first page is asked for is in the page.
    if (events.length === 0 || (this.snapshot.phase !== "ready" && !this.beginning)) return;
    this.events.push(...events);
    if (this.events.length > eventsMax) {
      if (this.beginning) void this.begin();
      else this.flush();
    }
    if (this.scheduled) return;
    this.scheduled = true;
    this.options.schedule(() => {
      this.scheduled = false;
      this.flush();
    });
  }

  /** Holds the list: what is in it changes, but nothing new comes. */
  hold(held: boolean): void {
    this.held = held;
    if (held || this.snapshot.waiting === 0) return;
    const { kept, dropped } = this;
    this.kept = [];
    this.dropped = 0;
    this.show(dropped > 0 ? kept : merge(kept, this.snapshot.rows), dropped > 0);
  }

  /** Reads the next page. */
  async readOlder(): Promise<void> {
    if (this.snapshot.older !== "some" || this.beginning) return;
    const signal = this.interrupt();
    this.set({ older: "loading", error: undefined });
    try {
      const rows = await this.olderRows(signal);
      if (signal.aborted) return;
      this.set({ rows: [...this.snapshot.rows, ...rows], older: this.token ? "some" : "none" });
    } catch (error) {
      if (!signal.aborted) this.set({ older: "some", error: ConnectError.from(error) });
    }
  }

  /** Ends what is under way. */
  close(): void {
    this.interrupt();
    this.beginning = false;
    this.events = [];
  }

  private async olderRows(signal: AbortSignal): Promise<Row[]> {
    const known = new Set(this.snapshot.rows.map((row) => row.transfer.transferId));
    for (;;) {
      const last = this.snapshot.rows[this.snapshot.rows.length - 1]?.transfer.createTime;
      if (this.cut && last) {
        // Transfers of one batch have one time, so those of the last row's time are read again.
        this.bound = nextMicrosecond(last);
        this.token = "";
      }
      const page = await this.options.read(this.token, this.bound, signal);
      if (signal.aborted) return [];
      this.token = page.nextPageToken;
      this.cut = false;
      const rows = page.transfers.filter((t) => !known.has(t.transferId));
      if (rows.length > 0 || !this.token) return rows.map((transfer) => ({ transfer, live: false }));
    }
  }

  private interrupt(): AbortSignal {
    this.reading.abort();
    this.reading = new AbortController();
    return this.reading.signal;
  }

  /** Merges what came by the stream. */
  private flush(): void {
    if (this.beginning || this.events.length === 0) return;
    const events = this.events;
    this.events = [];
    const latest = new Map<string, Transfer>();
    for (const { transfer } of events) if (transfer) latest.set(transfer.transferId, transfer);
    const { rows, rest, changed } = this.update(this.snapshot.rows, latest);
    const kept = this.update(this.kept, rest);
    this.kept = kept.rows;
    const fresh = this.arrivals(kept.rest);
    if (this.held) {
      const all = merge(fresh, this.kept);
      this.kept = this.options.bounded ? all.slice(0, headMax) : all;
      this.dropped += all.length - this.kept.length;
      this.set({ rows, waiting: this.kept.length + this.dropped });
      return;
    }
    if (fresh.length > 0) this.show(merge(fresh, rows), false);
    else if (changed) this.set({ rows });
  }

  /** Replaces the rows that have changed, and takes away those that do not belong any more. */
  private update(rows: readonly Row[], latest: Map<string, Transfer>) {
    const rest = new Map(latest);
    let changed = false;
    const next = rows.flatMap((row) => {
      const now = rest.get(row.transfer.transferId);
      if (!now) return [row];
      rest.delete(now.transferId);
      // The page may be newer than the event; then later events will come. With the same version it is a reversal.
      if (now.version < row.transfer.version) return [row];
      changed = true;
      return this.options.matches(now) ? [{ transfer: now, live: row.live }] : [];
    });
    return { rows: changed ? next : (rows as Row[]), rest, changed };
  }

  /** The rows of transfers that are not in the list yet and belong in it, newest first. */
  private arrivals(latest: Map<string, Transfer>): Row[] {
    // One that is older than all rows is on a later page, and one older than what was kept was counted when it was let go.
    const rows: Row[] = [];
    const before = this.dropped > 0 ? this.kept : this.snapshot.older === "none" ? [] : this.snapshot.rows;
    const last = before[before.length - 1]?.transfer.createTime;
    for (const transfer of latest.values()) {
      if (!this.options.matches(transfer)) continue;
      if (last && compareTimes(transfer.createTime, last) <= 0) continue;
      rows.push({ transfer, live: true });
    }
    return sorted(rows.reverse());
  }

  private show(rows: readonly Row[], gap: boolean): void {
    const bounded = this.options.bounded && rows.length > headMax;
    if (bounded || gap) {
      this.cut = true;
      if (this.snapshot.older === "loading") this.interrupt(); // it would be put behind the wrong row
      this.set({ rows: bounded ? rows.slice(0, headMax) : rows, older: "some", waiting: 0 });
    } else {
      this.set({ rows, waiting: 0 });
    }
  }

  private set(change: Partial<Snapshot>): void {
    this.snapshot = { ...this.snapshot, ...change };
    for (const listener of this.listeners) listener();
  }
}

function compareTimes(a: Timestamp | undefined, b: Timestamp | undefined): number {
  if (!a || !b) return 0;
  if (a.seconds !== b.seconds) return a.seconds < b.seconds ? -1 : 1;
  return a.nanos - b.nanos;
}

/** Newest first; those of one time stay as they are. */
function sorted(rows: Row[]): Row[] {
  return rows.sort((a, b) => compareTimes(b.transfer.createTime, a.transfer.createTime));
}

/** Two lists, newest first, as one. Of one time, those of the first come first. */
function merge(a: readonly Row[], b: readonly Row[]): Row[] {
  const rows: Row[] = [];
  let i = 0;
  for (const row of b) {
    for (; i < a.length && compareTimes(a[i]?.transfer.createTime, row.transfer.createTime) >= 0; i++)
      rows.push(a[i] as Row);
    rows.push(row);
  }
  return [...rows, ...a.slice(i)];
}

/** The first moment that the database can tell from this one. */
export function nextMicrosecond({ seconds, nanos }: Timestamp): Timestamp {
  const next = nanos + 1000;
  const carry = next >= 1_000_000_000;
  return {
    $typeName: "google.protobuf.Timestamp",
    seconds: carry ? seconds + 1n : seconds,
    nanos: carry ? next - 1_000_000_000 : next,
  };
}
