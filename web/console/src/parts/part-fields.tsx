// What the dialogs that move a part of a transfer's money have in common.
import { Code, type ConnectError } from "@connectrpc/connect";
import { newTransferId } from "internaltransfers-client";
import { useState } from "react";
import { describeError } from "../lib/errors";
import { checkAmount, compareDecimals, decimalsOf, formatAmount } from "../lib/money";
import { Button, FormActions, TextField } from "../ui";

/**
 * An id for what is about to be made. It is the same for all attempts, so that the money moves once, until the ledger
 * has decided it: a refusal is for ever, and what is tried after it is something new.
 */
export function useAttemptId(): { id: string; decided: (error: ConnectError) => void } {
  const [id, setId] = useState(newTransferId);
  const decided = (error: ConnectError) => {
    if (error.code === Code.FailedPrecondition || error.code === Code.Aborted) setId(newTransferId());
  };
  return { id, decided };
}

/** A part of what is left, as typed. Empty: all of it. */
export function usePart(
  text: string,
  left: string,
  currency: string,
): { value: string; problem: string | undefined } {
  if (text.trim() === "") return { value: "", problem: undefined };
  const checked = checkAmount(text, decimalsOf(left), { sign: "positive", currency });
  if (!checked.ok) return { value: "", problem: checked.message };
  if (compareDecimals(checked.value, left) > 0)
    return { value: "", problem: `Only ${formatAmount(left, { currency })} is left.` };
  return { value: checked.value, problem: undefined };
}

/** A field for a part of what is left. */
export function AmountPart({
  label,
  amount,
  onChange,
  left,
  currency,
  problem,
  error,
}: {
  label: string;
  amount: string;
  onChange: (text: string) => void;
  left: string;
  currency: string;
  problem: string | undefined;
  error: ConnectError | null;
}) {
  return (
    <TextField
      label={label}
      numeric
      suffix={currency}
      placeholder={left}
      hint="Leave it empty for all that is left."
      error={problem ?? (error ? describeError(error).fields.amount : undefined)}
      value={amount}
      onChange={onChange}
    />
  );
}

/** The buttons of a dialog. */
export function Submit({
  label,
  keep = "Cancel",
  danger = false,
  busy,
  onClose,
}: {
  label: string;
  keep?: string;
  danger?: boolean;
  busy: boolean;
  onClose: () => void;
}) {
  return (
    <FormActions>
      <Button onClick={onClose}>{keep}</Button>
      <Button type="submit" kind={danger ? "danger" : "primary"} busy={busy}>
        {label}
      </Button>
    </FormActions>
  );
}
