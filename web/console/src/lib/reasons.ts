// Why the ledger refused a transfer: what was the case, with its figures, and what can be done about it.
import { refusal, type Transfer, Transfer_ErrorReason, type TransferReason } from "internaltransfers-client";
import { reasonName, reasonText, reasonTitle } from "./errors";
import { groupThousands } from "./money";
import { formatSeconds, formatTime } from "./time";

/** A refusal in words. */
export interface Explanation {
  /** A few words, such as Insufficient funds. */
  title: string;
  /** What was the case, with its figures, as sentences. */
  text: string;
  /** What can be done about it; empty: nothing, or nobody knows. */
  advice: string;
}

/** What is known of a refused transfer: the amount, the currency, and what was seen and allowed. */
type Figures = Record<string, string>;

type Sentence = (f: Figures, amount: (key: string) => string) => string;

/** What was the case, where figures say more than the reason alone, and what can be done. */
const explanations: Record<TransferReason, { text?: Sentence; advice?: string }> = {
  FROM_ACCOUNT_NOT_FOUND: { advice: "Choose the paying account anew." },
  TO_ACCOUNT_NOT_FOUND: { advice: "Choose the account that is paid anew." },
  CURRENCY_MISMATCH: {
    advice: "An exchange is two transfers, each in its own currency, through an account of yours in each.",
  },
  ACCOUNT_CLOSED: { advice: "Choose another account." },
  ACCOUNT_FROZEN: {},
  DEBITS_BLOCKED: {
    text: (f) => `No money may leave the paying account${until(f)}${because(f)}.`,
    advice: "Remove the block, or wait for its end.",
  },
  CREDITS_BLOCKED: {
    text: (f) => `No money may enter the paid account${until(f)}${because(f)}.`,
    advice: "Remove the block, or wait for its end.",
  },
  VERSION_MISMATCH: {},
  BALANCE_CONDITION_FAILED: {
    text: (f, amount) =>
      `The balance had to be ${f.condition ?? "as asked for:"} ${amount("allowed")}, and was ${amount("seen")}.`,
  },
  TRANSFER_CAP_EXCEEDED: {
    text: (_, amount) =>
      `One transfer may take at most ${amount("allowed")} from the paying account, and ${amount("amount")} was asked for.`,
    advice: "Transfer less, or raise the account's cap.",
  },
  INSUFFICIENT_FUNDS: {
    text: (f, amount) =>
      `The paying account had ${amount("seen")} available${floor(f, amount)}, and ${amount("amount")} was asked for.`,
    advice: "Transfer less, transfer up to what there is, or put money into the paying account first.",
  },
  MAX_BALANCE_EXCEEDED: {
    text: (_, amount) =>
      `The paid account may have at most ${amount("allowed")}. With the holds towards it, it had ${amount("seen")}, so ${amount("amount")} did not fit.`,
    advice: "Transfer less, or raise the account's ceiling.",
  },
  AMOUNT_LIMIT_EXCEEDED: {
    text: (f, amount) =>
      `The paying account may pay at most ${amount("allowed")}${within(f)}. It had paid ${amount("seen")}, so ${amount("amount")} was too much.`,
    advice: "Wait until earlier payments are out of the window, transfer less, or raise the limit.",
  },
  COUNT_LIMIT_EXCEEDED: {
    text: (f) =>
      `The paying account may make at most ${f.allowed} transfers${within(f)}, and had made ${f.seen}.`,
    advice: "Wait until earlier transfers are out of the window, or raise the limit.",
  },
  GROUP_FAILED: { advice: "Look through the group for the one that was refused." },
  NOT_REVERSIBLE: { advice: "Of a hold, reverse its captures." },
  NOT_PENDING: {},
  ALREADY_POSTED: { advice: "Reverse its captures to move the money back." },
  ALREADY_VOIDED: { advice: "Make a new transfer." },
  HOLD_EXPIRED: { advice: "Make a new transfer." },
  HOLD_AMOUNT_EXCEEDED: {
    text: (_, amount) => `The hold reserves less than ${amount("amount")}.`,
    advice: "Capture what is left, or less.",
  },
  ALREADY_REVERSED: {
    text: (_, amount) =>
      `Of ${amount("allowed")}, ${amount("seen")} was moved back before, so ${amount("amount")} was too much.`,
    advice: "Reverse what is left, or less.",
  },
  VOIDED: {
    text: () =>
      "It was voided, or cancelled before its time. What it still reserved was released; what was captured before stays moved.",
  },
};

function until(f: Figures): string {
  return f.block_end_time ? ` until ${formatTime(new Date(f.block_end_time))}` : "";
}

function because(f: Figures): string {
  return f.block_reason ? `: ${f.block_reason.replace(/[.\s]+$/, "")}` : "";
}

function within(f: Figures): string {
  return f.window ? ` within ${formatSeconds(Number.parseFloat(f.window))}` : "";
}

function floor(f: Figures, amount: (key: string) => string): string {
  return f.allowed && /[1-9]/.test(f.allowed) ? ` and may go down to ${amount("allowed")}` : "";
}

function explain(name: string, figures: Figures): Explanation {
  const known = (explanations as Partial<Record<string, { text?: Sentence; advice?: string }>>)[name];
  let missing = false;
  const amount = (key: string) => {
    const value = figures[key];
    if (value === undefined) missing = true;
    return figures.currency
      ? `${groupThousands(value ?? "")}\u00a0${figures.currency}`
      : groupThousands(value ?? "");
  };
  const text = known?.text?.(figures, amount);
  return {
    title: reasonTitle(name),
    // Half a sentence is worse than a general one.
    text: text === undefined || missing || text.includes("undefined") ? reasonText(name) : text,
    advice: known?.advice ?? "",
  };
}

/** Why a transfer is FAILED, in words. */
export function explainTransfer(t: Transfer): Explanation {
  const name = reasonName(t.errorReason ?? Transfer_ErrorReason.ERROR_REASON_UNSPECIFIED);
  const figures: Figures = {
    amount: t.requestedAmount ?? t.amount,
    currency: t.currency,
    ...t.errorMetadata,
  };
  if (name === "INSUFFICIENT_FUNDS" && t.fromBalance !== undefined) figures.seen ??= t.fromBalance;
  return explain(name, figures);
}

/** Why the ledger refused a call, in words; undefined when it failed for another reason, which describeError tells. */
export function explainRefusal(error: unknown): Explanation | undefined {
  const refused = refusal(error);
  if (!refused || !Object.hasOwn(explanations, refused.reason)) return undefined;
  return explain(refused.reason, refused.metadata);
}
