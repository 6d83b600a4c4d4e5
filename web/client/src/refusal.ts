import { durationMs } from "@bufbuild/protobuf/wkt";
import { type Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import type { Transfer_ErrorReason } from "./gen/transfers/v1/transfer_pb.js";

/** Why the ledger refuses transfers, as it writes it: `INSUFFICIENT_FUNDS`, `ACCOUNT_FROZEN`, … */
export type TransferReason = Exclude<keyof typeof Transfer_ErrorReason, "ERROR_REASON_UNSPECIFIED">;

/** What the ledger says of a call that it did not do. */
export interface Refusal {
  /** A name for programs: one of a refused transfer, or one of the call, such as `ACCOUNT_NOT_FOUND`. */
  reason: TransferReason | (string & {});
  /** What else is known, by name: `transfer_id`, and what was seen and allowed, such as `available`. */
  metadata: Record<string, string>;
  /** The same as a sentence for people. */
  message: string;
  code: Code;
  /** The fields that were wrong, when reason is `INVALID_ARGUMENT`. */
  fields: { field: string; description: string }[];
  /** How long to wait before the same call may succeed, in milliseconds. Undefined: the server does not say. */
  retryAfter: number | undefined;
}

/**
 * Reads why the ledger did not do a call. Answers undefined for what is no answer of the ledger: above all when it could
 * not be reached, and nobody knows whether the call was done. Then repeat it, with the same transfer id.
 */
export function refusal(error: unknown): Refusal | undefined {
  if (!(error instanceof ConnectError)) return undefined;
  const info = error.findDetails(ErrorInfoSchema).find((detail) => detail.domain === "transfers");
  if (!info) return undefined;
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return {
    reason: info.reason,
    metadata: info.metadata,
    message: error.rawMessage,
    code: error.code,
    fields: error
      .findDetails(BadRequestSchema)
      .flatMap((request) =>
        request.fieldViolations.map(({ field, description }) => ({ field, description })),
      ),
    retryAfter: delay && durationMs(delay),
  };
}
