import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, Transfer_ErrorReason } from "internaltransfers-client";

/** An error in words. */
export interface Problem {
  /** A few words: what happened. */
  title: string;
  /** A sentence or two: why, and what to do. */
  text: string;
  /** The reason's name, such as INSUFFICIENT_FUNDS; empty when there is none. */
  reason: string;
  /** What the server said of the reason, such as `transfer_id`, `seen`, `allowed`. */
  metadata: Record<string, string>;
  /** What is wrong with each field of the request, by its name in the API, such as `amount`. */
  fields: Record<string, string>;
  /** The id under which the server's log has the call; empty when the call never reached it. */
  requestId: string;
  /** Whether the same call may succeed later. */
  temporary: boolean;
  code: Code;
}

const titles: Partial<Record<Code, string>> = {
  [Code.InvalidArgument]: "Something in the form is not right",
  [Code.NotFound]: "Not found",
  [Code.AlreadyExists]: "That id is taken",
  [Code.FailedPrecondition]: "Refused",
  [Code.Aborted]: "Changed meanwhile",
  [Code.ResourceExhausted]: "The server is busy",
  [Code.Unavailable]: "The server cannot be reached",
  [Code.DeadlineExceeded]: "It took too long",
  [Code.Unimplemented]: "Not available on this server",
  [Code.PermissionDenied]: "Not allowed",
  [Code.Unauthenticated]: "Not signed in",
  [Code.Canceled]: "Cancelled",
};

/** The reasons for which transfers are refused, or end without moving money, in words. */
const reasons: Record<
  Exclude<keyof typeof Transfer_ErrorReason, "ERROR_REASON_UNSPECIFIED">,
  [string, string]
> = {
  FROM_ACCOUNT_NOT_FOUND: ["No such payer", "There is no account that pays with this id."],
  TO_ACCOUNT_NOT_FOUND: ["No such payee", "There is no account to be paid with this id."],
  CURRENCY_MISMATCH: ["Different currencies", "The two accounts, or the currency asked for, differ."],
  NOT_REVERSIBLE: [
    "Cannot be reversed",
    "A transfer that moved no money, or is a reversal itself, cannot be reversed.",
  ],
  NOT_PENDING: ["Nothing to release", "This transfer never was a hold, nor scheduled."],
  ALREADY_POSTED: ["Already captured", "The hold was captured before, and is final."],
  ALREADY_VOIDED: ["Already released", "The hold was released before, and is final."],
  HOLD_EXPIRED: ["Hold expired", "The hold's time is over; its money is available again."],
  HOLD_AMOUNT_EXCEEDED: ["More than is held", "The hold reserves less than that."],
  ALREADY_REVERSED: ["Already reversed", "Less than that is left to be reversed."],
  ACCOUNT_CLOSED: ["Account closed", "One of the accounts is closed."],
  ACCOUNT_FROZEN: [
    "Account frozen",
    "One of the accounts is frozen; no money moves until it is opened again.",
  ],
  DEBITS_BLOCKED: ["Debits blocked", "No money may leave the paying account at present."],
  CREDITS_BLOCKED: ["Credits blocked", "No money may enter the paid account at present."],
  VERSION_MISMATCH: [
    "Changed meanwhile",
    "Somebody changed the account since it was read. Look again, then repeat.",
  ],
  BALANCE_CONDITION_FAILED: ["Balance condition failed", "A balance is not as the call asked for."],
  TRANSFER_CAP_EXCEEDED: [
    "Above the cap",
    "The amount is more than one transfer may take from the paying account.",
  ],
  INSUFFICIENT_FUNDS: ["Insufficient funds", "The paying account has less available than that."],
  MAX_BALANCE_EXCEEDED: ["Above the ceiling", "The paid account may not hold that much."],
  AMOUNT_LIMIT_EXCEEDED: [
    "Amount limit reached",
    "The paying account would pay more within a rolling window than it may.",
  ],
  COUNT_LIMIT_EXCEEDED: [
    "Count limit reached",
    "The paying account has made as many transfers within a rolling window as it may.",
  ],
  GROUP_FAILED: ["Group failed", "Another transfer of the same all-or-none group was refused."],
  VOIDED: ["Released", "It was released or cancelled. What was captured before stays moved."],
};

