// The streams of the ledger as hooks. A browser has six connections to a server for all its tabs, and a stream takes one:
// a page has one stream, and a page that nobody looks at gives its back.
import {
  follow,
  type Place,
  type StreamMessage,
  type StreamState,
  type Transfer_Status,
  type WatchAccountResponse,
  type WatchTransfersResponse,
} from "internaltransfers-client";
import { useCallback, useEffect, useEffectEvent, useRef, useState, useSyncExternalStore } from "react";
import { connection } from "./connection";
import { isOffline } from "./errors";
import { clients } from "./rpc";
import { reasonOf, whyOut } from "./session";
import { askCaller } from "./sign-in";

export type { StreamState } from "internaltransfers-client";

/** Which transfers a tail is of; what is not given does not filter. */
export interface TransferFilter {
  accountId?: string;
  status?: Transfer_Status;
  currency?: string;
  reference?: string;
  groupId?: string;
  parentTransferId?: string;
}

export interface TailOptions<M extends StreamMessage> {
  /** Takes each message; see FollowOptions. */
  onMessage(message: M, begins: boolean): void;
  /** False pauses the stream. Default: true. */
  enabled?: boolean;
}

/** Follows the changes of transfers (WatchTransfers). */
export function useTransferTail(
  filter: TransferFilter,
  options: TailOptions<WatchTransfersResponse>,
): Stream {
  return useStream<WatchTransfersResponse>({
    ...options,
    key: JSON.stringify(filter),
    open: (after, signal) => clients.ledger.watchTransfers({ ...filter, after }, { signal, timeoutMs: 0 }),
  });
}

/** Follows an account: its own changes and transfers from or to it (WatchAccount). */
export function useAccountTail(accountId: string, options: TailOptions<WatchAccountResponse>): Stream {
  return useStream<WatchAccountResponse>({
    ...options,
    key: accountId,
    open: (after, signal) => clients.accounts.watchAccount({ accountId, after }, { signal, timeoutMs: 0 }),
  });
}

/** How long a page may be hidden before its streams pause, in milliseconds. */
const hiddenMax = 10_000;

/** How old a place may be and still be caught up from, in milliseconds. After more, what the page shows is read anew. */
const placeMaxAge = 5 * 60_000;

/** How long pages wait for a stream to begin before they show what they can read, in milliseconds. */
export const streamPatience = 500;

/** How often what a stream does not tell is read again, in milliseconds. */
export const pollMs = 5_000;

/** Whether a stream tells what happens. A page that nobody looks at need not know. */
export function isFollowed({ phase }: StreamState): boolean {
  return phase === "live" || phase === "paused";
}

/** Reads again and again while a stream does not tell what happens: it broke, or a proxy keeps it back. */
export function usePolling(state: StreamState, read: () => void): void {
  const followed = isFollowed(state);
  const readNow = useEffectEvent(read);
  useEffect(() => {
    if (followed) return;
    const timer = setInterval(() => connection.online && readNow(), pollMs);
    return () => clearInterval(timer);
  }, [followed]);
}

export interface UseStreamOptions<M extends StreamMessage> {
  /** What the stream is of; when it changes, another stream begins. */
  key: string;
  open(after: string, signal: AbortSignal): AsyncIterable<M>;
  /** Takes each message; see FollowOptions. */
  onMessage(message: M, begins: boolean): void;
  /** False pauses the stream. Default: true. */
  enabled?: boolean;
}

export interface Stream {
  state: StreamState;
  /** Begins anew, as if the page had just been opened. */
  restart(): void;
}

/** Follows a stream while the page is looked at. */
export function useStream<M extends StreamMessage>(options: UseStreamOptions<M>): Stream {
  const { key, enabled = true } = options;
  const [state, setState] = useState<StreamState>({ phase: "connecting" });
  const [generation, setGeneration] = useState(0);
  const [wakes, setWakes] = useState(0);
  const wanted = useSyncExternalStore(subscribeToAttention, hasAttention) && enabled;
  const open = useEffectEvent(options.open);
  const onMessage = useEffectEvent(options.onMessage);
  const place = useRef<Place & { of: string }>({ of: "", cursor: "", seen: 0 });
  const phase = useRef<StreamState["phase"]>("connecting");

  // biome-ignore lint/correctness/useExhaustiveDependencies: wakes ends the wait for the next attempt
  useEffect(() => {
    if (!wanted) return;
    const of = `${generation} ${key}`;
    if (place.current.of !== of) place.current = { of, cursor: "", seen: 0 };
    const reader = new AbortController();
    void follow<M>({
      open: (after, signal) => open(after, signal),
      onMessage: (message, begins) => {
        if (!reader.signal.aborted) onMessage(message, begins);
      },
      onState: (next) => {
        phase.current = next.phase;
        setState(next);
        if (next.phase === "live") connection.answered();
        if (next.phase === "reconnecting") {
          // The stream goes on with a key that was changed, which may do something else now.
          if (reasonOf(next.error) === "CREDENTIALS_CHANGED") void askCaller();
          else if (isOffline(next.error)) connection.lost();
        }
        // The session is over, and the page goes away.
        if (next.phase === "stopped" && whyOut(next.error)) void askCaller();
      },
      signal: reader.signal,
      place: place.current,
      placeMaxAge,
    });
    return () => {
      reader.abort();
    };
  }, [key, generation, wanted, wakes]);

  // When the server is back there is no reason to wait any longer.
  useEffect(
    () =>
      connection.onReturn(() => {
        if (phase.current === "reconnecting") setWakes((n) => n + 1);
      }),
    [],
  );

  const restart = useCallback(() => setGeneration((n) => n + 1), []);
  return { state: wanted ? state : { phase: "paused" }, restart };
}

/** Whether the page is visible, or was until lately. */
let attention = true;
let hiding: ReturnType<typeof setTimeout> | undefined;
const attentive = new Set<() => void>();

function hasAttention() {
  return attention;
}

function setAttention(now: boolean) {
  if (attention === now) return;
  attention = now;
  for (const changed of attentive) changed();
}

function onVisibility() {
  clearTimeout(hiding);
  if (document.visibilityState === "visible") setAttention(true);
  else hiding = setTimeout(() => setAttention(false), hiddenMax);
}

function subscribeToAttention(changed: () => void) {
  if (attentive.size === 0) {
    document.addEventListener("visibilitychange", onVisibility);
    onVisibility(); // the page may have been opened in the background
  }
  attentive.add(changed);
  return () => {
    attentive.delete(changed);
    if (attentive.size > 0) return;
    document.removeEventListener("visibilitychange", onVisibility);
    clearTimeout(hiding);
    attention = true;
  };
}
