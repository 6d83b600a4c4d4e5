import { type Transfer, Transfer_Kind, Transfer_Status } from "internaltransfers-client";
import { useEffect, useRef } from "react";
import { formatAmount } from "../../lib/money";
import { explainTransfer } from "../../lib/reasons";
import { AccountName } from "../../parts/account-name";
import { TransferState } from "../../parts/transfer-columns";
import { Amount, Button, ButtonLink, Card, Details, IdText, Notice, Time } from "../../ui";
import styles from "./new-transfer.module.css";

/** What became of the transfer. It is the same after a reload: it is read by the id in the address. */
export function Outcome({
  transfer: t,
  onAnother,
  onAgain,
}: {
  transfer: Transfer;
  onAnother: () => void;
  onAgain: () => void;
}) {
  const ref = useRef<HTMLDivElement>(null);
  useEffect(() => ref.current?.focus(), []);
  const failed = t.status === Transfer_Status.FAILED;
  const why = failed ? explainTransfer(t) : undefined;
  return (
    <div ref={ref} tabIndex={-1} className={styles.outcome} role={failed ? "alert" : "status"}>
      <Card>
        <div className="stack">
          <Notice
            tone={failed ? "bad" : "good"}
            title={why ? `Refused: ${why.title.charAt(0).toLowerCase()}${why.title.slice(1)}` : done(t)}
          >
            {why && <p>{why.text}</p>}
            {why?.advice && <p>{why.advice}</p>}
            {why && <p>No money moved. The refusal is on record, so another try is a transfer of its own.</p>}
          </Notice>
          <Details
            items={[
              ["Amount", <Amount key="amount" value={t.amount} currency={t.currency} strong />],
              ["From", <AccountName key="from" id={t.fromAccountId} />],
              ["To", <AccountName key="to" id={t.toAccountId} />],
              ["Status", <TransferState key="status" transfer={t} />],
              t.requestedAmount !== undefined && [
                "Asked for, at most",
                <Amount key="asked" value={t.requestedAmount} currency={t.currency} />,
              ],
              t.executeTime && ["Due", <Time key="due" value={t.executeTime} />],
              t.expireTime && ["Expires", <Time key="expires" value={t.expireTime} />],
              t.reference !== "" && ["Reference", t.reference],
              ["Made", <Time key="made" value={t.createTime} />],
              [
                "Id",
                <IdText key="id" id={t.transferId} href={`/transfers/${t.transferId}`} label="transfer id" />,
              ],
            ]}
          />
          <div className={`row ${styles.next}`}>
            <ButtonLink href={`/transfers/${t.transferId}`}>
              {failed ? "See the record" : "See the transfer"}
            </ButtonLink>
            {failed && (
              <Button kind="primary" needs="transfers.create" onClick={onAgain}>
                Change it and try again
              </Button>
            )}
            <Button kind={failed ? "plain" : "primary"} needs="transfers.create" onClick={onAnother}>
              Make another
            </Button>
          </div>
        </div>
      </Card>
    </div>
  );
}

function done(t: Transfer): string {
  const money = formatAmount(t.amount, { currency: t.currency });
  if (t.kind === Transfer_Kind.HOLD)
    return t.status === Transfer_Status.INIT ? `${money} is held` : "The hold is over";
  if (t.kind === Transfer_Kind.SCHEDULED)
    return t.status === Transfer_Status.INIT ? `${money} is scheduled` : `${money} moved`;
  return `${money} moved`;
}
