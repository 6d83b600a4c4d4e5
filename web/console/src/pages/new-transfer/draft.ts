// What is typed for a new transfer, under the id that the transfer will have. It outlives a reload of the page, so that
// the same transfer is asked for again, and not another one.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type CreateTransferRequest, CreateTransferRequestSchema } from "internaltransfers-client";
import { session } from "../../lib/session";
import { metadataOf, type Pair, pairsAreSound } from "../../ui/metadata-field";

/** Move the money now, hold it, or move it later. */
export type Mode = "now" | "hold" | "later";

/** The unit of a hold's time; never: it does not end by itself. */
export type TtlUnit = "minutes" | "hours" | "days" | "never";

export interface Draft {
  from: string;
  to: string;
  amount: string;
  mode: Mode;
  ttl: string;
  ttlUnit: TtlUnit;
  /** When to move it, as a field for local time has it. */
  at: string;
  upTo: boolean;
  /** With upTo: what is left to the payer; empty: nothing. */
  floor: string;
  reference: string;
  metadata: Pair[];
  /** It was sent: whether it happened is to be found out. */
  sent: boolean;
}

const empty: Draft = {
  from: "",
  to: "",
  amount: "",
  mode: "now",
  ttl: "1",
  ttlUnit: "hours",
  at: "",
  upTo: false,
  floor: "",
  reference: "",
  metadata: [],
  sent: false,
};

/** A draft that begins with what a link says. */
export function draftFrom(params: URLSearchParams): Draft {
  const draft = { ...empty };
  for (const name of ["from", "to", "amount", "reference"] as const) draft[name] = params.get(name) ?? "";
  if (params.get("mode") === "hold" || params.get("mode") === "later")
    draft.mode = params.get("mode") as Mode;
  return draft;
}

const prefix = "new-transfer ";

/** The draft that was kept under the id in this tab. */
export function loadDraft(id: string): Draft | undefined {
  try {
    const text = sessionStorage.getItem(prefix + id);
    return text ? { ...empty, ...(JSON.parse(text) as Partial<Draft>) } : undefined;
  } catch {
    return undefined; // no storage, or somebody else's writing in it
  }
}

session.onForget(() => forgetDrafts());

function forgetDrafts(but?: string): void {
  try {
    for (const key of Object.keys(sessionStorage)) {
      if (key.startsWith(prefix) && key !== but) sessionStorage.removeItem(key);
    }
  } catch {
    // Without storage there are none.
  }
}

/** Keeps the draft, and no older ones. */
export function saveDraft(id: string, draft: Draft): void {
  try {
    forgetDrafts(prefix + id);
    sessionStorage.setItem(prefix + id, JSON.stringify(draft));
  } catch {
    // Without storage a reload asks for the transfer by its id all the same.
  }
}

const unitMs: Record<Exclude<TtlUnit, "never">, number> = {
  minutes: 60_000,
  hours: 3_600_000,
  days: 86_400_000,
};

/** What is wrong with all but the payment, by the fields' names in the API. */
export function draftProblems(draft: Draft): Record<string, string> {
  if (
    draft.mode === "hold" &&
    draft.ttlUnit !== "never" &&
    !(/^[0-9]{1,6}$/.test(draft.ttl) && Number(draft.ttl) > 0)
  ) {
    return { hold_ttl: "Use a whole number, 1 or more." };
  }
  if (draft.mode === "later" && Number.isNaN(new Date(draft.at).getTime()))
    return { execute_time: "Choose a time." };
  if (draft.upTo && !/^(-?[0-9]+(\.[0-9]+)?)?$/.test(floorOf(draft)))
    return { up_to_floor: "Use a number such as 20 or -50.5, or nothing." };
  // The field itself says what is wrong.
  if (!pairsAreSound(draft.metadata)) return { metadata: "" };
  return {};
}

function floorOf(draft: Draft): string {
  return draft.floor.trim().replace("\u2212", "-");
}

/** The call that a sound draft asks for, with its amount as it was checked. */
export function requestOf(draft: Draft, amount: string): CreateTransferRequest {
  const request: MessageInitShape<typeof CreateTransferRequestSchema> = {
    fromAccountId: draft.from,
    toAccountId: draft.to,
    amount,
    reference: draft.reference.trim(),
    metadata: metadataOf(draft.metadata),
    upTo: draft.upTo,
    hold: draft.mode === "hold",
  };
  if (draft.upTo && floorOf(draft) !== "") request.upToFloor = floorOf(draft);
  if (draft.mode === "hold" && draft.ttlUnit !== "never")
    request.holdTtl = durationFromMs(Number(draft.ttl) * unitMs[draft.ttlUnit]);
  if (draft.mode === "later") request.executeTime = timestampFromDate(new Date(draft.at));
  return create(CreateTransferRequestSchema, request);
}
