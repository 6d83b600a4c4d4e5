import { Code, type ConnectError } from "@connectrpc/connect";
import { useQuery } from "@connectrpc/connect-query";
import {
  type Transfer as Message,
  Transfer_ErrorReason,
  Transfer_Kind,
  Transfer_Status,
  TransferService,
} from "internaltransfers-client";
import { useState } from "react";
import { sentence } from "../../lib/errors";
import { formatAmount, groupThousands } from "../../lib/money";
import { explainTransfer } from "../../lib/reasons";
import { queryClient } from "../../lib/rpc";
import { usePolling, useTransferTail } from "../../lib/stream";
import { AccountName } from "../../parts/account-name";
import { TailStatus } from "../../parts/tail-status";
import { TransferState } from "../../parts/transfer-columns";
import {
  Button,
  ButtonLink,
  Card,
  Columns,
  Details,
  EmptyState,
  ErrorNotice,
  IdText,
  kindName,
  Notice,
  PageHeader,
  Skeleton,
  Time,
} from "../../ui";
import { Act } from "./actions";
import { Family } from "./family";
import { Flow } from "./flow";
import { History } from "./history";
import { type Action, actionsOf, hasExpired, needed } from "./offers";

/** How often to look at a transfer that may end by itself, in milliseconds: that has no event of its children. */
const pendingInterval = 3_000;

/** One transfer with all that is known of it, and what can be done about it. */
export function Transfer({ id }: { id: string }) {
  const query = useQuery(
    TransferService.method.getTransfer,
    { transferId: id },
    {
      refetchInterval: ({ state }) =>
        state.data?.transfer?.status === Transfer_Status.INIT ? pendingInterval : false,
    },
  );
  const { state } = useTransferTail(
    { parentTransferId: id },
    {
      enabled: query.isSuccess,
      onMessage: (message, begins) => {
        if (begins || message.events.length > 0) void queryClient.invalidateQueries();
      },
    },
  );
  usePolling(state, () => void queryClient.invalidateQueries());
  const back = { href: "/transfers", label: "Transfers" };
  const t = query.data?.transfer;
  if (!t) {
    return (
      <>
        <PageHeader title="Transfer" back={back} lead={<IdText id={id} full label="transfer id" />} />
        {query.error ? (
          <Missing error={query.error} onRetry={() => void query.refetch()} />
        ) : (
          <Skeleton lines={8} />
        )}
      </>
    );
  }
  return <Loaded t={t} back={back} live={<TailStatus state={state} />} />;
}

function Missing({ error, onRetry }: { error: ConnectError; onRetry: () => void }) {
  if (error.code !== Code.NotFound && error.code !== Code.InvalidArgument)
    return <ErrorNotice error={error} onRetry={onRetry} />;
  return (
    <EmptyState
      title="There is no such transfer"
      action={<ButtonLink href="/transfers">See all transfers</ButtonLink>}
    >
      {error.code === Code.NotFound
        ? "The ledger has no transfer with this id. If it was made just now, its call may still be under way."
        : "What is in the address is no id of a transfer: that would be a UUID."}
    </EmptyState>
  );
}

function Loaded({
  t,
  back,
  live,
}: {
  t: Message;
  back: { href: string; label: string };
  live: React.ReactNode;
}) {
  const [action, setAction] = useState<Action>();
  const actions = actionsOf(t);
  return (
    <>
      <PageHeader
        title={`${t.kind === Transfer_Kind.SCHEDULED ? "Scheduled transfer" : kindName(t.kind)} of ${formatAmount(t.amount, t.currency ? { currency: t.currency } : {})}`}
        back={back}
        lead={
          <span className="row">
            <TransferState transfer={t} />
            <IdText id={t.transferId} full label="transfer id" />
            {live}
          </span>
        }
        actions={actions.map(({ action, label, kind }) => (
          <Button key={action} kind={kind} needs={needed[action]} onClick={() => setAction(action)}>
            {label}
          </Button>
        ))}
      />
      <div className="stack">
        <Outcome t={t} />
        <Columns split="main">
          <div className="stack">
            <Flow t={t} />
            <Family t={t} />
          </div>
          <div className="stack">
            <Facts t={t} />
            <Data t={t} />
            <History id={t.transferId} />
          </div>
        </Columns>
      </div>
      {action && <Act key={action} action={action} t={t} onClose={() => setAction(undefined)} />}
    </>
  );
}

