import type { CallOptions } from "@connectrpc/connect";
import { type FollowOptions, follow, type StreamMessage } from "./follow.js";
import type { Event } from "./gen/transfers/v1/event_pb.js";

/** A method of a client that streams events: `ledger.watchTransfers` or `accounts.watchAccount`. */
export type Watch<Request> = (request: Request, options?: CallOptions) => AsyncIterable<EventMessage>;

interface EventMessage extends StreamMessage {
  events: Event[];
}

/** Options of events. */
export type EventsOptions = Partial<
  Pick<FollowOptions<StreamMessage>, "onState" | "signal" | "backoff" | "silence">
>;

/**
 * Reads the events of a stream, for ever: it reconnects by itself and goes on behind the last event, so that each event
 * comes once, in order, and none is missed. It ends when the loop is left or the signal is aborted, and throws what no
 * repetition mends, such as `not_found`.
 *
 * To go on later, also in another process, keep the `cursor` of the last event that was dealt with and give it as `after`.
 * `after: "0"` begins with the first event there ever was; without it, what happens from now on comes.
 *
 * The next events are asked for when those that came are dealt with, so nothing piles up. A loop that is slower than what
 * happens for long is cut off by the server, and goes on where it was.
 */
export async function* events<Request extends { after?: string }>(
  watch: Watch<Request>,
  request: Request,
  options: EventsOptions = {},
): AsyncGenerator<Event, void, undefined> {
  const reader = new AbortController();
  const leave = () => reader.abort();
  options.signal?.addEventListener("abort", leave, { once: true });
  if (options.signal?.aborted) leave();

  // One message at a time changes hands: come wakes the loop below, taken lets the stream go on.
  let come: () => void = () => undefined;
  let taken: () => void = () => undefined;
  let message: EventMessage | undefined;
  let ended = false;
  let failure: unknown;
  follow<EventMessage>({
    ...options,
    signal: reader.signal,
    place: { cursor: request.after ?? "", seen: 0 },
    open: (after, signal) => watch({ ...request, after }, { signal, timeoutMs: 0 }),
    onMessage: (next) => {
      message = next;
      come();
      return new Promise<void>((resolve) => {
        taken = resolve;
      });
    },
    onState: (state) => {
      if (state.phase === "stopped") failure = state.error;
      options.onState?.(state);
    },
  })
    .catch((error: unknown) => {
      failure = error;
    })
    .finally(() => {
      ended = true;
      come();
    });

  try {
    while (!reader.signal.aborted) {
      if (message) {
        yield* message.events;
        message = undefined;
        taken();
      } else if (ended) {
        if (failure) throw failure;
        return;
      } else {
        await new Promise<void>((resolve) => {
          come = resolve;
        });
      }
    }
  } finally {
    options.signal?.removeEventListener("abort", leave);
    leave();
    taken();
  }
}
