// What the reader may do. The server decides; the console says beforehand what it would refuse.
import type { GetCallerResponse } from "internaltransfers-client";
import { useSyncExternalStore } from "react";
import { session } from "./session";

/** What a key may be allowed to do, as far as the console asks. */
export type Permission =
  | "accounts.policy"
  | "accounts.read"
  | "accounts.write"
  | "events.read"
  | "keys.admin"
  | "ledger.check"
  | "money.issue"
  | "schedules.read"
  | "schedules.write"
  | "transfers.create"
  | "transfers.force"
  | "transfers.read"
  | "transfers.reverse"
  | "transfers.settle"
  | "webhooks.read"
  | "webhooks.write";

/** One permission or several, all of which are needed. */
export type Needs = Permission | readonly Permission[];

const nothing: readonly Permission[] = [];

/** Those that a caller lacks. One of whom nothing is known lacks nothing: the server has the last word. */
export function lacking(caller: GetCallerResponse | undefined, needs: Needs = nothing): Permission[] {
  if (!caller?.authenticationRequired) return [];
  const all = typeof needs === "string" ? [needs] : needs;
  return all.filter((permission) => !caller.permissions.includes(permission));
}

/** Why a caller may not do something, in words; undefined: they may. */
export function denial(caller: GetCallerResponse | undefined, needs?: Needs): string | undefined {
  const missing = lacking(caller, needs);
  if (missing.length === 0) return undefined;
  return `Needs the ${missing.length > 1 ? "permissions" : "permission"} ${missing.join(" and ")}`;
}

/** Who the reader is; undefined: nobody knows, or keys are not needed. */
export function useCaller(): GetCallerResponse | undefined {
  const state = useSyncExternalStore(session.subscribe, () => session.state);
  return state.phase === "in" ? state.caller : undefined;
}

/** Why the reader may not do something, in words; undefined: they may. */
export function usePermission(needs?: Needs): string | undefined {
  return denial(useCaller(), needs);
}
