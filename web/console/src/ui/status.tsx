import {
  Account_Status,
  Transfer_ErrorReason,
  Transfer_Kind,
  Transfer_Status,
} from "internaltransfers-client";
import { reasonTitle } from "../lib/errors";
import { Badge, type Tone } from "./values";

const transferBadges: Record<Transfer_Status, [Tone, string]> = {
  [Transfer_Status.STATUS_UNSPECIFIED]: ["neutral", "Unknown"],
  [Transfer_Status.INIT]: ["warn", "Pending"],
  [Transfer_Status.SUCCESS]: ["good", "Succeeded"],
  [Transfer_Status.FAILED]: ["bad", "Failed"],
};

/** Where a transfer is in its life. With its reason, a refused one says why; one that was released is no failure. */
export function TransferStatusBadge({
  status,
  reason,
}: {
  status: Transfer_Status;
  reason?: Transfer_ErrorReason;
}) {
  const [tone, text] = transferBadges[status] ?? transferBadges[0];
  if (status === Transfer_Status.FAILED && reason) {
    const quiet = reason === Transfer_ErrorReason.VOIDED || reason === Transfer_ErrorReason.HOLD_EXPIRED;
    return <Badge tone={quiet ? "neutral" : tone}>{reasonTitle(reason)}</Badge>;
  }
  return <Badge tone={tone}>{text}</Badge>;
}

/** What an account may do. */
export function AccountStatusBadge({ status }: { status: Account_Status }) {
  switch (status) {
    case Account_Status.OPEN:
      return <Badge tone="good">Open</Badge>;
    case Account_Status.FROZEN:
      return (
        <Badge tone="info" icon="pause">
          Frozen
        </Badge>
      );
    case Account_Status.CLOSED:
      return (
        <Badge tone="neutral" icon="lock">
          Closed
        </Badge>
      );
    default:
      return <Badge tone="neutral">Unknown</Badge>;
  }
}

const kinds: Record<Transfer_Kind, string> = {
  [Transfer_Kind.KIND_UNSPECIFIED]: "Unknown",
  [Transfer_Kind.TRANSFER]: "Transfer",
  [Transfer_Kind.HOLD]: "Hold",
  [Transfer_Kind.SCHEDULED]: "Scheduled",
  [Transfer_Kind.CAPTURE]: "Capture",
  [Transfer_Kind.EXECUTION]: "Execution",
  [Transfer_Kind.REVERSAL]: "Reversal",
};

/** What a transfer is for, in a word. */
export function kindName(kind: Transfer_Kind): string {
  return kinds[kind] ?? "Unknown";
}