/** The reasons for which calls are refused that have to do with keys, in words. */
const accessReasons: Record<string, [string, (metadata: Record<string, string>) => string]> = {
  CREDENTIALS_MISSING: ["Not signed in", () => "The server needs an API key."],
  CREDENTIALS_INVALID: ["Not signed in", () => "The session is over, or its key was revoked."],
  CREDENTIALS_EXPIRED: ["Not signed in", () => "The time of the session, or of its key, is over."],
  NETWORK_NOT_ALLOWED: ["Not from this network", () => "Your key must not be used from where you are."],
  AUTH_UNAVAILABLE: [
    "Keys cannot be checked",
    () => "The server cannot read its keys at the moment. Nothing was done; try again.",
  ],
  PERMISSION_MISSING: [
    "Not allowed",
    ({ permission }) => `This needs the permission ${permission}, which your key lacks. Nothing was done.`,
  ],
  OWN_KEY: ["This is your own key", () => "Nobody changes what their own key may do. Use another key."],
  LAST_ADMIN: [
    "The last key that manages keys",
    () => "No other key could manage keys then. Make another one with the role admin first.",
  ],
  KEY_REVOKED: ["The key was revoked", () => "That is for good. Make another key instead."],
  TOO_MANY_KEYS: ["Too many keys", () => "There are 10,000 that are not revoked. Revoke some first."],
  KEYS_NOT_KEPT: ["No keys here", () => "This server keeps no keys."],
};

/** The name of a reason: INSUFFICIENT_FUNDS. */
export function reasonName(reason: Transfer_ErrorReason): string {
  return Transfer_ErrorReason[reason] ?? String(reason);
}

/** A reason in a few words: "Insufficient funds". */
export function reasonTitle(reason: Transfer_ErrorReason | string): string {
  const name = typeof reason === "string" ? reason : reasonName(reason);
  return (reasons as Record<string, [string, string]>)[name]?.[0] ?? sentence(name);
}

/** A reason in a sentence. */
export function reasonText(reason: Transfer_ErrorReason | string): string {
  const name = typeof reason === "string" ? reason : reasonName(reason);
  return (reasons as Record<string, [string, string]>)[name]?.[1] ?? "";
}

/** SOME_NAME becomes "Some name". */
export function sentence(name: string): string {
  const text = name.toLowerCase().replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Says whether the call may succeed when it is repeated as it is. */
export function isTemporary(error: unknown): boolean {
  const code = ConnectError.from(error).code;
  // A fetch that fails for want of a connection is `unknown` in some browsers and `unavailable` in others.
  return (
    code === Code.Unavailable ||
    code === Code.ResourceExhausted ||
    code === Code.DeadlineExceeded ||
    isOffline(error)
  );
}

/** Says whether the call never got an answer from the server. */
export function isOffline(error: unknown): boolean {
  const connect = ConnectError.from(error);
  return (
    connect.cause instanceof TypeError ||
    (connect.code === Code.Unavailable && !connect.metadata.has("x-request-id"))
  );
}

/** Puts an error into words. */
export function describeError(error: unknown): Problem {
  const connect = ConnectError.from(error);
  const info = connect.findDetails(ErrorInfoSchema)[0];
  const fields: Record<string, string> = {};
  for (const violation of connect.findDetails(BadRequestSchema).flatMap((detail) => detail.fieldViolations)) {
    fields[violation.field] ??= violation.description;
  }
  const offline = isOffline(error);
  const code = offline ? Code.Unavailable : connect.code;
  const message = sentenceOf(connect.rawMessage);
  const known = info ? reasonTitle(info.reason) : undefined;
  const access = info && Object.hasOwn(accessReasons, info.reason) ? accessReasons[info.reason] : undefined;
  return {
    title:
      access?.[0] ??
      (code === Code.FailedPrecondition || code === Code.Aborted ? known : undefined) ??
      titles[code] ??
      "Something went wrong",
    text: offline
      ? "It will be tried again by itself as soon as the server answers."
      : access
        ? access[1](info?.metadata ?? {})
        : code === Code.Unimplemented
          ? "This server does not answer this call yet."
          : message,
    reason: info?.reason ?? "",
    metadata: info?.metadata ?? {},
    fields,
    requestId: connect.metadata.get("x-request-id") ?? "",
    temporary: isTemporary(error),
    code,
  };
}

function sentenceOf(text: string): string {
  if (text === "") return "The server gave no reason.";
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
