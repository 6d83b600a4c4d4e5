import { useMutation } from "@connectrpc/connect-query";
import { type Transfer, TransferService } from "internaltransfers-client";
import { useState } from "react";
import { formatAmount } from "../../lib/money";
import { usePermission } from "../../lib/permissions";
import { queryClient } from "../../lib/rpc";
import { CaptureDialog, ReleaseDialog } from "../../parts/hold-dialogs";
import { AmountPart, Submit, useAttemptId, usePart } from "../../parts/part-fields";
import { Refused } from "../../parts/refused";
import { CheckField, Dialog, Form, TextField, toast } from "../../ui";
import { type Action, reversible } from "./offers";

/** The dialog of an action. */
export function Act({ action, t, onClose }: { action: Action; t: Transfer; onClose: () => void }) {
  switch (action) {
    case "capture":
      return <CaptureDialog hold={t} open onClose={onClose} />;
    case "void":
      return <ReleaseDialog hold={t} open onClose={onClose} />;
    case "reverse":
      return <Reverse t={t} onClose={onClose} />;
  }
}

function Reverse({ t, onClose }: { t: Transfer; onClose: () => void }) {
  const left = reversible(t);
  const [amount, setAmount] = useState("");
  const [force, setForce] = useState(false);
  const [reference, setReference] = useState("");
  const attempt = useAttemptId();
  const reverse = useMutation(TransferService.method.reverseTransfer, {
    onSuccess: (answer) => {
      toast(`${formatAmount(answer.reversal?.amount ?? "", { currency: t.currency })} moved back.`);
      void queryClient.invalidateQueries();
      onClose();
    },
    onError: (error) => {
      attempt.decided(error);
      void queryClient.invalidateQueries();
    },
  });
  const mayNotForce = usePermission("transfers.force");
  const part = usePart(amount, left, t.currency);
  return (
    <Dialog
      open
      onClose={onClose}
      title="Reverse the transfer"
      lead={`Moves money back to the payer, as a transfer of its own. ${formatAmount(left, { currency: t.currency })} can be moved back.`}
    >
      <Form
        onSubmit={() => {
          if (part.problem || reverse.isPending) return;
          reverse.mutate({
            transferId: t.transferId,
            reversalId: attempt.id,
            amount: part.value,
            force,
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
          error={reverse.error}
        />
        <CheckField
          label="Force"
          hint={mayNotForce ?? "The account that pays the money back may go below its floor."}
          checked={force}
          disabled={mayNotForce !== undefined}
          onChange={setForce}
        />
        <TextField
          label="Reference"
          optional
          maxLength={200}
          placeholder={t.reference}
          value={reference}
          onChange={setReference}
        />
        <Refused error={reverse.error} />
        <Submit label="Reverse" busy={reverse.isPending} onClose={onClose} />
      </Form>
    </Dialog>
  );
}
