// Following a stream of the ledger for as long as somebody looks: reconnecting, resuming where it was, and noticing when
// it is dead.
import { Code, ConnectError } from "@connectrpc/connect";

/** What every stream of the ledger sends: events, maybe none (a heartbeat), and where the stream is. */
export interface StreamMessage {
  events: readonly unknown[];
  cursor: string;
}

/** How a stream is. */
export type StreamState =
  /** It is being opened; nothing has come yet. */
  | { phase: "connecting" }
  /** Messages come. */
  | { phase: "live" }
  /** It broke; the next attempt is at retryAt, in milliseconds since 1970. */
  | { phase: "reconnecting"; attempt: number; retryAt: number; error: ConnectError }
  /** Nobody looks, or the page does not want it now. */
  | { phase: "paused" }
  /** It cannot go on by itself. */
  | { phase: "stopped"; error: ConnectError };

/** Where a reader is in a stream. `follow` keeps it up to date, so that another `follow` can go on from there. */
export interface Place {
  /** The cursor of the last message that was taken; empty: begin with what happens from now on. One whose taking failed comes again. */
  cursor: string;
  /** When the last message came, in milliseconds since 1970. */
  seen: number;
}

/** Delays between attempts, in milliseconds: at random between min and a bound that doubles from min to max. */
export interface Backoff {
  min: number;
  max: number;
}

export interface FollowOptions<M extends StreamMessage> {
  /** Opens the stream behind a cursor. The stream should end when the signal is aborted; if it does not, it is left. */
  open(after: string, signal: AbortSignal): AsyncIterable<M>;
  /**
   * Takes each message. It begins when the stream has no place to go on from: whatever the reader knows already may be
   * older than the message's cursor by any amount, so this is the moment to read it anew. The next message is asked for
   * when the answer is there.
   */
  onMessage(message: M, begins: boolean): void | Promise<void>;
  onState?(state: StreamState): void;
  /** Ends it. */
  signal: AbortSignal;
  /** Where to go on from, and where to keep it. */
  place?: Place;
  backoff?: Backoff;
  /** A stream that says nothing for so long, in milliseconds, is dead: the server speaks at least every 10 seconds. */
  silence?: number;
  /** A place so old, in milliseconds, is not worth catching up from: the stream begins anew. */
  placeMaxAge?: number;
  /** 0 to 1; for tests. */
  random?(): number;
}

const defaults = { backoff: { min: 250, max: 10_000 }, silence: 30_000 };

// A connection that held for so long was a good one: the next failure is a new story, with short delays again.
const goodAfter = 5_000;

// What no repetition mends. All else is tried again, above all unavailable (the server restarts) and
// resource_exhausted (we read too slowly).
const final = new Set([
  Code.InvalidArgument,
  Code.NotFound,
  Code.Unimplemented,
  Code.PermissionDenied,
  Code.Unauthenticated,
]);

/** Reads a stream until the signal is aborted or the stream answers what no repetition mends. */
export async function follow<M extends StreamMessage>(options: FollowOptions<M>): Promise<void> {
  const {
    signal,
    place = { cursor: "", seen: 0 },
    backoff = defaults.backoff,
    random = Math.random,
  } = options;
  const onState = (state: StreamState) => {
    if (!signal.aborted) options.onState?.(state);
  };
  onState({ phase: "connecting" });
  for (let attempt = 0; !signal.aborted; attempt++) {
    if (Date.now() - place.seen > (options.placeMaxAge ?? Infinity)) place.cursor = "";
    const opened = Date.now();
    const error = await readOnce(options, place, () => onState({ phase: "live" }));
    if (signal.aborted) return;
    if (final.has(error.code)) {
      onState({ phase: "stopped", error });
      return;
    }
    if (place.seen - opened >= goodAfter) attempt = 0;
    const bound = Math.min(backoff.max, backoff.min * 2 ** attempt);
    const delay = backoff.min + random() * (bound - backoff.min);
    onState({ phase: "reconnecting", attempt: attempt + 1, retryAt: Date.now() + delay, error });
    await pause(delay, signal);
  }
}

/** Reads one connection to its end, and answers why it ended. */
async function readOnce<M extends StreamMessage>(
  { open, onMessage, signal, silence = defaults.silence }: FollowOptions<M>,
  place: Place,
  onLive: () => void,
): Promise<ConnectError> {
  const connection = new AbortController();
  const end = () => connection.abort(signal.reason);
  signal.addEventListener("abort", end, { once: true });
  let first = true;
  try {
    const messages = open(place.cursor, connection.signal)[Symbol.asyncIterator]();
    for (;;) {
      let next: IteratorResult<M>;
      try {
        next = await within(messages.next(), silence, signal);
      } catch (error) {
        return ConnectError.from(error);
      }
      if (next.done) return new ConnectError("the stream ended", Code.Unavailable);
      const begins = place.cursor === "";
      place.seen = Date.now();
      if (first) onLive();
      first = false;
      await onMessage(next.value, begins);
      // Only now: what was not taken comes again.
      place.cursor = next.value.cursor;
    }
  } finally {
    signal.removeEventListener("abort", end);
    connection.abort();
  }
}

/** What the promise answers, if it does within so many milliseconds and before the signal is aborted. */
function within<T>(promise: Promise<T>, milliseconds: number, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      settle();
      reject(new ConnectError("the reader left", Code.Canceled));
    };
    const timer = setTimeout(() => {
      settle();
      reject(new ConnectError(`nothing came for ${milliseconds / 1000} s`, Code.DeadlineExceeded));
    }, milliseconds);
    const settle = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    };
    signal.addEventListener("abort", abort, { once: true });
    promise.finally(settle).then(resolve, reject);
  });
}

/** Waits so many milliseconds, or until the signal is aborted. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done, { once: true });
  });
}
