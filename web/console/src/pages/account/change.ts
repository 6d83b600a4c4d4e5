// Changing an account that somebody else, or money that moves, may be changing at the same time.
import { equals, type MessageInitShape, toJsonString } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import {
  type Account,
  Account_Status,
  type AccountSchema,
  type AccountService,
  type Block,
  BlockSchema,
  LimitSchema,
} from "internaltransfers-client";

/** The fields of an account that people change, by their names in the API. */
export type Setting =
  | "display_name"
  | "image_url"
  | "metadata"
  | "min_balance"
  | "max_balance"
  | "max_transfer_amount"
  | "debit_block"
  | "credit_block"
  | "limits"
  | "status";

const names: Record<Exclude<Setting, "status">, string> = {
  display_name: "the name",
  image_url: "the picture",
  metadata: "the metadata",
  min_balance: "the floor",
  max_balance: "the ceiling",
  max_transfer_amount: "the cap per transfer",
  debit_block: "the block on payments out",
  credit_block: "the block on payments in",
  limits: "the rolling limits",
};

const statuses: Record<Account_Status, string> = {
  [Account_Status.STATUS_UNSPECIFIED]: "changed in status",
  [Account_Status.OPEN]: "opened",
  [Account_Status.FROZEN]: "frozen",
  [Account_Status.CLOSED]: "closed",
};

/** Which of an account's settings are others now than were seen. Movements of money are none of them. */
export function changedSettings(seen: Account, now: Account): Setting[] {
  const same: Record<Setting, boolean> = {
    display_name: seen.displayName === now.displayName,
    image_url: seen.imageUrl === now.imageUrl,
    metadata: sameMetadata(seen.metadata, now.metadata),
    min_balance: seen.minBalance === now.minBalance,
    max_balance: seen.maxBalance === now.maxBalance,
    max_transfer_amount: seen.maxTransferAmount === now.maxTransferAmount,
    debit_block: sameBlock(seen.debitBlock, now.debitBlock),
    credit_block: sameBlock(seen.creditBlock, now.creditBlock),
    limits:
      JSON.stringify(seen.limits.map((limit) => toJsonString(LimitSchema, limit))) ===
      JSON.stringify(now.limits.map((limit) => toJsonString(LimitSchema, limit))),
    status: seen.status === now.status,
  };
  return (Object.keys(same) as Setting[]).filter((name) => !same[name]);
}

function sameMetadata(a: Record<string, string>, b: Record<string, string>): boolean {
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && a[key] === b[key])
  );
}

function sameBlock(a: Block | undefined, b: Block | undefined): boolean {
  return a && b ? equals(BlockSchema, a, b) : a === b;
}

/** Somebody else changed the account's settings after they were seen, so nothing was done. */
export class ChangedMeanwhileError extends Error {
  constructor(
    readonly settings: Setting[],
    readonly now: Account,
  ) {
    super(`${meanwhile(settings, now)} Nothing was done. Look again, and repeat it if you still want to.`);
    this.name = "ChangedMeanwhileError";
  }
}

function meanwhile(settings: Setting[], now: Account): string {
  const changed = settings.filter((setting) => setting !== "status").map((setting) => names[setting]);
  const list = changed.length > 1 ? `${changed.slice(0, -1).join(", ")} and ${changed.at(-1)}` : changed[0];
  const parts = [];
  if (settings.includes("status")) parts.push(`The account was ${statuses[now.status]} meanwhile.`);
  if (list) parts.push(`Somebody changed ${list} meanwhile.`);
  return parts.join(" ");
}

/**
 * How often a change is tried while money moves on the account. Each movement is a new version, so the change has to fit
 * between two of them.
 */
const attemptsMax = 20;

/**
 * Changes settings of an account as it was seen. When the account has another version by now, it is looked at again: if
 * only money moved, the change is made on what is there now; if settings changed, it is a ChangedMeanwhileError.
 */
export async function changeAccount(
  accounts: Pick<Client<typeof AccountService>, "updateAccount" | "getAccount">,
  seen: Account,
  change: MessageInitShape<typeof AccountSchema>,
  paths: Setting[],
): Promise<Account> {
  const { accountId } = seen;
  let now = seen;
  for (let attempt = 1; ; attempt++) {
    try {
      const { account } = await accounts.updateAccount({
        account: { ...change, accountId },
        updateMask: { paths },
        expectedVersion: now.version,
      });
      return account ?? now;
    } catch (error) {
      if (ConnectError.from(error).code !== Code.Aborted || attempt === attemptsMax) throw error;
    }
    now = (await accounts.getAccount({ accountId })).account ?? now;
    const settings = changedSettings(seen, now);
    if (settings.length > 0) throw new ChangedMeanwhileError(settings, now);
  }
}

/**
 * What was typed, on the account as it is now: fields that were changed since before stay as they were typed, all others become
 * what they are now.
 */
export function rebase<Draft extends object>(typed: Draft, before: Draft, now: Draft): Draft {
  const rebased = { ...now };
  for (const key of Object.keys(typed) as (keyof Draft)[]) {
    if (JSON.stringify(typed[key]) !== JSON.stringify(before[key])) rebased[key] = typed[key];
  }
  return rebased;
}
