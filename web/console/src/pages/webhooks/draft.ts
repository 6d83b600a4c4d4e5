// What is typed for an endpoint: its address, what it is for, and which events it wants.
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  Event_Type,
  type EventFilterSchema,
  Transfer_Status,
  type WebhookEndpoint,
} from "internaltransfers-client";

export type TypeName = Exclude<keyof typeof Event_Type, "TYPE_UNSPECIFIED">;
export type StatusName = Exclude<keyof typeof Transfer_Status, "STATUS_UNSPECIFIED">;

/** What happens, in the words of people. */
export const typeWords: Record<TypeName, string> = {
  TRANSFER_CREATED: "Transfer made, or refused",
  TRANSFER_CHANGED: "Transfer changed",
  ACCOUNT_CREATED: "Account opened",
  ACCOUNT_CHANGED: "Account changed",
};

export const statusWords: Record<StatusName, string> = {
  INIT: "Pending",
  SUCCESS: "Succeeded",
  FAILED: "Failed",
};

export interface Draft {
  url: string;
  description: string;
  /** Empty lists pass everything. */
  types: TypeName[];
  statuses: StatusName[];
  currencies: string[];
  accounts: string[];
}

export const emptyDraft: Draft = {
  url: "",
  description: "",
  types: [],
  statuses: [],
  currencies: [],
  accounts: [],
};

/** The endpoint as it is, to be changed. */
export function draftOf(endpoint: WebhookEndpoint): Draft {
  const { filter } = endpoint;
  return {
    url: endpoint.url,
    description: endpoint.description,
    types: (filter?.types ?? []).map((type) => Event_Type[type] as TypeName),
    statuses: (filter?.statuses ?? []).map((status) => Transfer_Status[status] as StatusName),
    currencies: filter?.currencies ?? [],
    accounts: filter?.accountIds ?? [],
  };
}

/** The filter as the API takes it. */
export function filterOf(draft: Draft): MessageInitShape<typeof EventFilterSchema> {
  return {
    types: draft.types.map((name) => Event_Type[name]),
    statuses: draft.statuses.map((name) => Transfer_Status[name]),
    currencies: draft.currencies,
    accountIds: draft.accounts.filter((id) => id !== ""),
  };
}

/** What is wrong with the address as far as can be seen here; undefined: nothing. */
export function urlProblem(text: string): string | undefined {
  if (text.trim() === "") return "Enter the address that takes the events.";
  let url: URL;
  try {
    url = new URL(text.trim());
  } catch {
    return "Enter a whole address, such as https://example.com/hooks.";
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") return "Use https, or http.";
  if (url.username || url.password) return "Leave out user and password: messages are signed.";
  return undefined;
}
