// The policy of an account as it is being typed: what it bounds, blocks and limits.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type Account,
  type AccountSchema,
  type Block,
  BlockSchema,
  type Limit,
  LimitSchema,
} from "internaltransfers-client";
import { checkAmount } from "../../lib/money";
import { toDate, toLocalInput } from "../../lib/time";
import { changedSettings, type Setting } from "./change";

/** A block as it is being typed. */
export interface BlockDraft {
  on: boolean;
  reason: string;
  /** The value of a field for date and time; empty: no end. */
  until: string;
}

/** The units in which a rolling window is typed, in seconds. */
export const windowUnits = { seconds: 1n, minutes: 60n, hours: 3_600n, days: 86_400n } as const;

export type WindowUnit = keyof typeof windowUnits;

/** A rolling limit as it is being typed. Its number tells it from the others. */
export interface LimitDraft {
  number: number;
  length: string;
  unit: WindowUnit;
  maxAmount: string;
  maxCount: string;
}

export interface PolicyDraft {
  floor: string;
  ceiling: string;
  cap: string;
  debit: BlockDraft;
  credit: BlockDraft;
  limits: LimitDraft[];
}

/** The most rolling limits that an account has. */
export const limitsMax = 8;

const windowMax = 366n * 86_400n;

/** The policy of an account, ready to be typed over. */
export function draftOf(account: Account): PolicyDraft {
  return {
    floor: account.minBalance ?? "",
    ceiling: account.maxBalance ?? "",
    cap: account.maxTransferAmount ?? "",
    debit: blockDraft(account.debitBlock),
    credit: blockDraft(account.creditBlock),
    limits: account.limits.map(limitDraft),
  };
}

function blockDraft(block: Block | undefined): BlockDraft {
  return {
    on: block !== undefined,
    reason: block?.reason ?? "",
    until: block?.endTime ? toLocalInput(toDate(block.endTime)) : "",
  };
}

function limitDraft({ window, maxAmount, maxCount }: Limit, number: number): LimitDraft {
  const seconds = window?.seconds ?? 0n;
  const unit =
    (["days", "hours", "minutes"] as const).find((name) => seconds % windowUnits[name] === 0n) ?? "seconds";
  return {
    number,
    length: String(seconds / windowUnits[unit]),
    unit,
    maxAmount: maxAmount ?? "",
    maxCount: maxCount === undefined ? "" : String(maxCount),
  };
}

/** Adds a limit of a day. */
export function withLimit(limits: readonly LimitDraft[]): LimitDraft[] {
  const number = (limits.at(-1)?.number ?? -1) + 1;
  return [...limits, { number, length: "1", unit: "days", maxAmount: "", maxCount: "" }];
}

/** What a draft would change, and what is wrong with it by field: floor, ceiling, cap, debit.reason, limits.0.length, … */
export interface ReadDraft {
  change: MessageInitShape<typeof AccountSchema>;
  paths: Setting[];
  problems: Record<string, string>;
}

/** Reads a draft for an account as it was seen, in a currency with so many decimals. */
export function readDraft(draft: PolicyDraft, seen: Account, scale: number): ReadDraft {
  const problems: Record<string, string> = {};
  const { currency } = seen;
  const amount = (field: string, text: string, sign: "any" | "positive" | "non-negative") => {
    if (text.trim() === "") return undefined;
    const checked = checkAmount(text, scale, { currency, sign });
    if (checked.ok) return checked.value;
    problems[field] = checked.message;
    return undefined;
  };
  const block = (field: "debit" | "credit", { on, reason, until }: BlockDraft, before: Block | undefined) => {
    if (!on) return undefined;
    const length = Array.from(reason.trim()).length;
    if (length < 1 || length > 200) problems[`${field}.reason`] = "Say why, in 1 to 200 characters.";
    let endTime: Timestamp | undefined;
    // The field is exact to the second, the block may be more so: what was not touched stays as it is.
    if (until !== "" && until === blockDraft(before).until) endTime = before?.endTime;
    else if (until !== "") {
      const date = new Date(until);
      if (Number.isNaN(date.getTime())) problems[`${field}.until`] = "Give a date and a time.";
      else endTime = timestampFromDate(date);
    }
    return create(BlockSchema, { reason: reason.trim(), ...(endTime && { endTime }) });
  };

  if (draft.floor.trim() === "") problems.floor = "Enter a floor. Below zero it is an overdraft.";
  const values = {
    minBalance: amount("floor", draft.floor, "any"),
    maxBalance: amount("ceiling", draft.ceiling, "any"),
    maxTransferAmount: amount("cap", draft.cap, "positive"),
    debitBlock: block("debit", draft.debit, seen.debitBlock),
    creditBlock: block("credit", draft.credit, seen.creditBlock),
    limits: draft.limits.map((limit) => readLimit(limit, seen.limits[limit.number], amount, problems)),
  };
  return { change: values, paths: changedSettings(seen, { ...seen, ...values }), problems };
}

function readLimit(
  { number, length, unit, maxAmount, maxCount }: LimitDraft,
  before: Limit | undefined,
  amount: (field: string, text: string, sign: "non-negative") => string | undefined,
  problems: Record<string, string>,
) {
  const field = `limits.${number}`;
  const seconds = /^[0-9]{1,9}$/.test(length.trim()) ? BigInt(length.trim()) * windowUnits[unit] : 0n;
  if (seconds < 1n || seconds > windowMax)
    problems[`${field}.length`] = "1 second to 366 days, in whole numbers.";
  if (maxCount.trim() !== "" && !/^[0-9]{1,18}$/.test(maxCount.trim()))
    problems[`${field}.maxCount`] = "A whole number.";
  if (maxAmount.trim() === "" && maxCount.trim() === "") {
    problems[`${field}.maxAmount`] = "Give an amount, a number of transfers, or both.";
  }
  // Windows are exact to the nanosecond: one that was not touched stays as it is.
  const untouched = before && limitDraft(before, number);
  const window = untouched?.length === length && untouched.unit === unit ? before?.window : { seconds };
  const most = amount(`${field}.maxAmount`, maxAmount, "non-negative");
  return create(LimitSchema, {
    ...(window && { window }),
    ...(most !== undefined && { maxAmount: most }),
    ...(/^[0-9]{1,18}$/.test(maxCount.trim()) && { maxCount: BigInt(maxCount.trim()) }),
  });
}
