import { type Transfer, Transfer_Kind, Transfer_Status } from "internaltransfers-client";
import { compareDecimals, isZero, subtractDecimals } from "../../lib/money";
import type { Permission } from "../../lib/permissions";

/** What can be done about a transfer. */
export type Action = "capture" | "void" | "reverse";

/** What each action needs. */
export const needed = {
  capture: "transfers.settle",
  void: "transfers.settle",
  reverse: "transfers.reverse",
} as const satisfies Record<Action, Permission>;

/** An action as a button. */
export interface Offer {
  action: Action;
  label: string;
  kind: "primary" | "plain" | "danger";
}

/** What can be done about this one as it is now. */
export function actionsOf(t: Transfer): Offer[] {
  if (t.status === Transfer_Status.INIT) {
    if (t.kind === Transfer_Kind.SCHEDULED)
      return [{ action: "void", label: "Cancel transfer", kind: "danger" }];
    if (hasExpired(t)) return [];
    return [
      { action: "capture", label: "Capture", kind: "primary" },
      { action: "void", label: "Void", kind: "danger" },
    ];
  }
  const moves = [Transfer_Kind.TRANSFER, Transfer_Kind.CAPTURE, Transfer_Kind.EXECUTION].includes(t.kind);
  if (t.status !== Transfer_Status.SUCCESS || !moves || compareDecimals(reversible(t), "0") <= 0) return [];
  return [{ action: "reverse", label: "Reverse", kind: "plain" }];
}

/** Whether a hold has expired that the ledger has not settled yet: it reserves nothing. */
export function hasExpired(t: Transfer): boolean {
  return (
    t.kind === Transfer_Kind.HOLD &&
    t.status === Transfer_Status.INIT &&
    t.heldAmount !== undefined &&
    isZero(t.heldAmount)
  );
}

/** What is left to be moved back. */
export function reversible(t: Transfer): string {
  return t.reversedAmount === undefined ? t.amount : subtractDecimals(t.amount, t.reversedAmount);
}
