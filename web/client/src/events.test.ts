import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { events } from "./events.js";
import { EventSchema } from "./gen/transfers/v1/event_pb.js";

/** A server whose n-th connection sends the n-th list of cursors, one a message, and then fails or is silent. */
function server(...connections: { cursors: string[]; fails?: Code }[]) {
  const opened: string[] = [];
  const signals: AbortSignal[] = [];
  let sent = 0;
  async function* watch(request: { after?: string }, options?: { signal?: AbortSignal | undefined }) {
    const connection = connections[opened.length] ?? { cursors: [], fails: Code.Internal };
    opened.push(request.after ?? "");
    signals.push(options!.signal!);
    for (const cursor of connection.cursors) {
      sent++;
      yield { events: [create(EventSchema, { cursor })], cursor };
    }
    if (connection.fails !== undefined) throw new ConnectError("cut", connection.fails);
    await new Promise((_, reject) => {
      options!.signal!.addEventListener("abort", () => reject(new ConnectError("aborted", Code.Canceled)));
    });
  }
  return { watch, opened, signals, sent: () => sent };
}

const backoff = { min: 1, max: 1 };

test("goes on behind the last event after every failure", async () => {
  const s = server(
    { cursors: ["1", "2"], fails: Code.Unavailable },
    { cursors: [], fails: Code.ResourceExhausted },
    { cursors: ["3"] },
  );
  const seen: string[] = [];
  for await (const event of events(s.watch, { after: "0" }, { backoff })) {
    seen.push(event.cursor);
    if (event.cursor === "3") break;
  }
  expect(seen).toEqual(["1", "2", "3"]);
  expect(s.opened).toEqual(["0", "2", "2"]);
  expect(s.signals.every((signal) => signal.aborted)).toBe(true);
});

test("asks for no more than the loop deals with", async () => {
  const s = server({ cursors: ["1", "2", "3", "4"] });
  const loop = events(s.watch, {}, { backoff });
  await loop.next();
  await new Promise((resolve) => setTimeout(resolve));
  expect(s.sent()).toBe(1);
  await loop.next();
  await new Promise((resolve) => setTimeout(resolve));
  expect(s.sent()).toBe(2);
  await loop.return();
});

test("throws what no repetition mends", async () => {
  const s = server({ cursors: ["1"], fails: Code.NotFound });
  const loop = events(s.watch, {}, { backoff });
  await loop.next();
  await expect(loop.next()).rejects.toMatchObject({ code: Code.NotFound });
  expect(s.opened.length).toBe(1);
});

test("ends when the signal is aborted, also while it waits", async () => {
  const s = server({ cursors: ["1"] });
  const reader = new AbortController();
  const loop = events(s.watch, {}, { signal: reader.signal });
  await loop.next();
  const next = loop.next();
  reader.abort();
  expect(await next).toEqual({ done: true, value: undefined });
  expect((await events(s.watch, {}, { signal: reader.signal }).next()).done).toBe(true);
  expect(s.opened.length).toBe(1);
});
