// Whether the reader is signed in, and with which key. The browser keeps the session in a cookie that no script can
// read, so what is known here is what the server says of it: by GetCaller, and by refusing calls.
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, type GetCallerResponse } from "internaltransfers-client";

/** Why the reader is signed out. */
export type Why =
  /** They have not signed in. */
  | "new"
  /** The session is over, or its key was revoked or got another secret. */
  | "ended"
  /** The key must not be used from where they are. */
  | "network"
  /** They signed out. */
  | "left";

export type SessionState =
  /** The server has not said yet. */
  | { phase: "asking" }
  /** Calls are taken, as far as is known. Without a caller the server could not say who calls. */
  | { phase: "in"; caller: GetCallerResponse | undefined }
  | { phase: "out"; why: Why };

type Listener = () => void;

/** The reason that a server gives with an error, such as CREDENTIALS_MISSING; empty: none. */
export function reasonOf(error: unknown): string {
  return ConnectError.from(error).findDetails(ErrorInfoSchema)[0]?.reason ?? "";
}

/** Why a call with this error means that the reader is signed out; undefined: it does not. */
export function whyOut(error: unknown): Why | undefined {
  const { code } = ConnectError.from(error);
  const reason = reasonOf(error);
  if (code === Code.Unauthenticated) return reason === "CREDENTIALS_MISSING" ? "new" : "ended";
  return code === Code.PermissionDenied && reason === "NETWORK_NOT_ALLOWED" ? "network" : undefined;
}

export class Session {
  #state: SessionState = { phase: "asking" };
  #epoch = 0;
  #listeners = new Set<Listener>();
  #forgetters = new Set<Listener>();

  get state(): SessionState {
    return this.#state;
  }

  /** Grows when the reader may have become another. What was sent before then says nothing of the one that they are. */
  get epoch(): number {
    return this.#epoch;
  }

  subscribe = (listener: Listener): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Calls f when what was read and typed with one key must not be shown to who has another. */
  onForget(f: Listener): void {
    this.#forgetters.add(f);
  }

  forget(): void {
    for (const f of this.#forgetters) f();
  }

  /** The reader signed in or out, here or in another tab: answers to earlier calls do not count any more. */
  changed(): number {
    return ++this.#epoch;
  }

  /** The server said who calls; without a caller, it could not. */
  opened(caller: GetCallerResponse | undefined, epoch: number): void {
    if (epoch === this.#epoch) this.#set({ phase: "in", caller });
  }

  /** A call failed that was sent in this epoch. */
  refused(error: unknown, epoch: number): void {
    const why = whyOut(error);
    if (why === undefined || epoch !== this.#epoch || this.#state.phase === "out") return;
    const was = this.#state.phase === "in" && this.#state.caller?.authenticationRequired;
    this.closed(why === "new" && was ? "ended" : why);
  }

  /** The reader is signed out. */
  closed(why: Why): void {
    this.changed();
    this.#set({ phase: "out", why });
  }

  #set(state: SessionState): void {
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }
}

export const session = new Session();
