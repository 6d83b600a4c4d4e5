// The calls that the page shows: what each takes, of which a person may want to fill in something. Names and types come
// from the API's own description, so that they cannot differ from it.
import type { DescField, DescMethod } from "@bufbuild/protobuf";
import { AccountService, LedgerService, TransferService } from "internaltransfers-client";

/** What a field is filled with at first, so that the call runs as it stands. */
export type Example = "payer" | "payee" | "hold" | "transfer" | "id";

/** A field of a call. */
export interface CallField {
  /** Its name in the API's TypeScript types, such as fromAccountId. */
  name: string;
  label: string;
  example?: Example;
  /** What it is at first, where that is always the same. */
  initial?: string;
  hint?: string;
  /** An amount, or one of these, or an account to be chosen; else text, or yes and no as the API has it. */
  kind?: "amount" | "account" | readonly string[];
}

/** A call. */
export interface Call {
  /** What it is called in the page's address. */
  id: string;
  title: string;
  lead: string;
  method: DescMethod;
  /** The name of its client among those of createClients. */
  client: string;
  /** Its REST route; the fields in braces are those of the path. Undefined: it has none. */
  rest: { verb: "GET" | "POST"; path: string } | undefined;
  /** What its answer has, as TypeScript takes it apart. */
  answer: string;
  fields: CallField[];
}

const amount: CallField = { name: "amount", label: "Amount", kind: "amount", initial: "1.50" };
const from: CallField = { name: "fromAccountId", label: "From", kind: "account", example: "payer" };
const to: CallField = { name: "toAccountId", label: "To", kind: "account", example: "payee" };
const reference: CallField = {
  name: "reference",
  label: "Reference",
  hint: "Your own; transfers can be found by it.",
};
const transferId: CallField = {
  name: "transferId",
  label: "Transfer id",
  example: "id",
  hint: "Made once: however often the call is repeated, the money moves once.",
};
const status: CallField = { name: "status", label: "Status", kind: ["INIT", "SUCCESS", "FAILED"] };
const currency: CallField = { name: "currency", label: "Currency" };

