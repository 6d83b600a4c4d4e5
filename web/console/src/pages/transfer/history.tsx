import { Code } from "@connectrpc/connect";
import { useQuery } from "@connectrpc/connect-query";
import {
  type Event,
  Event_Type,
  LedgerService,
  type Transfer,
  Transfer_Kind,
  Transfer_Status,
} from "internaltransfers-client";
import { reasonTitle } from "../../lib/errors";
import { formatAmount, isZero, subtractDecimals } from "../../lib/money";
import { Card, ErrorNotice, Skeleton, Time } from "../../ui";
import styles from "./history.module.css";

/** What happened to the transfer, from its beginning. */
export function History({ id }: { id: string }) {
  const query = useQuery(LedgerService.method.listEvents, { transferId: id, pageSize: 1000 });
  if (query.error?.code === Code.Unimplemented) return null;
  const events = query.data?.events ?? [];
  return (
    <Card title="History">
      {query.error && !query.data ? (
        <ErrorNotice error={query.error} onRetry={() => void query.refetch()} />
      ) : query.isPending ? (
        <Skeleton lines={2} />
      ) : (
        <ol className={styles.history}>
          {events.map((event, i) => (
            <li key={event.cursor} data-status={Transfer_Status[event.transfer?.status ?? 0]}>
              <span className={styles.what}>{sentence(event, events[i - 1]?.transfer)}</span>
              <span className={styles.when}>
                <Time value={event.eventTime} />
              </span>
            </li>
          ))}
          {events.length === 0 && <li>It is from before the ledger kept events.</li>}
        </ol>
      )}
    </Card>
  );
}

/** What an event says that the one before did not. */
export function sentence(event: Event, before: Transfer | undefined): string {
  const t = event.transfer;
  if (!t) return "Changed";
  if (event.type === Event_Type.TRANSFER_CREATED) return created(t);
  const money = (value: string) => formatAmount(value, { currency: t.currency });
  const captured = difference(t.postedAmount, before?.postedAmount);
  const reversed = difference(t.reversedAmount, before?.reversedAmount);
  if (reversed) return `${money(reversed)} moved back`;
  if (t.status === Transfer_Status.FAILED) return reasonTitle(t.errorReason ?? 0);
  if (captured)
    return t.status === Transfer_Status.SUCCESS
      ? `${money(captured)} captured, and final`
      : `${money(captured)} captured`;
  if (t.kind === Transfer_Kind.SCHEDULED && t.status === Transfer_Status.SUCCESS) return "Executed";
  return "Changed";
}

function created(t: Transfer): string {
  if (t.status === Transfer_Status.FAILED) return `Refused: ${reasonTitle(t.errorReason ?? 0).toLowerCase()}`;
  switch (t.kind) {
    case Transfer_Kind.HOLD:
      return `${formatAmount(t.amount, { currency: t.currency })} held`;
    case Transfer_Kind.SCHEDULED:
      return "Scheduled";
    default:
      return `${formatAmount(t.amount, { currency: t.currency })} moved`;
  }
}

/** How much an amount that only grows has grown; empty: not at all. */
function difference(now: string | undefined, before: string | undefined): string {
  if (now === undefined) return "";
  const grown = before === undefined ? now : subtractDecimals(now, before);
  return isZero(grown) ? "" : grown;
}
