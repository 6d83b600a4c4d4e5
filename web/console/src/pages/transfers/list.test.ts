import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  type Event,
  Event_Type,
  EventSchema,
  type Transfer,
  Transfer_Status,
  TransferSchema,
} from "internaltransfers-client";
import { expect, test } from "vitest";
import { headMax, type ListOptions, type Page, TransferList } from "./list";

/** The transfer number n, made at n milliseconds. */
function transfer(n: number, change: Partial<Transfer> = {}): Transfer {
  return create(TransferSchema, {
    transferId: `t${n}`,
    status: Transfer_Status.SUCCESS,
    version: 1n,
    createTime: timestampFromMs(n),
    ...change,
  } as object);
}

function created(t: Transfer): Event {
  return create(EventSchema, { type: Event_Type.TRANSFER_CREATED, transfer: t });
}

function changed(t: Transfer): Event {
  return create(EventSchema, { type: Event_Type.TRANSFER_CHANGED, transfer: t });
}

/** The transfers from high down to low. */
function range(high: number, low: number): Transfer[] {
  return Array.from({ length: high - low + 1 }, (_, i) => transfer(high - i));
}

/** A list over what the test says is in the ledger, whose frames the test draws. */
function make(ledger: Transfer[], options: Partial<ListOptions> = {}) {
  const frames: (() => void)[] = [];
  let reads = 0;
  const list = new TransferList({
    read: (token, before) => {
      reads++;
      return Promise.resolve(pageOf(ledger, token, before));
    },
    matches: () => true,
    bounded: true,
    schedule: (flush) => frames.push(flush),
    ...options,
  });
  return {
    list,
    draw: () => {
      for (const flush of frames.splice(0)) flush();
    },
    get reads() {
      return reads;
    },
    get ids() {
      return list.get().rows.map((row) => row.transfer.transferId);
    },
  };
}

const pageSize = 50;

/** A page as ListTransfers answers it: a token is for the same filter, else it is an error. */
function pageOf(ledger: Transfer[], token: string, before: Timestamp | undefined): Page {
  const end = before ? nanos(before) : undefined;
  const rows = ledger.filter((t) => end === undefined || nanos(t.createTime!) < end);
  const [after, of] = token.split(" ");
  if (token && of !== String(end))
    throw new ConnectError("page_token is of other filters", Code.InvalidArgument);
  const start = token ? rows.findIndex((t) => t.transferId === after) + 1 : 0;
  const transfers = rows.slice(start, start + pageSize);
  const more = rows.length > start + pageSize;
  return { transfers, nextPageToken: more ? `${transfers[pageSize - 1]!.transferId} ${end}` : "" };
}

const nanos = (t: Timestamp) => t.seconds * 1_000_000_000n + BigInt(t.nanos);

const names = (...numbers: number[]) => numbers.map((n) => `t${n}`);
const down = (high: number, low: number) => range(high, low).map((t) => t.transferId);

test("reads the first page, then the next", async () => {
  const l = make(range(120, 1));
  expect(l.list.get().phase).toBe("loading");
  await l.list.begin();
  expect(l.ids).toEqual(down(120, 71));
  await l.list.readOlder();
  await l.list.readOlder();
  expect(l.ids).toEqual(down(120, 1));
  expect(l.list.get().older).toBe("none");
});

test("merges what came while the first page was read, without a gap or a repetition", async () => {
  let answer: (page: Page) => void = () => undefined;
  const l = make([], { read: () => new Promise((resolve) => (answer = resolve)) });
  const begun = l.list.begin();
  l.list.take([created(transfer(4)), created(transfer(5))]);
  l.draw();
  expect(l.list.get().phase).toBe("loading");
  // The page has 4 already, in a later state than the event.
  answer({ transfers: [transfer(4, { version: 2n }), transfer(3)], nextPageToken: "" });
  await begun;
  expect(l.ids).toEqual(names(5, 4, 3));
  expect(l.list.get().rows[1]!.transfer.version).toBe(2n);
});

test("what comes before the first page is asked for is in the page", async () => {
  const l = make([transfer(2), transfer(1)]);
  l.list.take([created(transfer(1)), created(transfer(2))]);
  l.draw();
  expect(l.list.get()).toMatchObject({ phase: "loading", rows: [] });
  l.list.start();
  l.list.start();
  await Promise.resolve();
  expect(l.ids).toEqual(names(2, 1));
  l.list.start(); // no more
  expect(l.reads).toBe(1);
});