/** Why the transfer failed, or what it waits for. */
function Outcome({ t }: { t: Message }) {
  if (t.status === Transfer_Status.FAILED) {
    const why = explainTransfer(t);
    const quiet =
      t.errorReason === Transfer_ErrorReason.VOIDED || t.errorReason === Transfer_ErrorReason.HOLD_EXPIRED;
    return (
      <Notice tone={quiet ? "neutral" : "bad"} title={why.title} action={<Again t={t} />}>
        <p>{why.text}</p>
        {why.advice && <p>{why.advice}</p>}
      </Notice>
    );
  }
  if (t.status !== Transfer_Status.INIT) return null;
  if (hasExpired(t)) {
    return (
      <Notice tone="neutral" title="The hold has expired">
        <p>Nothing is reserved any more. What was captured before stays moved.</p>
      </Notice>
    );
  }
  return (
    <Notice
      tone="info"
      title={t.kind === Transfer_Kind.HOLD ? "The money is held" : "The transfer is scheduled"}
    >
      <p>
        {t.kind === Transfer_Kind.HOLD ? (
          t.expireTime ? (
            <>
              It is reserved until it is captured or released, and is released by itself{" "}
              <Time value={t.expireTime} as="relative" />.
            </>
          ) : (
            "It is reserved until it is captured or released."
          )
        ) : (
          <>
            The money moves <Time value={t.executeTime} as="relative" />. Funds are checked then.
          </>
        )}
      </p>
    </Notice>
  );
}

/** The same again, as a new transfer. */
function Again({ t }: { t: Message }) {
  if (
    t.kind === Transfer_Kind.CAPTURE ||
    t.kind === Transfer_Kind.REVERSAL ||
    t.kind === Transfer_Kind.EXECUTION
  )
    return null;
  const params = new URLSearchParams({
    from: t.fromAccountId,
    to: t.toAccountId,
    amount: t.requestedAmount ?? t.amount,
  });
  if (t.reference) params.set("reference", t.reference);
  return (
    <ButtonLink small href={`/new-transfer?${params}`} needs="transfers.create">
      Make it again
    </ButtonLink>
  );
}

/** All fields. */
function Facts({ t }: { t: Message }) {
  return (
    <Card title="Details">
      <Details
        items={[
          ["Kind", kindName(t.kind)],
          ["Made", <Time key="made" value={t.createTime} />],
          t.version > 1n && ["Last change", <Time key="changed" value={t.updateTime} />],
          t.effectiveTime && ["Counts from", <Time key="effective" value={t.effectiveTime} />],
          t.executeTime && ["Due", <Time key="due" value={t.executeTime} />],
          t.expireTime && ["Expires", <Time key="expires" value={t.expireTime} />],
          ["Reference", t.reference || <span className="muted">None</span>],
          t.parentTransferId !== "" && [
            "Of transfer",
            <IdText
              key="parent"
              id={t.parentTransferId}
              href={`/transfers/${t.parentTransferId}`}
              label="id of the transfer"
            />,
          ],
          t.groupId !== "" && [
            "Group",
            <IdText key="group" id={t.groupId} href={`/transfers?group=${t.groupId}`} label="group id" />,
          ],
          t.status === Transfer_Status.FAILED && [
            "Reason",
            <code key="reason">{Transfer_ErrorReason[t.errorReason ?? 0]}</code>,
          ],
          ...Object.entries(t.errorMetadata).map(
            ([name, value]) =>
              [sentence(name), <FigureValue key={name} name={name} value={value} />] as const,
          ),
          ["Version", String(t.version)],
        ]}
      />
    </Card>
  );
}

/** The caller's own data. */
function Data({ t }: { t: Message }) {
  const pairs = Object.entries(t.metadata);
  if (pairs.length === 0) return null;
  return (
    <Card title="Data">
      <Details items={pairs} />
    </Card>
  );
}

function FigureValue({ name, value }: { name: string; value: string }) {
  if (name.endsWith("account_id")) return <AccountName id={value} />;
  return <span className="num">{groupThousands(value)}</span>;
}