export const calls: readonly Call[] = [
  {
    id: "create-account",
    title: "Create an account",
    lead: "Opens an account. What it starts with is a transfer from the currency's own equity account.",
    method: AccountService.method.createAccount,
    client: "accounts",
    rest: { verb: "POST", path: "/api/v1/accounts" },
    answer: "account",
    fields: [
      {
        name: "accountId",
        label: "Account id",
        example: "id",
        hint: "Made once, so that the call can be repeated.",
      },
      { name: "displayName", label: "Name", initial: "Alice" },
      { ...currency, initial: "USD" },
      { name: "initialBalance", label: "Initial balance", kind: "amount", initial: "100.00" },
    ],
  },
  {
    id: "create-transfer",
    title: "Create a transfer",
    lead: "Moves money. The answer comes after its commit; a refusal is on record too, with its reason.",
    method: TransferService.method.createTransfer,
    client: "transfers",
    rest: { verb: "POST", path: "/api/v1/transfers" },
    answer: "transfer",
    fields: [transferId, from, to, amount, reference],
  },
  {
    id: "hold",
    title: "Hold money",
    lead: "Reserves money. It moves when the hold is posted, and is available again when it is voided or expires.",
    method: TransferService.method.createTransfer,
    client: "transfers",
    rest: { verb: "POST", path: "/api/v1/transfers" },
    answer: "transfer",
    fields: [
      transferId,
      from,
      to,
      amount,
      { name: "hold", label: "Hold", initial: "true" },
      {
        name: "holdTtl",
        label: "Lasts, in seconds",
        initial: "3600",
        hint: "Empty: until it is posted or voided.",
      },
    ],
  },
  {
    id: "post",
    title: "Post a hold",
    lead: "Captures held money, all of it or a part. Each capture is a transfer of its own.",
    method: TransferService.method.postTransfer,
    client: "transfers",
    rest: { verb: "POST", path: "/api/v1/transfers/{transferId}:post" },
    answer: "transfer, capture",
    fields: [
      { name: "transferId", label: "Hold", example: "hold" },
      {
        name: "captureId",
        label: "Capture id",
        example: "id",
        hint: "Made once, so that the call can be repeated.",
      },
      { ...amount, initial: "", hint: "Empty: all that is still held." },
      { name: "final", label: "Release what is left" },
    ],
  },
  {
    id: "void",
    title: "Void a hold",
    lead: "Releases what a hold still reserves, or cancels a scheduled transfer.",
    method: TransferService.method.voidTransfer,
    client: "transfers",
    rest: { verb: "POST", path: "/api/v1/transfers/{transferId}:void" },
    answer: "transfer",
    fields: [{ name: "transferId", label: "Hold", example: "hold" }],
  },
  {
    id: "reverse",
    title: "Reverse a transfer",
    lead: "Moves the money of a transfer back, all of it or a part. A reversal is a transfer of its own.",
    method: TransferService.method.reverseTransfer,
    client: "transfers",
    rest: { verb: "POST", path: "/api/v1/transfers/{transferId}:reverse" },
    answer: "reversal",
    fields: [
      { name: "transferId", label: "Transfer", example: "transfer" },
      {
        name: "reversalId",
        label: "Reversal id",
        example: "id",
        hint: "Made once, so that the call can be repeated.",
      },
      { ...amount, initial: "", hint: "Empty: all that was not reversed yet." },
    ],
  },
  {
    id: "list-accounts",
    title: "List accounts",
    lead: "Accounts, newest first, by page.",
    method: AccountService.method.listAccounts,
    client: "accounts",
    rest: { verb: "GET", path: "/api/v1/accounts" },
    answer: "accounts, nextPageToken",
    fields: [
      { name: "search", label: "Search", hint: "Words of names, or the beginning of an id." },
      currency,
      { name: "pageSize", label: "Page size", initial: "20" },
    ],
  },
  {
    id: "list-transfers",
    title: "List transfers",
    lead: "Transfers, refused ones too, newest first, by page.",
    method: TransferService.method.listTransfers,
    client: "transfers",
    rest: { verb: "GET", path: "/api/v1/transfers" },
    answer: "transfers, nextPageToken",
    fields: [
      { name: "accountId", label: "Account", kind: "account" },
      { ...status, initial: "SUCCESS" },
      currency,
      reference,
      { name: "pageSize", label: "Page size", initial: "20" },
    ],
  },
  {
    id: "watch",
    title: "Watch transfers",
    lead: "Streams every change of a transfer, once and in order. With the last cursor a reader goes on where it was, however much later.",
    method: LedgerService.method.watchTransfers,
    client: "ledger",
    rest: undefined,
    answer: "",
    fields: [
      {
        name: "after",
        label: "After",
        hint: "The last cursor you have. 0: from the beginning. Empty: from now on.",
      },
      { name: "accountId", label: "Account", kind: "account" },
      status,
      currency,
    ],
  },
  {
    id: "list-events",
    title: "List events",
    lead: "The same changes by page, for those who cannot read a stream.",
    method: LedgerService.method.listEvents,
    client: "ledger",
    rest: { verb: "GET", path: "/api/v1/events" },
    answer: "events, cursor, more",
    fields: [
      {
        name: "after",
        label: "After",
        initial: "0",
        hint: "The cursor of the page before. 0: from the beginning.",
      },
      { name: "accountId", label: "Account", kind: "account" },
      { name: "pageSize", label: "Page size", initial: "20" },
    ],
  },
];

/** The API's own description of a field. */
export function describe(call: Call, field: CallField): DescField {
  const found = call.method.input.field[field.name];
  if (!found) throw new Error(`${call.method.input.typeName} has no ${field.name}`);
  return found;
}
