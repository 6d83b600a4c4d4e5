import { type Account, Account_Status, type Block, type Limit } from "internaltransfers-client";
import { type ReactNode, useState } from "react";
import { formatAmount } from "../../lib/money";
import { formatSeconds, plural } from "../../lib/time";
import { Amount, Badge, Button, Card, Details, Dialog, Nothing, Time } from "../../ui";
import styles from "./account.module.css";
import { PolicyForm } from "./policy-form";

/** What an account may do: its bounds, blocks and limits. */
export function PolicyCard({ account }: { account: Account }) {
  const [editing, setEditing] = useState(false);
  const { currency, minBalance, maxBalance, maxTransferAmount, debitBlock, creditBlock, limits } = account;
  // An equity account, which alone has no floor, has no policy.
  const fixed = minBalance === undefined || account.status === Account_Status.CLOSED;
  return (
    <Card
      title="Limits and policy"
      actions={
        !fixed && (
          <Button small needs={["accounts.write", "accounts.policy"]} onClick={() => setEditing(true)}>
            Edit<span className="sr-only"> limits and policy</span>
          </Button>
        )
      }
    >
      <div className={styles.values}>
        <Details
          items={[
            ["Floor", bound(minBalance, currency)],
            ["Ceiling", bound(maxBalance, currency)],
            ["Most per transfer", bound(maxTransferAmount, currency)],
            ["Payments out", blockState(debitBlock)],
            ["Payments in", blockState(creditBlock)],
            ["Rolling limits", limitList(limits, currency)],
          ]}
        />
      </div>
      <Dialog
        open={editing}
        onClose={() => setEditing(false)}
        title="Limits and policy"
        lead={`Amounts are in ${currency}. An empty ceiling or cap means that there is none.`}
      >
        <PolicyForm account={account} onClose={() => setEditing(false)} />
      </Dialog>
    </Card>
  );
}

function bound(value: string | undefined, currency: string): ReactNode {
  return value === undefined ? <Nothing /> : <Amount value={value} currency={currency} />;
}

function blockState(block: Block | undefined): ReactNode {
  if (!block) return "Allowed";
  return (
    <div className={styles.block}>
      <Badge tone="bad" icon="lock">
        Blocked
      </Badge>
      <span>{block.reason}</span>
      {block.endTime && (
        <span className="muted">
          until <Time value={block.endTime} />
        </span>
      )}
    </div>
  );
}

function limitList(limits: readonly Limit[], currency: string): ReactNode {
  if (limits.length === 0) return <Nothing />;
  return (
    <ul className={styles.limits}>
      {limits.map((limit, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: they have no other name than their place
        <li key={i}>{limitInWords(limit, currency)}</li>
      ))}
    </ul>
  );
}

/** A rolling limit in words: at most 10,000.00 USD and 200 payments within 1 day. */
function limitInWords({ window, maxAmount, maxCount }: Limit, currency: string): string {
  const bounds = [
    maxAmount !== undefined && formatAmount(maxAmount, { currency }),
    maxCount !== undefined && plural(maxCount, "payment"),
  ].filter(Boolean);
  return `At most ${bounds.join(" and ")} within ${formatSeconds(Number(window?.seconds ?? 0n))}`;
}
