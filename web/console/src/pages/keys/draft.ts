// What is typed for a new key: its name, its role, where it may be used from, and until when.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type ApiKey, ApiKey_Status, type CreateApiKeyRequestSchema } from "internaltransfers-client";
import { fromDate, toDate } from "../../lib/time";

/** The roles, and what each may do in a line. */
export const roles = {
  viewer: "Reads accounts, transfers, schedules and events.",
  auditor: "Reads what a viewer does, and webhooks and the audit; proves the ledger.",
  sender: "Makes transfers, captures and voids holds, keeps schedules.",
  operator: "Opens and changes accounts, sets limits; captures, voids and reverses.",
  treasurer: "What an operator may; also makes and imports transfers, issues money, proves the ledger.",
  developer: "Reads what a viewer does, and keeps webhooks.",
  admin: "Manages keys, and moves no money.",
} as const;

export type Role = keyof typeof roles;

/** For how long a key is good. */
export const terms = [
  { value: "never", label: "For ever" },
  { value: "1", label: "1 day" },
  { value: "7", label: "7 days" },
  { value: "30", label: "30 days" },
  { value: "90", label: "90 days" },
  { value: "365", label: "1 year" },
  { value: "until", label: "Until a time" },
] as const;

export interface Draft {
  name: string;
  role: Role | "";
  term: (typeof terms)[number]["value"];
  /** With the term "until": when it ends, as a field for local time has it. */
  until: string;
  /** As typed: parted by commas, spaces or lines. Empty: any. */
  networks: string;
}

export const emptyDraft: Draft = { name: "", role: "", term: "90", until: "", networks: "" };

/** What is wrong with the draft, by the fields' names in the API. */
export function draftProblems(draft: Draft, now: Date): Record<string, string> {
  const problems: Record<string, string> = {};
  if (draft.name.trim() === "") problems.display_name = "Enter a name that tells the key from others.";
  if (draft.role === "") problems.role = "Choose what the key may do.";
  if (draft.term === "until" && !(new Date(draft.until).getTime() > now.getTime()))
    problems.expire_time = "Choose a time in the future.";
  return problems;
}

/** The networks that were typed. */
export function networksOf(text: string): string[] {
  return text.split(/[\s,;]+/).filter((network) => network !== "");
}

const dayMs = 86_400_000;

/** The call that a sound draft asks for. */
export function requestOf(draft: Draft, now: Date): MessageInitShape<typeof CreateApiKeyRequestSchema> {
  const request: MessageInitShape<typeof CreateApiKeyRequestSchema> = {
    displayName: draft.name.trim(),
    role: draft.role,
    networks: networksOf(draft.networks),
  };
  if (draft.term === "until") request.expireTime = fromDate(new Date(draft.until));
  else if (draft.term !== "never")
    request.expireTime = fromDate(new Date(now.getTime() + Number(draft.term) * dayMs));
  return request;
}

/** What the server said of the networks, which it names one by one, such as networks[1]. */
export function networksProblem(fields: Record<string, string>): string | undefined {
  return Object.entries(fields).find(([field]) => /^networks\b/.test(field))?.[1];
}

/** Whether a key can be used. */
export function standingOf(key: ApiKey, now: number): "active" | "expired" | "revoked" {
  if (key.status === ApiKey_Status.REVOKED) return "revoked";
  return key.expireTime && toDate(key.expireTime).getTime() <= now ? "expired" : "active";
}

/** What a key may do, in a word: its role, and how much beside it. */
export function roleText({ role, grants }: ApiKey): string {
  const beside = new Set(grants.flatMap(({ permissions }) => permissions)).size;
  if (beside === 0) return role;
  const more = `${beside} ${beside === 1 ? "permission" : "permissions"}`;
  return role === "" ? more : `${role} and ${more}`;
}
