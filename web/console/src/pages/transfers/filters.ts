// What the list of transfers is filtered by: in the address, as the API takes it, and as a test of one transfer.
import { fromJson } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { type Transfer, Transfer_Status } from "internaltransfers-client";
import type { TransferFilter } from "../../lib/stream";
import { isUUID } from "../../lib/url";

/** The filters as they are in the address; empty: none. */
export type Filters = {
  account: string;
  status: string;
  currency: string;
  reference: string;
  /** Made at this time or later, as RFC 3339. */
  from: string;
  /** Made before this time, as RFC 3339. */
  to: string;
  group: string;
  parent: string;
};

export const noFilters: Filters = {
  account: "",
  status: "",
  currency: "",
  reference: "",
  from: "",
  to: "",
  group: "",
  parent: "",
};

/** What ListTransfers takes. */
export interface ListFilter extends TransferFilter {
  startTime?: Timestamp;
  endTime?: Timestamp;
}

/** Whether the list is of a group or of the children of a transfer, which go with no other filter but the status. */
export function isFamily(f: Filters): boolean {
  return f.group !== "" || f.parent !== "";
}

/** What is wrong with filters that somebody typed or pasted, by their names. */
export function filterProblems(f: Filters): Partial<Filters> {
  const problems: Partial<Filters> = {};
  for (const name of ["account", "group", "parent"] as const) {
    if (f[name] && !isUUID(f[name])) problems[name] = "This is no id.";
  }
  if (f.group && f.parent) problems.parent = "Not with a group.";
  if (f.currency && !/^[A-Z][A-Z0-9]{2,11}$/.test(f.currency)) problems.currency = "This is no currency.";
  for (const name of ["from", "to"] as const) {
    if (f[name] && !instant(f[name])) problems[name] = "This is no time.";
  }
  return problems;
}

/** The moment that an RFC 3339 text names. */
export function instant(text: string): Timestamp | undefined {
  try {
    return fromJson(TimestampSchema, text);
  } catch {
    return undefined;
  }
}

/** The filters as ListTransfers takes them, without those that make no sense. */
export function listFilter(f: Filters): ListFilter {
  const wrong = filterProblems(f);
  const value = (name: keyof Filters) => (wrong[name] ? "" : f[name]);
  const filter: ListFilter = {};
  const status = Transfer_Status[f.status as keyof typeof Transfer_Status];
  if (status) filter.status = status;
  if (isFamily(f)) {
    if (value("group")) filter.groupId = f.group;
    else if (value("parent")) filter.parentTransferId = f.parent;
    return filter;
  }
  if (value("account")) filter.accountId = f.account;
  if (value("currency")) filter.currency = f.currency;
  if (f.reference) filter.reference = f.reference;
  const start = value("from") && instant(f.from);
  const end = value("to") && instant(f.to);
  if (start) filter.startTime = start;
  if (end) filter.endTime = end;
  return filter;
}

/**
 * The filters as WatchTransfers takes them. It does not know times. And a transfer that is not INIT any more must leave a
 * list of those that are, so its change has to come.
 */
export function watchFilter({ startTime: _, endTime: __, ...filter }: ListFilter): TransferFilter {
  if (filter.status === Transfer_Status.INIT) delete filter.status;
  return filter;
}

/** Whether a transfer that passed watchFilter passes the whole filter. */
export function passes(filter: ListFilter, t: Transfer): boolean {
  if (filter.status && t.status !== filter.status) return false;
  if (filter.startTime && before(t.createTime, filter.startTime)) return false;
  return !filter.endTime || before(t.createTime, filter.endTime);
}

function before(a: Timestamp | undefined, b: Timestamp): boolean {
  if (!a) return false;
  return a.seconds === b.seconds ? a.nanos < b.nanos : a.seconds < b.seconds;
}
