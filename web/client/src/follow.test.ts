import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type FollowOptions, follow, type Place, type StreamState } from "./follow.js";

interface Message {
  events: number[];
  cursor: string;
}

/** A stream that the test writes to. Like a stream of the transport, it fails when its signal is aborted. */
class FakeStream {
  private waiting: { resolve(r: IteratorResult<Message>): void; reject(e: unknown): void } | undefined;
  private queue: Message[] = [];
  closed = false;

  constructor(
    readonly after: string,
    readonly signal: AbortSignal,
  ) {
    signal.addEventListener("abort", () => {
      this.closed = true;
      this.fail(new ConnectError("aborted", Code.Canceled));
    });
  }

  send(cursor: string, ...events: number[]) {
    const value = { events, cursor };
    if (!this.waiting) {
      this.queue.push(value);
      return;
    }
    this.waiting.resolve({ done: false, value });
    this.waiting = undefined;
  }

  fail(error: unknown) {
    this.waiting?.reject(error);
    this.waiting = undefined;
  }

  end() {
    this.waiting?.resolve({ done: true, value: undefined });
    this.waiting = undefined;
  }

  [Symbol.asyncIterator](): AsyncIterator<Message> {
    return {
      next: () =>
        new Promise((resolve, reject) => {
          const value = this.queue.shift();
          if (value) resolve({ done: false, value });
          else this.waiting = { resolve, reject };
        }),
    };
  }
}

/** A follower with everything that it did. */
function start(options: Partial<FollowOptions<Message>> = {}) {
  const streams: FakeStream[] = [];
  const seen: number[] = [];
  const begins: string[] = [];
  const states: StreamState[] = [];
  const reader = new AbortController();
  const done = follow<Message>({
    open: (after, signal) => {
      const stream = new FakeStream(after, signal);
      streams.push(stream);
      return stream;
    },
    onMessage: (message, first) => {
      seen.push(...message.events);
      if (first) begins.push(message.cursor);
    },
    onState: (state) => states.push(state),
    signal: reader.signal,
    random: () => 1,
    ...options,
  });
  return {
    streams,
    seen,
    begins,
    states,
    reader,
    done,
    get last() {
      return streams[streams.length - 1]!;
    },
    get phases() {
      return states.map((s) => s.phase);
    },
  };
}

const settle = () => vi.advanceTimersByTimeAsync(0);

beforeEach(() => vi.useFakeTimers({ now: 1_000_000 }));
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0); // nobody leaves a timer behind
  vi.useRealTimers();
});

test("gives every message once and says when it is live", async () => {
  const f = start();
  expect(f.phases).toEqual(["connecting"]);
  f.last.send("10");
  f.last.send("12", 11, 12);
  await settle();
  f.last.send("13", 13);
  await settle();
  expect(f.seen).toEqual([11, 12, 13]);
  expect(f.begins).toEqual(["10"]);
  expect(f.phases).toEqual(["connecting", "live"]);
  f.reader.abort();
  await f.done;
  expect(f.last.closed).toBe(true);
});

test.each([Code.ResourceExhausted, Code.Unavailable, Code.Unknown, Code.Internal])(
  "goes on with the last cursor after code %i",
  async (code) => {
    const f = start();
    f.last.send("10");
    f.last.send("12", 12);
    await settle();
    f.last.fail(new ConnectError("cut", code));
    await settle();
    expect(f.states[f.states.length - 1]).toMatchObject({
      phase: "reconnecting",
      attempt: 1,
      retryAt: 1_000_250,
    });
    await vi.advanceTimersByTimeAsync(250);
    expect(f.last.after).toBe("12");
    f.last.send("14", 14);
    await settle();
    expect(f.seen).toEqual([12, 14]);
    expect(f.begins).toEqual(["10"]);
    expect(f.phases).toEqual(["connecting", "live", "reconnecting", "live"]);
    f.reader.abort();
    await f.done;
  },
);

test("goes on after a stream that just ends, and after a network error", async () => {
  const f = start();
  f.last.send("10");
  await settle();
  f.last.end();
  await vi.advanceTimersByTimeAsync(250);
  f.last.fail(new TypeError("Failed to fetch"));
  await vi.advanceTimersByTimeAsync(500);
  expect(f.streams.map((s) => s.after)).toEqual(["", "10", "10"]);
  f.reader.abort();
  await f.done;
});

test.each([Code.InvalidArgument, Code.NotFound])("stops at code %i", async (code) => {
  const f = start();
  f.last.fail(new ConnectError("no", code));
  await f.done;
  expect(f.streams.length).toBe(1);
  expect(f.states[f.states.length - 1]).toMatchObject({ phase: "stopped", error: { code } });
});

