import { type Transfer, Transfer_Kind, Transfer_Status } from "internaltransfers-client";
import { isZero } from "../../lib/money";
import { AccountName } from "../../parts/account-name";
import { Amount, Card, Figure, Figures, Icon } from "../../ui";
import styles from "./flow.module.css";

/** From where to where how much, and what it left on both sides. */
export function Flow({ t }: { t: Transfer }) {
  const moved =
    t.status === Transfer_Status.SUCCESS &&
    t.kind !== Transfer_Kind.HOLD &&
    t.kind !== Transfer_Kind.SCHEDULED;
  const note = moved ? "Balance after" : "Balance then";
  return (
    <Card>
      <div className={styles.flow}>
        <Side title="From" id={t.fromAccountId} balance={t.fromBalance} note={note} currency={t.currency} />
        <div className={styles.amount} data-moved={moved}>
          <Amount value={t.amount} currency={t.currency} strong />
          <Icon name="right" size={20} />
        </div>
        <Side title="To" id={t.toAccountId} balance={t.toBalance} note={note} currency={t.currency} />
      </div>
      <Parts t={t} />
    </Card>
  );
}

function Side({
  title,
  id,
  balance,
  note,
  currency,
}: {
  title: string;
  id: string;
  balance: string | undefined;
  note: string;
  currency: string;
}) {
  return (
    <div className={styles.side}>
      <div className="muted">{title}</div>
      <div className={styles.name}>
        <AccountName id={id} />
      </div>
      <div className={styles.balance}>
        {balance === undefined ? (
          "There is no such account"
        ) : (
          <>
            {note} <Amount value={balance} currency={currency} />
          </>
        )}
      </div>
    </div>
  );
}

/** What became of the amount. */
function Parts({ t }: { t: Transfer }) {
  const parts: [string, string][] = [];
  if (t.requestedAmount !== undefined) parts.push(["Asked for, at most", t.requestedAmount]);
  if (t.upToFloor !== undefined) parts.push(["Down to", t.upToFloor]);
  if (t.postedAmount !== undefined) parts.push(["Captured", t.postedAmount]);
  if (t.heldAmount !== undefined) parts.push(["Still held", t.heldAmount]);
  if (t.reversedAmount !== undefined && !isZero(t.reversedAmount))
    parts.push(["Moved back", t.reversedAmount]);
  if (parts.length === 0) return null;
  return (
    <div className={styles.parts}>
      <Figures>
        {parts.map(([label, value]) => (
          <Figure key={label} label={label}>
            <Amount value={value} currency={t.currency} />
          </Figure>
        ))}
      </Figures>
    </div>
  );
}
