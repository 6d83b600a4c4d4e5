// Signing in and out: an API key is given for a session, which the browser keeps. The key itself is kept nowhere.
import { ConnectError } from "@connectrpc/connect";
import { basePath, serverPath } from "./base";
import { connection } from "./connection";
import { isTemporary } from "./errors";
import { clients } from "./rpc";
import { reasonOf, session, whyOut } from "./session";

/** How long to wait for who calls, in milliseconds. */
const callerMs = 10_000;
/** When to ask again, after the server could not say, in milliseconds. */
const againMs = 5_000;

let again: ReturnType<typeof setTimeout> | undefined;

/** Asks the server who calls. The console goes on meanwhile, as it was. */
export async function askCaller(): Promise<void> {
  clearTimeout(again);
  const { epoch } = session;
  try {
    const caller = await clients.access.getCaller({}, { timeoutMs: callerMs });
    if (epoch !== session.epoch) return;
    forgetOthers(caller.apiKeyId);
    session.opened(caller, epoch);
  } catch (error) {
    session.refused(error, epoch);
    if (epoch !== session.epoch || session.state.phase === "out") return;
    if (session.state.phase === "asking") session.opened(undefined, epoch);
    if (isTemporary(error)) again = setTimeout(askCaller, againMs);
  }
}

/** Why a sign-in failed. */
export interface SignInProblem {
  text: string;
  /** Whether the same key may do later. */
  temporary: boolean;
}

/** Gives a key for a session. Returns what went wrong, if anything did. */
export async function signIn(key: string): Promise<SignInProblem | undefined> {
  let response: Response;
  try {
    response = await fetch(serverPath("/session"), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ key }),
      cache: "no-store",
    });
  } catch {
    return unreachable;
  }
  if (!response.ok) return problemOf(response.status, await response.json().catch(() => undefined));
  const epoch = session.changed();
  try {
    const caller = await clients.access.getCaller({}, { timeoutMs: callerMs });
    forgetOthers(caller.apiKeyId);
    session.opened(caller, epoch);
    tellTabs();
    return undefined;
  } catch (error) {
    if (reasonOf(error) === "NETWORK_NOT_ALLOWED")
      return { text: words.NETWORK_NOT_ALLOWED, temporary: false };
    if (whyOut(error) === undefined) return { text: words.AUTH_UNAVAILABLE, temporary: true };
    return { text: notKept, temporary: false };
  }
}

/** What the console says where the session that it was given is not there at the next call. */
export const notKept = "The browser did not keep the session. Use https://, or http://localhost.";

const words = {
  CREDENTIALS_INVALID: "This key is not valid. It is mistyped, or was revoked.",
  CREDENTIALS_MISSING: "Enter an API key.",
  CREDENTIALS_EXPIRED: "This key has expired. Ask for another one.",
  NETWORK_NOT_ALLOWED: "This key must not be used from this network.",
  AUTH_UNAVAILABLE: "The server cannot check keys at the moment. Try again.",
};

const unreachable: SignInProblem = { text: "The server cannot be reached. Try again.", temporary: true };

/** What a refusal of POST /session says, a google.rpc.Status, in words. */
export function problemOf(status: number, body: unknown): SignInProblem {
  const details = (body as { details?: { reason?: string }[] } | undefined)?.details;
  const reason = Array.isArray(details) ? details.find((detail) => detail?.reason)?.reason : undefined;
  const temporary = status === 429 || status >= 500;
  if (reason !== undefined && Object.hasOwn(words, reason))
    return { text: words[reason as keyof typeof words], temporary };
  if (temporary) return { text: "The server cannot sign you in at the moment. Try again.", temporary };
  return { text: "The server refused this key.", temporary };
}

/** Ends the session. Fails when the server cannot be reached: it alone can take the cookie away. */
export async function signOut(): Promise<void> {
  const response = await fetch(serverPath("/session"), { method: "DELETE", cache: "no-store" });
  if (!response.ok) throw new ConnectError(`the server answered ${response.status}`);
  session.forget();
  session.closed("left");
  tellTabs();
}

/** The key with which what is shown was read. */
let readWith: string | undefined;

function forgetOthers(apiKeyId: string): void {
  if (readWith !== undefined && readWith !== apiKeyId) session.forget();
  readWith = apiKeyId;
}

let tabs: BroadcastChannel | undefined;

function tellTabs(): void {
  tabs?.postMessage("changed");
}

/** Begins: asks who calls, now and whenever that may have changed. */
export function beginSession(): void {
  tabs = new BroadcastChannel(`session ${basePath}`);
  tabs.onmessage = () => {
    session.changed();
    void askCaller();
  };
  const askAgain = () => {
    if (session.state.phase === "in") void askCaller();
  };
  connection.onReturn(askAgain);
  // Whoever was away for a while may have got other permissions, or none.
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && askAgain());
  void askCaller();
}