test("waits twice as long after each failure, from 0.25 s to 10 s", async () => {
  const f = start();
  const delays: number[] = [];
  for (let i = 0; i < 9; i++) {
    f.last.fail(new ConnectError("away", Code.Unavailable));
    await settle();
    const state = f.states[f.states.length - 1]!;
    if (state.phase !== "reconnecting") throw new Error(state.phase);
    delays.push(state.retryAt - Date.now());
    await vi.advanceTimersByTimeAsync(delays[i]!);
  }
  expect(delays).toEqual([250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000]);
  f.reader.abort();
  await f.done;
});

test("chance shortens delays, to no less than the least", async () => {
  const f = start({ random: () => 0 });
  for (let i = 0; i < 5; i++) {
    f.last.fail(new ConnectError("away", Code.Unavailable));
    await settle();
    expect(f.states[f.states.length - 1]).toMatchObject({ retryAt: Date.now() + 250 });
    await vi.advanceTimersByTimeAsync(250);
  }
  f.reader.abort();
  await f.done;
});

test("a connection that held makes delays short again; one that broke at once does not", async () => {
  const f = start();
  for (let i = 0; i < 3; i++) {
    f.last.send("10");
    await settle();
    f.last.fail(new ConnectError("away", Code.Unavailable));
    await vi.advanceTimersByTimeAsync(250 * 2 ** i);
  }
  expect(f.streams.length).toBe(4);
  f.last.send("10");
  await vi.advanceTimersByTimeAsync(5_000);
  f.last.send("11");
  await settle();
  f.last.fail(new ConnectError("away", Code.Unavailable));
  await settle();
  expect(f.states[f.states.length - 1]).toMatchObject({ retryAt: Date.now() + 250 });
  f.reader.abort();
  await f.done;
});

test("takes 30 s of silence for death, also of a stream that does not heed its signal", async () => {
  const opened: string[] = [];
  const silent: AsyncIterable<Message> = {
    [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }),
  };
  const f = start({
    open: (after) => {
      opened.push(after);
      return silent;
    },
  });
  await vi.advanceTimersByTimeAsync(29_999);
  expect(opened.length).toBe(1);
  await vi.advanceTimersByTimeAsync(1 + 250);
  expect(opened.length).toBe(2);
  expect(f.states[1]).toMatchObject({ phase: "reconnecting", error: { code: Code.DeadlineExceeded } });
  f.reader.abort();
  await f.done;
});

test("heartbeats keep a stream alive", async () => {
  const f = start();
  for (let i = 0; i < 10; i++) {
    f.last.send(String(10 + i));
    await vi.advanceTimersByTimeAsync(20_000);
  }
  expect(f.streams.length).toBe(1);
  f.reader.abort();
  await f.done;
});

test("ends at once when the reader leaves, also while it waits", async () => {
  const f = start();
  f.last.fail(new ConnectError("away", Code.Unavailable));
  await settle();
  f.reader.abort();
  await f.done;
  expect(f.streams.length).toBe(1);
  expect(f.phases).toEqual(["connecting", "reconnecting"]);
});

test("another follower goes on from the place of the first", async () => {
  const place: Place = { cursor: "", seen: 0 };
  const f = start({ place });
  f.last.send("10", 10);
  await settle();
  f.reader.abort();
  await f.done;
  expect(place).toEqual({ cursor: "10", seen: 1_000_000 });
  const g = start({ place });
  expect(g.last.after).toBe("10");
  g.last.send("11", 11);
  await settle();
  expect(g.begins).toEqual([]);
  g.reader.abort();
  await g.done;
});

test("begins anew when its place is too old to catch up from", async () => {
  const f = start({ placeMaxAge: 60_000 });
  f.last.send("10");
  await settle();
  vi.setSystemTime(Date.now() + 60_001); // the machine slept
  f.last.fail(new ConnectError("away", Code.Unavailable));
  await vi.advanceTimersByTimeAsync(250);
  expect(f.last.after).toBe("");
  f.last.send("99");
  await settle();
  expect(f.begins).toEqual(["10", "99"]);
  f.reader.abort();
  await f.done;
});

test("an error of the reader's own is no reason to reconnect", async () => {
  const f = start({
    onMessage: () => {
      throw new Error("bug");
    },
  });
  f.last.send("10");
  await expect(f.done).rejects.toThrow("bug");
  expect(f.last.closed).toBe(true);
  expect(f.streams.length).toBe(1);
});