test("a second first page takes in what came meanwhile, too", async () => {
  const ledger = range(3, 1);
  let answer: (() => void) | undefined;
  const l = make(ledger, {
    read: () => {
      const page = { transfers: [...ledger], nextPageToken: "" };
      return new Promise((resolve) => (answer = () => resolve(page)));
    },
  });
  for (let n = 4; n < 6; n++) {
    const begun = l.list.begin();
    l.list.take([created(transfer(n))]);
    l.draw();
    answer!();
    await begun;
    ledger.unshift(transfer(n));
    expect(l.ids).toEqual(down(n, 1));
  }
});

test("refreshed, it shows what is new, and keeps what is there while it does not know", async () => {
  const ledger = range(3, 1);
  const l = make(ledger);
  l.list.refresh(); // it has not begun
  expect(l.reads).toBe(0);
  await l.list.begin();
  ledger.unshift(transfer(4));
  l.list.refresh();
  l.list.refresh(); // it is on its way
  expect(l.ids).toEqual(names(3, 2, 1));
  await Promise.resolve();
  await Promise.resolve();
  expect(l.ids).toEqual(names(4, 3, 2, 1));
  expect(l.reads).toBe(2);
  // The stream begins after all: what it tells is merged into a page that is read anew.
  const begun = l.list.begin();
  l.list.take([created(transfer(5))]);
  await begun;
  expect(l.ids).toEqual(names(5, 4, 3, 2, 1));
});

test("draws once for many events, in order, with the last state of each", async () => {
  const l = make(range(2, 1));
  await l.list.begin();
  let drawn = 0;
  l.list.subscribe(() => drawn++);
  const init = transfer(4, { status: Transfer_Status.INIT });
  l.list.take([created(transfer(3)), created(init)]);
  l.list.take([changed(transfer(4, { version: 2n }))]);
  l.draw();
  expect(drawn).toBe(1);
  expect(l.ids).toEqual(names(4, 3, 2, 1));
  expect(l.list.get().rows[0]).toMatchObject({
    live: true,
    transfer: { version: 2n, status: Transfer_Status.SUCCESS },
  });
});

test("of one time, what came later is above", async () => {
  const l = make([]);
  await l.list.begin();
  const at = timestampFromMs(7);
  l.list.take([created(transfer(1, { createTime: at })), created(transfer(2, { createTime: at }))]);
  l.draw();
  l.list.take([created(transfer(3, { createTime: at }))]);
  l.draw();
  expect(l.ids).toEqual(names(3, 2, 1));
});

test("one that was committed late gets its place", async () => {
  const l = make([transfer(9), transfer(5), transfer(1)]);
  await l.list.begin();
  l.list.take([created(transfer(7))]);
  l.draw();
  expect(l.ids).toEqual(names(9, 7, 5, 1));
});

test("changes rows in place, never backwards, and knows none of later pages", async () => {
  const l = make(range(120, 1));
  await l.list.begin();
  const before = l.list.get().rows[1];
  l.list.take([changed(transfer(120, { version: 3n })), changed(transfer(10, { version: 2n }))]);
  l.draw();
  l.list.take([changed(transfer(120, { version: 2n }))]);
  l.draw();
  expect(l.ids).toEqual(down(120, 71));
  expect(l.list.get().rows[0]!.transfer.version).toBe(3n);
  expect(l.list.get().rows[1]).toBe(before); // the others are not drawn again
});

test("takes away what does not belong any more, and takes in what does now", async () => {
  const init = { status: Transfer_Status.INIT };
  const l = make([transfer(9, init), transfer(5, init)], {
    matches: (t) => t.status === Transfer_Status.INIT,
  });
  await l.list.begin();
  l.list.take([
    changed(transfer(9, { version: 2n })),
    changed(transfer(7, { ...init, version: 2n })),
    created(transfer(10)),
  ]);
  l.draw();
  expect(l.ids).toEqual(names(7, 5));
});

