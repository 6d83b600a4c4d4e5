// What can be done with a hold or a scheduled transfer: capture it, void or cancel it.
import { useMutation } from "@connectrpc/connect-query";
import { type Transfer, Transfer_Kind, TransferService } from "internaltransfers-client";
import { useState } from "react";
import { formatAmount } from "../lib/money";
import { queryClient } from "../lib/rpc";
import { CheckField, Dialog, Form, TextField, toast } from "../ui";
import { AmountPart, Submit, useAttemptId, usePart } from "./part-fields";
import { Refused } from "./refused";

interface Props {
  hold: Transfer;
  open: boolean;
  onClose: () => void;
}

/** Asks how much of a hold to capture, and captures it. */
export function CaptureDialog({ hold, open, onClose }: Props) {
  // Who opens it again begins anew, with another id.
  return open && <Capture hold={hold} onClose={onClose} />;
}

function Capture({ hold: t, onClose }: { hold: Transfer; onClose: () => void }) {
  const left = t.heldAmount ?? t.amount;
  const [amount, setAmount] = useState("");
  const [final, setFinal] = useState(true);
  const [reference, setReference] = useState("");
  const attempt = useAttemptId();
  const post = useMutation(TransferService.method.postTransfer, {
    onSuccess: (answer) => {
      toast(`${formatAmount(answer.capture?.amount ?? "", { currency: t.currency })} captured.`);
      void queryClient.invalidateQueries();
      onClose();
    },
    onError: (error) => {
      attempt.decided(error);
      void queryClient.invalidateQueries();
    },
  });
  const part = usePart(amount, left, t.currency);
  return (
    <Dialog
      open
      onClose={onClose}
      title="Capture the hold"
      lead={`Moves money that is held. ${formatAmount(left, { currency: t.currency })} is left.`}
    >
      <Form
        onSubmit={() => {
          if (part.problem || post.isPending) return;
          post.mutate({
            transferId: t.transferId,
            captureId: attempt.id,
            amount: part.value,
            final,
            reference,
          });
        }}
      >
        <AmountPart
          label="Amount"
          amount={amount}
          onChange={setAmount}
          left={left}
          currency={t.currency}
          problem={part.problem}
          error={post.error}
        />
        <CheckField
          label="Release what is left"
          hint="The hold is final then. Otherwise more can be captured later."
          checked={final || part.value === ""}
          disabled={part.value === ""}
          onChange={setFinal}
        />
        <TextField
          label="Reference"
          optional
          maxLength={200}
          placeholder={t.reference}
          value={reference}
          onChange={setReference}
        />
        <Refused error={post.error} />
        <Submit label="Capture" busy={post.isPending} onClose={onClose} />
      </Form>
    </Dialog>
  );
}

/** Asks whether to void a hold, or to cancel a scheduled transfer, and does it. */
export function ReleaseDialog({ hold, open, onClose }: Props) {
  return open && <Release hold={hold} onClose={onClose} />;
}

function Release({ hold: t, onClose }: { hold: Transfer; onClose: () => void }) {
  const scheduled = t.kind === Transfer_Kind.SCHEDULED;
  const money = formatAmount(t.heldAmount ?? t.amount, { currency: t.currency });
  const end = useMutation(TransferService.method.voidTransfer, {
    onSuccess: () => {
      toast(scheduled ? "The transfer is cancelled." : `${money} released.`);
      void queryClient.invalidateQueries();
      onClose();
    },
    onError: () => void queryClient.invalidateQueries(),
  });
  return (
    <Dialog
      open
      onClose={onClose}
      title={scheduled ? "Cancel the transfer?" : "Void the hold?"}
      lead={
        scheduled
          ? `${money} will not be moved. This is for ever.`
          : `${money} is released and available to the payer again. What was captured before stays moved. This is for ever.`
      }
    >
      <Form onSubmit={() => end.isPending || end.mutate({ transferId: t.transferId })}>
        <Refused error={end.error} />
        <Submit
          label={scheduled ? "Cancel transfer" : "Void hold"}
          keep="Keep it"
          danger
          busy={end.isPending}
          onClose={onClose}
        />
      </Form>
    </Dialog>
  );
}
