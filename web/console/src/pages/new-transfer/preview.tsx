import { useQuery } from "@connectrpc/connect-query";
import { keepPreviousData, skipToken } from "@tanstack/react-query";
import { type CreateTransferRequest, type Transfer, TransferService } from "internaltransfers-client";
import { useEffect, useState } from "react";
import { describeError } from "../../lib/errors";
import { isZero } from "../../lib/money";
import { explainRefusal } from "../../lib/reasons";
import type { CheckedPayment } from "../../parts/pay-fields";
import { Amount, accountName, Card, Details, IdText, Notice, Skeleton, Time } from "../../ui";

/** How long nobody may change anything before it is tried, in milliseconds. */
const pause = 350;

/** What would happen: the ledger tries the transfer without making it. */
export function Preview({
  request,
  checked,
  id,
}: {
  request: CreateTransferRequest | undefined;
  checked: CheckedPayment;
  id: string;
}) {
  const { settled, waiting } = useSettled(request);
  const query = useQuery(
    TransferService.method.createTransfer,
    settled ? { ...settled, validateOnly: true } : skipToken,
    { placeholderData: keepPreviousData, staleTime: 1_000, gcTime: 10_000, retry: false },
  );
  return (
    <Card title="What would happen">
      <div
        className="stack"
        aria-live="polite"
        aria-busy={request !== undefined && (waiting || query.isFetching)}
      >
        {request === undefined ? (
          <p className="muted">
            Choose both accounts and an amount, and the ledger says here what would happen. Nothing moves
            until you say so.
          </p>
        ) : query.error ? (
          <Would error={query.error} />
        ) : query.data?.transfer ? (
          <Result t={query.data.transfer} checked={checked} />
        ) : (
          <Skeleton lines={3} />
        )}
        <Details items={[["Id", <IdText key="id" id={id} label="transfer id" />]]} />
      </div>
    </Card>
  );
}

function Would({ error }: { error: unknown }) {
  const why = explainRefusal(error);
  if (why) {
    return (
      <Notice
        tone="bad"
        title={`Would be refused: ${why.title.charAt(0).toLowerCase()}${why.title.slice(1)}`}
      >
        <p>{why.text}</p>
        {why.advice && <p>{why.advice}</p>}
      </Notice>
    );
  }
  const problem = describeError(error);
  const fields = Object.values(problem.fields);
  return (
    <Notice tone="warn" title={problem.title}>
      {fields.length > 0 ? fields.map((text) => <p key={text}>{text}</p>) : <p>{problem.text}</p>}
    </Notice>
  );
}

function Result({ t, checked: { payer, payee } }: { t: Transfer; checked: CheckedPayment }) {
  const held = t.heldAmount !== undefined && !isZero(t.heldAmount);
  const later = t.executeTime !== undefined;
  const money = <Amount value={t.amount} currency={t.currency} strong />;
  return (
    <>
      <Notice
        tone="good"
        title={
          held
            ? "The money would be held"
            : later
              ? "The transfer would be scheduled"
              : "The money would move"
        }
      >
        <p>
          {money} from {payer ? accountName(payer) : "the payer"} to{" "}
          {payee ? accountName(payee) : "the payee"}
          {later && (
            <>
              , <Time value={t.executeTime} />
            </>
          )}
          .
        </p>
      </Notice>
      {!later && (
        <Details
          items={[
            t.requestedAmount !== undefined && [
              "Asked for, at most",
              <Amount key="asked" value={t.requestedAmount} currency={t.currency} />,
            ],
            [
              held ? "Payer's balance stays" : "Payer's balance after",
              <Amount key="from" value={t.fromBalance} currency={t.currency} />,
            ],
            [
              held ? "Payee's balance stays" : "Payee's balance after",
              <Amount key="to" value={t.toBalance} currency={t.currency} />,
            ],
            t.expireTime && ["Released by itself", <Time key="expires" value={t.expireTime} as="relative" />],
          ]}
        />
      )}
    </>
  );
}

/** The request when nobody has changed it for a while, and whether it is waited for. Each render makes another, equal one. */
function useSettled(request: CreateTransferRequest | undefined) {
  const key =
    request &&
    JSON.stringify(request, (_, value: unknown) => (typeof value === "bigint" ? value.toString() : value));
  const [settled, setSettled] = useState({ key, request });
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key is the request's value
  useEffect(() => {
    const timer = setTimeout(() => setSettled({ key, request }), pause);
    return () => clearTimeout(timer);
  }, [key]);
  return { settled: request && settled.request, waiting: key !== settled.key };
}