test("keeps the newest rows only, and reads the others again by their time", async () => {
  const ledger = range(60, 1);
  const l = make(ledger);
  await l.list.begin();
  for (let n = 61; n <= 300; n++) {
    ledger.unshift(transfer(n));
    l.list.take([created(ledger[0]!)]);
    if (n % 7 === 0) l.draw();
  }
  l.draw();
  expect(l.ids).toEqual(down(300, 300 - headMax + 1));
  await l.list.readOlder();
  await l.list.readOlder();
  expect(l.ids).toEqual(down(300, 300 - headMax - 99 + 1)); // one of them was known
});

test("reads past a whole page of one time", async () => {
  const at = timestampFromMs(1000);
  const ledger = range(200, 1).map((t) => ({ ...t, createTime: at }));
  const l = make([...ledger, transfer(0)]);
  await l.list.begin();
  l.list.take(range(3000, 2950).reverse().map(created)); // cuts
  l.draw();
  expect(l.ids.length).toBe(headMax);
  for (let i = 0; i < 10 && l.list.get().older === "some"; i++) await l.list.readOlder();
  expect(l.ids.length).toBe(51 + 201);
  expect(new Set(l.ids).size).toBe(51 + 201);
  expect(l.list.get().older).toBe("none");
});

test("held, it counts what is new and shows it when it is let go", async () => {
  const l = make(range(3, 1));
  await l.list.begin();
  l.list.hold(true);
  l.list.take([created(transfer(4)), created(transfer(5)), changed(transfer(2, { version: 2n }))]);
  l.draw();
  expect(l.ids).toEqual(names(3, 2, 1));
  expect(l.list.get().rows[1]!.transfer.version).toBe(2n);
  expect(l.list.get().waiting).toBe(2);
  l.list.take([changed(transfer(5, { version: 2n }))]);
  l.draw();
  expect(l.list.get().waiting).toBe(2);
  l.list.hold(false);
  expect(l.ids).toEqual(names(5, 4, 3, 2, 1));
  expect(l.list.get().rows[0]!.transfer.version).toBe(2n);
  expect(l.list.get().waiting).toBe(0);
});

test("held for long, it keeps the newest only, and still has no gap", async () => {
  const ledger = range(3, 1);
  const l = make(ledger);
  await l.list.begin();
  l.list.hold(true);
  for (let n = 4; n <= 1000; n++) {
    ledger.unshift(transfer(n));
    l.list.take([created(ledger[0]!)]);
    l.draw();
  }
  l.list.take([changed(transfer(500, { version: 2n }))]);
  l.draw();
  expect(l.list.get().waiting).toBe(997);
  l.list.hold(false);
  expect(l.ids).toEqual(down(1000, 1000 - headMax + 1));
  await l.list.readOlder();
  expect(l.ids).toEqual(down(1000, 1000 - headMax - 49 + 1));
});

test("a list that cannot be read by time lets nothing go", async () => {
  const l = make(range(10, 1), { bounded: false });
  await l.list.begin();
  l.list.hold(true);
  l.list.take(range(500, 11).reverse().map(created));
  l.draw();
  l.list.hold(false);
  expect(l.ids).toEqual(down(500, 1));
  expect(l.list.get().older).toBe("none");
});

test("an error is in the place of the rows only when there are none", async () => {
  let fails = true;
  const l = make([], {
    read: () =>
      fails
        ? Promise.reject(new ConnectError("away", Code.Unavailable))
        : Promise.resolve({ transfers: range(3, 1), nextPageToken: "t1" }),
  });
  await l.list.begin();
  expect(l.list.get()).toMatchObject({ phase: "failed", error: { code: Code.Unavailable } });
  fails = false;
  await l.list.begin();
  expect(l.list.get()).toMatchObject({ phase: "ready", error: undefined });
  fails = true;
  await l.list.readOlder();
  expect(l.list.get()).toMatchObject({ phase: "ready", older: "some", error: { code: Code.Unavailable } });
  expect(l.ids).toEqual(names(3, 2, 1));
});

test("events that nobody draws do not pile up", async () => {
  const l = make(range(3, 1));
  await l.list.begin();
  for (let i = 0; i < 30; i++)
    l.list.take(
      range(i * 1000 + 1003, i * 1000 + 4)
        .reverse()
        .map(created),
    );
  expect(l.ids.length).toBe(headMax); // drawn by themselves
});
