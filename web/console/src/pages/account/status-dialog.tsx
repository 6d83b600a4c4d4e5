import { useMutation } from "@tanstack/react-query";
import { type Account, Account_Status } from "internaltransfers-client";
import { useState } from "react";
import { formatAmount, isZero } from "../../lib/money";
import { clients, queryClient } from "../../lib/rpc";
import { useSingle } from "../../lib/single";
import { accountName, Button, Dialog, Form, FormActions, Notice, toast } from "../../ui";
import { changeAccount } from "./change";
import { ChangeError } from "./change-error";
import { showAccount } from "./use-account";

export type StatusChange = "freeze" | "open" | "close";

const changes = {
  freeze: {
    status: Account_Status.FROZEN,
    title: "Freeze the account",
    lead: "No money will move in or out, captures of holds included, until it is unfrozen. What is held stays held.",
    button: "Freeze",
    danger: true,
    done: "is frozen",
  },
  open: {
    status: Account_Status.OPEN,
    title: "Unfreeze the account",
    lead: "Money will move in and out again.",
    button: "Unfreeze",
    danger: false,
    done: "is open again",
  },
  close: {
    status: Account_Status.CLOSED,
    title: "Close the account",
    lead: "No money will move, for ever: a closed account cannot be opened again. What happened stays on record.",
    button: "Close for ever",
    danger: true,
    done: "is closed",
  },
} as const;

/** Asks whether to freeze, unfreeze or close an account, and does it. */
export function StatusDialog({
  account,
  change,
  onClose,
}: {
  account: Account;
  change: StatusChange | undefined;
  onClose: () => void;
}) {
  // While the dialog goes away it still says what it said.
  const [last, setLast] = useState<StatusChange>("freeze");
  if (change && change !== last) setLast(change);
  const { title, lead } = changes[change ?? last];
  return (
    <Dialog open={change !== undefined} onClose={onClose} title={title} lead={lead}>
      <StatusForm account={account} change={change ?? last} onClose={onClose} />
    </Dialog>
  );
}

function StatusForm({
  account,
  change,
  onClose,
}: {
  account: Account;
  change: StatusChange;
  onClose: () => void;
}) {
  const { status, button, danger, done } = changes[change];
  // What the reader saw when they decided: the account may go on changing behind the dialog.
  const [seen, setSeen] = useState(account);
  const update = useMutation({
    mutationFn: () => changeAccount(clients.accounts, seen, { status }, ["status"]),
    onSuccess: (now) => {
      showAccount(now);
      void queryClient.invalidateQueries();
      toast(`${accountName(now)} ${done}.`);
      onClose();
    },
  });
  const left = change === "close" ? whatIsLeft(account) : undefined;
  const submit = useSingle(async () => left || (await update.mutateAsync()));
  return (
    <Form onSubmit={submit}>
      {left && (
        <Notice tone="warn" title="Only an empty account can be closed">
          {left}
        </Notice>
      )}
      <ChangeError
        error={update.error}
        onLookAgain={(now) => {
          setSeen(now);
          update.reset();
        }}
      />
      <FormActions>
        <Button onClick={onClose}>Cancel</Button>
        <Button
          type="submit"
          kind={danger ? "danger" : "primary"}
          busy={update.isPending}
          disabled={left !== undefined}
        >
          {button}
        </Button>
      </FormActions>
    </Form>
  );
}

/** Why the account cannot be closed, in words, or undefined. */
function whatIsLeft({ balance, held, incoming, currency }: Account): string | undefined {
  const amount = (value: string) => formatAmount(value, { currency });
  const left = [
    !isZero(balance) && `its balance is ${amount(balance)}`,
    !isZero(held) && `${amount(held)} is held`,
    !isZero(incoming) && `${amount(incoming)} is incoming`,
  ].filter(Boolean);
  return left.length > 0 ? `Now ${left.join(", ")}.` : undefined;
}
